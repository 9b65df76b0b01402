"""`python -m mtl_pipeline.scaffold <name> [--users a.csv] [--items b.csv] [--interactions c.csv]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths, defs_folder, project_root
from mtl_pipeline.scaffold import next_steps, scaffold_pipeline
from mtl_pipeline.scaffold.write import TABLES

ROLES = ("user_id", "item_id", "timestamp")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mtl_pipeline.scaffold",
        description="Write a new pipeline, read off files of CSV, JSON lines or Parquet; without any, an example.",
    )
    parser.add_argument("name", help="of the pipeline: lower-case letters, digits and _")
    for table in TABLES:
        what = f"the file of {table}, or a pattern in quotes: 'log-*.csv', 'log-{{date}}.csv'"
        parser.add_argument(f"--{table}", type=Path, metavar="FILE", help=what)
        what = "names of its columns, if it has no header"
        parser.add_argument(f"--{table}-columns", metavar="a,b,c", help=what)
    for role in ROLES:
        what = f"column of interactions that is the {role}, if its name does not say so"
        parser.add_argument(f"--{role.replace('_', '-')}", metavar="COLUMN", help=what)
    parser.add_argument("--delimiter", help="between columns, such as '::'; by default read off line 1")
    parser.add_argument("--link", action="store_true", help="link the files instead of copying them")
    parser.add_argument("--force", action="store_true", help="write again over what was written before")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = vars(parser().parse_args(arguments))
    name, files = options.pop("name"), {table: path for table in TABLES if (path := options.pop(table))}
    named = {role: column for role in ROLES if (column := options.pop(role))}
    columns = {table: names.split(",") for table in TABLES if (names := options.pop(f"{table}_columns"))}
    try:
        root, defs = project_root(), defs_folder() / name
        paths = PipelinePaths(root, name)
        done = scaffold_pipeline(paths, defs, files, named=named, columns=columns, **options)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(next_steps(done, root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
