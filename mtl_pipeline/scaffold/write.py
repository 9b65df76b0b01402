"""Write a new pipeline's files; nothing that exists is touched."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths, in_checkout
from mtl_pipeline.scaffold.files import EXAMPLE, defs_yaml, table_sql
from mtl_pipeline.scaffold.inference import infer_plan
from mtl_pipeline.spec import NAME_PATTERN

ACTING = re.compile(r"[*?\[\]{}]")
"""Characters that make a pattern or a template of a name."""
TABLES = ("users", "items", "interactions")


@dataclass(frozen=True)
class Scaffolded:
    """A pipeline that was just written."""

    name: str
    written: list[Path]
    from_example: bool
    """Whether no CSV files were given."""


def scaffold_pipeline(
    paths: PipelinePaths,
    defs: Path,
    files: Mapping[str, Path],
    *,
    named: Mapping[str, str] | None = None,
    link: bool = False,
) -> Scaffolded:
    """Write defs.yaml into the folder `defs`, SQL and raw files where `paths` say.

    `files` are CSV files by table; without any, a template is written. `named` are columns of interactions
    by role: `user_id`, `item_id`, `timestamp`. `link` makes symbolic links instead of copies.
    Raises UserError where something exists already or the files do not allow a proposal.
    """
    if not re.fullmatch(NAME_PATTERN, paths.pipeline):
        raise UserError(
            f"'{paths.pipeline}' cannot name a pipeline: use lower-case letters, digits and _, with a letter first"
        )
    if files and "interactions" not in files:
        raise UserError("--interactions is missing: without interactions there is nothing to learn from")
    raw = raw_targets(paths, files)
    for path in (defs, paths.sql):
        refuse_existing(path)
    sources = dict(files) or {table: EXAMPLE / f"{table}.csv" for table in TABLES}
    plan = infer_plan(paths, sources, named or {})
    texts = {defs / "defs.yaml": defs_yaml(plan, from_example=not files)}
    texts |= {paths.sql / f"{name}.sql": table_sql(table) for name, table in plan.tables.items()}
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    paths.raw.mkdir(parents=True, exist_ok=True)
    for source, target in raw.items():
        target.symlink_to(source.resolve()) if link else shutil.copyfile(source, target)
    return Scaffolded(paths.pipeline, [*texts, *raw.values()], from_example=not files)


def raw_targets(paths: PipelinePaths, files: Mapping[str, Path]) -> dict[Path, Path]:
    """Where each file goes; files that lie there already stay as they are."""
    targets = {source: paths.raw / source.name for source in files.values()}
    if len({target.name for target in targets.values()}) < len(files):
        raise UserError(
            f"files for different tables need different names: {', '.join(map(str, files.values()))}"
        )
    for source, target in targets.items():
        if not source.name.isprintable() or ACTING.search(source.name):
            raise UserError(
                f"{source}: rename the file: in defs.yaml, its name would be a pattern or a template"
            )
        if not source.is_file():
            raise UserError(f"{source} is missing")
        taken = target.exists() or target.is_symlink()
        if taken and not (target.exists() and target.samefile(source)):
            raise UserError(f"{target} exists already: remove it or choose another name; nothing was written")
    return {source: target for source, target in targets.items() if not target.exists()}


def refuse_existing(path: Path) -> None:
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() or path.is_symlink():
        raise UserError(f"{path} exists already: remove it or choose another name; nothing was written")


def next_steps(done: Scaffolded, root: Path) -> str:
    """What was written and the three things to do now."""
    shown = [path.relative_to(root) if path.is_relative_to(root) else path for path in done.written]
    defs, name = shown[0], done.name
    decide = (
        f"Put your files into data/{name}/raw/ and describe them in {defs} and sql/{name}/."
        if done.from_example
        else f"Read {defs} and decide what is marked DECIDE; read the rules in sql/{name}/."
    )
    run = f"make run PIPELINE={name}" if in_checkout() else f"python -m mtl_pipeline.workflows {name}"
    return "\n".join(
        [
            *(f"wrote {path}" for path in shown),
            "",
            f"1. {decide}",
            "2. Check it, at no cost: "
            f".venv/bin/dagster asset list -m mtl_pipeline.definitions --select 'group:{name}'",
            f"3. Run it: {run}",
        ]
    )
