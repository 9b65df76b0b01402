"""Generated CSV files, good and broken, of which it is known beforehand what has to become of every line.

A file is put together of pieces. Each piece is one record as a spreadsheet, a database or a careless script writes it,
and knows its fate: kept with these values, refused, or nothing (a blank line). Behind a quote that nobody closes it
is not known whether the lines up to the next quote belong to it; there it is only asked that each is accounted for.
"""

from __future__ import annotations

import gzip
import multiprocessing
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import polars as pl

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.tables import build_table

COLUMNS = ["key", "amount", "word"]
SQL = """
SELECT
    whole_number(key) AS key,
    decimal_number(amount) AS amount,
    word,
    1 AS click,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(key),
        unless_decimal_number(amount)
    ) AS rejection
FROM raw_interactions
"""
NO_WHOLE_NUMBERS = [
    "3.7",
    ".5",
    "1e2",
    "0x1F",
    "0b11",
    "1_000",
    "nan",
    "inf",
    "",
    "12a",
    "1 2",
    "९",
    "1e400",
    "--1",
]
NO_DECIMAL_NUMBERS = ["nan", "inf", "-Infinity", "1e400", "0x1F", "1_000", "abc", "1,5", "1.2.3"]
WORDS = [
    "tea",
    "ice cream",
    "Äpfel",
    "naïve café",
    "日本",
    "x" * 300,
    "{{ 7*7 }}",
    "</script>",
    "'; DROP TABLE users",
    "%s",
]


@dataclass(frozen=True)
class Piece:
    """One record, or what somebody took for one, as it stands in the file without its line end."""

    text: bytes
    kept: tuple[int, float, str | None] | None = None
    """Its values, where it has to be kept."""
    blank: bool = False
    opens: bool = False
    """Whether it ends inside a quoted field that it never closes."""

    @property
    def lines(self) -> int:
        return self.text.count(b"\n") + 1


@dataclass
class Layout:
    """How a generated file is written."""

    delimiter: str
    line_end: bytes
    has_byte_order_mark: bool
    ends_with_line_end: bool
    compressed: bool


@dataclass
class Outcome:
    """What was found wrong in one file; nothing where all is well."""

    name: str
    faults: list[str] = field(default_factory=list)


def make_pieces(rng: random.Random, layout: Layout, records: int) -> list[Piece]:
    makers: list[Callable[[random.Random, Layout, int], Piece]] = [
        good, good, good, good, quoted, quoted, with_line_break, wrong_whole_number, wrong_decimal_number,
        too_few_columns, too_many_columns, blank_line, stray_quote_inside, text_behind_quote, not_utf_8,
    ]  # fmt: skip
    if rng.random() < 0.4:
        makers.append(open_quote)
    if rng.random() < 0.1:
        makers += [with_carriage_return, with_null_byte]
    return [rng.choice(makers)(rng, layout, key) for key in range(1, records + 1)]


def row(layout: Layout, *values: str) -> bytes:
    return layout.delimiter.join(values).encode()


def amount_of(rng: random.Random) -> float:
    return rng.choice([rng.randint(-1000, 1000), round(rng.uniform(-1e6, 1e6), 3)])


def good(rng: random.Random, layout: Layout, key: int) -> Piece:
    amount, word = amount_of(rng), rng.choice([word for word in WORDS if layout.delimiter not in word])
    return Piece(row(layout, str(key), str(amount), word), (key, float(amount), word))


def quoted(rng: random.Random, layout: Layout, key: int) -> Piece:
    amount = amount_of(rng)
    word = rng.choice([f"a{layout.delimiter}b", 'five "six" seven', '"', f'{layout.delimiter}"'])
    escaped = word.replace('"', '""')
    number = f'"{key}"' if rng.random() < 0.3 else str(key)
    return Piece(row(layout, number, str(amount), f'"{escaped}"'), (key, float(amount), word.strip(" ")))


def with_line_break(rng: random.Random, layout: Layout, key: int) -> Piece:
    word = layout.line_end.decode().join(["two", "lines", "more"][: rng.randint(2, 3)])
    return Piece(row(layout, str(key), "1", f'"{word}"'), (key, 1.0, word))


def wrong_whole_number(rng: random.Random, layout: Layout, key: int) -> Piece:
    return Piece(row(layout, rng.choice(NO_WHOLE_NUMBERS), "1", "w"))


def wrong_decimal_number(rng: random.Random, layout: Layout, key: int) -> Piece:
    wrong = [text for text in NO_DECIMAL_NUMBERS if layout.delimiter not in text]
    return Piece(row(layout, str(key), rng.choice(wrong), "w"))


def too_few_columns(rng: random.Random, layout: Layout, key: int) -> Piece:
    return Piece(row(layout, str(key), "1"))


def too_many_columns(rng: random.Random, layout: Layout, key: int) -> Piece:
    return Piece(row(layout, str(key), "1", "w", "more", "and more"))


def blank_line(rng: random.Random, layout: Layout, key: int) -> Piece:
    return Piece(b"", blank=True)


def stray_quote_inside(rng: random.Random, layout: Layout, key: int) -> Piece:
    """As in 5" nails: whether it is kept or refused, it is one line."""
    return Piece(
        row(layout, str(key), "1", rng.choice(['5" nails', 'nails 5"', 'a "b" c'])), (key, 1.0, ANYTHING)
    )


def text_behind_quote(rng: random.Random, layout: Layout, key: int) -> Piece:
    return Piece(row(layout, str(key), "1", '"a"b'), (key, 1.0, ANYTHING))


def not_utf_8(rng: random.Random, layout: Layout, key: int) -> Piece:
    return Piece(row(layout, str(key), "1", "caf") + b"\xe9")


def open_quote(rng: random.Random, layout: Layout, key: int) -> Piece:
    place = rng.randrange(3)
    values = [str(key), "1", "w"]
    values[place] = '"' + values[place]
    return Piece(row(layout, *values), opens=True)


def with_carriage_return(rng: random.Random, layout: Layout, key: int) -> Piece:
    return Piece(row(layout, str(key), "1", "a\rb"), (key, 1.0, ANYTHING))


def with_null_byte(rng: random.Random, layout: Layout, key: int) -> Piece:
    return Piece(row(layout, str(key), "1", "a\0b"), (key, 1.0, ANYTHING))


ANYTHING = "\ufffdanything"
"""A word of which is only asked that its record is kept whole or refused."""


def make_layout(rng: random.Random) -> Layout:
    return Layout(
        delimiter=rng.choice([",", ",", ";", "\t", "|"]),
        line_end=rng.choice([b"\n", b"\n", b"\r\n"]),
        has_byte_order_mark=rng.random() < 0.1,
        ends_with_line_end=rng.random() < 0.8,
        compressed=rng.random() < 0.1,
    )


def write(path: Path, layout: Layout, pieces: list[Piece]) -> None:
    header = layout.delimiter.join(COLUMNS).encode()
    content = layout.line_end.join([header, *(piece.text for piece in pieces)])
    content = (b"\xef\xbb\xbf" if layout.has_byte_order_mark else b"") + content
    content += layout.line_end if layout.ends_with_line_end else b""
    path.write_bytes(gzip.compress(content, 1) if layout.compressed else content)


@dataclass
class Fuzzer:
    """A pipeline with a table of interactions only, whose file is written anew for each try."""

    paths: PipelinePaths
    threads: int | None = None

    @classmethod
    def below(cls, root: Path, threads: int | None = None) -> Fuzzer:
        paths = PipelinePaths(root, "fuzzed")
        paths.raw.mkdir(parents=True)
        paths.sql.mkdir(parents=True)
        (paths.sql / "interactions.sql").write_text(SQL)
        return cls(paths, threads)

    def spec(self, file: str, layout: Layout) -> PipelineSpec:
        return PipelineSpec.model_validate(
            {
                "raw": {"users": None, "items": None, "interactions": file, "delimiter": layout.delimiter},
                "ids": [],
                "interaction_key": ["key"],
                "split": {"hash_by": ["key"]},
                "tasks": [{"name": "click", "kind": "binary"}],
                "warehouse": {"memory_limit": "1GB"} | ({"threads": self.threads} if self.threads else {}),
            }
        )

    def try_one(self, seed: int) -> Outcome:
        """Generate the file of this seed, clean it, and hold what came out against what is known of it."""
        rng = random.Random(seed)
        layout = make_layout(rng)
        pieces = make_pieces(rng, layout, rng.choice([0, 1, 2, 5, 20, 60]))
        file = "interactions.csv.gz" if layout.compressed else "interactions.csv"
        for old in self.paths.raw.glob("interactions.csv*"):
            old.unlink()
        write(self.paths.raw / file, layout, pieces)
        outcome = Outcome(f"file {seed}")
        before = self.read_tables()
        try:
            build_table(self.paths, self.spec(file, layout), "interactions")
        except UserError as error:
            if file not in str(error):
                outcome.faults.append(f"refused without naming the file: {error}")
            if any(piece.kept and piece.kept[2] != ANYTHING for piece in pieces[: first_open(pieces)]):
                outcome.faults.append(f"refused although it has readable rows: {error}")
            if self.read_tables() != before:
                outcome.faults.append("refused, and yet the tables have changed")
            return outcome
        except duckdb.Error as error:
            outcome.faults.append(f"not an error that a user can act upon: {type(error).__name__}: {error}")
            return outcome
        outcome.faults += find_faults(pieces, *self.read_frames())
        return outcome

    def read_frames(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        with duckdb.connect(str(self.paths.warehouse), read_only=True) as connection:
            kept = connection.sql(
                "SELECT key, amount, word, source_line FROM interactions ORDER BY source_line"
            ).pl()
            refused = connection.sql(
                "SELECT line, reason, content FROM interactions_rejected ORDER BY line"
            ).pl()
        return kept, refused

    def read_tables(self) -> list[list[tuple]]:
        if not self.paths.warehouse.exists():
            return []
        try:
            return [frame.rows() for frame in self.read_frames()]
        except duckdb.CatalogException:
            return []


def first_open(pieces: list[Piece]) -> int:
    return next((place for place, piece in enumerate(pieces) if piece.opens), len(pieces))


def find_faults(pieces: list[Piece], kept: pl.DataFrame, refused: pl.DataFrame) -> Iterator[str]:
    """Every line is where it belongs, once."""
    kept_by_line = {row["source_line"]: row for row in kept.iter_rows(named=True)}
    refused_by_line = {row["line"]: row for row in refused.iter_rows(named=True)}
    if len(kept_by_line) != kept.height or len(refused_by_line) != refused.height:
        yield "two rows say that they come from the same line"
    if both := kept_by_line.keys() & refused_by_line.keys():
        yield f"lines {sorted(both)} are kept and refused"
    line, doubtful_until = 2, 0
    known_lines: set[int] = set()
    for place, piece in enumerate(pieces):
        if piece.opens:
            doubtful_until = max(doubtful_until, closing_line(pieces, place, line))
        if line <= doubtful_until:
            known_lines |= set(range(line, line + piece.lines))
        elif not piece.blank:
            known_lines.add(line)
            yield from fault_of(piece, line, kept_by_line.get(line), refused_by_line.get(line))
        line += piece.lines
    if invented := (kept_by_line.keys() | refused_by_line.keys()) - known_lines:
        yield f"rows of lines {sorted(invented)[:5]}, where no record begins"
    yield from unaccounted(pieces, kept_by_line, refused_by_line)


def closing_line(pieces: list[Piece], place: int, line: int) -> int:
    """The last line of which nobody can say whether it belongs to the quote that is opened on `line`: the next one
    that has a quote."""
    at = line + pieces[place].lines
    for piece in pieces[place + 1 :]:
        if b'"' in piece.text and b'""' not in piece.text:  # a doubled one may leave the quote open
            return at + piece.lines - 1
        at += piece.lines
    return line


def fault_of(piece: Piece, line: int, kept: dict | None, refused: dict | None) -> Iterator[str]:
    if piece.kept is None:
        if refused is None:
            yield f"line {line} {piece.text!r} should have been refused, but {'was kept' if kept else 'is gone'}"
        elif not same_text(refused["content"], piece.text):
            yield f"line {line}: the content of the refused row is {refused['content']!r}, not {piece.text!r}"
        return
    if piece.kept[2] == ANYTHING:
        if kept is None and refused is None:
            yield f"line {line} {piece.text!r} is gone"
        return
    if kept is None:
        became = f"was refused: {refused['reason']}" if refused else "is gone"
        yield f"line {line} {piece.text!r} should have been kept, but {became}"
    elif (kept["key"], kept["amount"], kept["word"]) != piece.kept:
        yield f"line {line}: kept {kept}, not {piece.kept}"


def same_text(content: str | None, text: bytes) -> bool:
    return content is not None and content.strip() == text.decode(errors="replace").strip()


def unaccounted(pieces: list[Piece], kept: dict[int, dict], refused: dict[int, dict]) -> Iterator[str]:
    """Lines with text that no row begins on and none spans."""
    covered: set[int] = set()
    for line, found in refused.items():
        covered |= set(range(line, line + (found["content"] or "").count("\n") + 1))
    for line, found in kept.items():
        covered |= set(range(line, line + (found["word"] or "").count("\n") + 1))
    line = 2
    for piece in pieces:
        for offset, text in enumerate(piece.text.split(b"\n")):
            if text.strip(b"\r") and line + offset not in covered:
                yield f"line {line + offset} {text!r} is nowhere"
        line += piece.lines


def try_files(arguments: tuple[Path, range, int | None]) -> list[str]:
    root, seeds, threads = arguments
    fuzzer = Fuzzer.below(root, threads)
    return [f"{found.name}: {fault}" for found in map(fuzzer.try_one, seeds) for fault in found.faults]


def fuzz_files(root: Path, files: int, seed: int) -> list[str]:
    """Half of them read by one thread, half by as many as there are."""
    half = seed + files // 2
    parts = [(root / "one", range(seed, half), 1), (root / "all", range(half, seed + files), None)]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        return [fault for faults in pool.map(try_files, parts) for fault in faults]
