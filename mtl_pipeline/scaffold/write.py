"""Write a new pipeline's files; nothing that exists is touched unless that is asked for."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtl_pipeline.errors import UserError, in_short
from mtl_pipeline.paths import PipelinePaths, in_checkout
from mtl_pipeline.scaffold.files import TEMPLATES, defs_yaml, table_sql
from mtl_pipeline.scaffold.inference import infer_plan
from mtl_pipeline.spec import NAME_PATTERN, RawFiles
from mtl_pipeline.warehouse.reading.dialect import DELIMITERS, first_line
from mtl_pipeline.warehouse.reading.raw import RawFile, is_pattern, local_files, read_chunks

ACTING = re.compile(r"[*?\[\]{}]")
"""Characters that make a pattern or a template of a name."""
TABLES = ("users", "items", "interactions")


@dataclass(frozen=True)
class Scaffolded:
    """A pipeline that was just written."""

    name: str
    written: list[Path]
    found: list[str]


def scaffold_pipeline(
    paths: PipelinePaths,
    defs: Path,
    files: Mapping[str, Path],
    *,
    named: Mapping[str, str] | None = None,
    columns: Mapping[str, list[str]] | None = None,
    delimiter: str | None = None,
    link: bool = False,
    force: bool = False,
) -> Scaffolded:
    """Write defs.yaml into the folder `defs`, SQL and raw files where `paths` say.

    `files` are files or patterns by table; without any, an example. `named` are columns of interactions by role:
    `user_id`, `item_id`, `timestamp`; `columns` those of files without a header, by table. `link` makes symbolic links
    instead of copies, `force` writes over what is there. Raises UserError where something exists already or the files
    do not allow a proposal.
    """
    if not re.fullmatch(NAME_PATTERN, paths.pipeline):
        raise UserError(
            f"'{paths.pipeline}' cannot name a pipeline: use lower-case letters, digits and _, with a letter first"
        )
    files = files or {table: TEMPLATES / f"example/{table}.csv" for table in TABLES}
    if "interactions" not in files:
        raise UserError("--interactions is missing: without interactions there is nothing to learn from")
    # Users and items in the file of interactions are found there, also where nobody names it twice.
    apart = {table: path for table, path in files.items() if path != files["interactions"]}
    sources = {
        table: path.absolute() for table, path in {**apart, "interactions": files["interactions"]}.items()
    }
    placed = {table: place_files(paths, table, path) for table, path in sources.items()}
    targets = {source: target for _, found in placed.values() for source, target in found.items()}
    if len(set(targets.values())) < len(targets):
        raise UserError(f"each table's files need names of their own: {', '.join(map(str, targets))}")
    copies = {file: copy for file, copy in targets.items() if not (copy.exists() and copy.samefile(file))}
    for path in (defs, paths.sql, *copies.values()):
        empty = path.is_dir() and not any(path.iterdir())
        if not (force or empty) and (path.exists() or path.is_symlink()):
            raise UserError(f"{path} exists already: remove it, or use --force; nothing was written")
    nothing: dict[str, Any] = dict.fromkeys(TABLES)
    how = how_written([*targets], columns or {}, delimiter)
    try:
        raw = RawFiles.model_validate(nothing | {table: str(path) for table, path in sources.items()} | how)
    except ValidationError as error:
        raise UserError(in_short(error)) from None
    section = nothing | {table: name for table, (name, _) in placed.items()} | how
    plan = infer_plan(paths, raw, section, named or {})
    texts = {
        paths.sql / f"{name}.sql": table_sql(table, plan.raw[name]) for name, table in plan.tables.items()
    }
    texts = {defs / "defs.yaml": defs_yaml(plan), **texts}
    for target in (*texts, *copies.values()):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
    for path, text in texts.items():
        path.write_text(text)
    for source, target in copies.items():
        target.symlink_to(source.resolve()) if link else shutil.copyfile(source, target)
    return Scaffolded(paths.pipeline, [*texts, *copies.values()], [*plan.found])


def place_files(paths: PipelinePaths, table: str, source: Path) -> tuple[str, dict[Path, Path]]:
    """What defs.yaml calls the files of a table, and where each is to be copied: those of a pattern into a folder of
    their own, in which it matches no others. What lies in the raw folder stays."""
    if not source.name.isprintable() or (ACTING.search(source.name) and source.is_file()):
        raise UserError(f"{source}: rename the file: in defs.yaml, its name would be a pattern or a template")
    folder = next(folder for folder in source.parents if not is_pattern(str(folder)))
    pattern = str(source.relative_to(folder))
    found = local_files(folder, pattern)
    if not found:
        raise UserError(f"{source} is missing")
    apart = f"{table}/" if is_pattern(pattern) and folder.resolve() != paths.raw.resolve() else ""
    return apart + pattern, {Path(file.path): paths.raw / (apart + file.name) for file in found}


def how_written(files: list[Path], columns: Mapping[str, list[str]], delimiter: str | None) -> dict[str, Any]:
    """The keys of `raw` that say how CSV files are written, where that is not the default."""
    raw = [RawFile(str(path), path.name) for path in files]
    texts = [file for file in raw if not (file.is_parquet or file.is_json)]
    start = b"".join(next(read_chunks(file), b"") for file in texts).decode("utf-8", "replace")
    foreign = [character for character in start if not character.isascii()]
    how: dict[str, Any] = {"encoding": "windows-1252"} if foreign.count("\ufffd") > len(foreign) / 2 else {}
    if columns and texts:
        line = first_line(texts[0], "latin-1", is_header=False)
        how |= {"columns": dict(columns), "delimiter": max(DELIMITERS, key=line.count)}
    return how | ({"delimiter": delimiter} if delimiter else {})


def next_steps(done: Scaffolded, root: Path) -> str:
    """What was written, found and is to be decided, and the three things to do now."""
    shown = {path: path.relative_to(root) if path.is_relative_to(root) else path for path in done.written}
    decisions = [
        f"{shown[path]}:{number}: {line[line.index('DECIDE') :]}"
        for path in shown
        if path.suffix in (".yaml", ".sql")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "DECIDE " in line
    ]
    run = "make run PIPELINE=" if in_checkout() else "python -m mtl_pipeline.run "
    check = f".venv/bin/dagster asset list -m mtl_pipeline.definitions --select 'group:{done.name}'"
    return "\n".join(
        [
            *(f"wrote {path}" for path in shown.values()),
            *("", *(f"found {line}" for line in done.found)),
            *("", *decisions, ""),
            f"1. Decide what is listed above; read the rules in sql/{done.name}/ (docs/sql-contract.md).",
            f"2. Check it, at no cost: {check}",
            f"3. Run it: {run}{done.name}",
        ]
    )
