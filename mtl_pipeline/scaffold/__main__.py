"""`python -m mtl_pipeline.scaffold <name> [--users a.csv] [--items b.csv] [--interactions c.csv]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths, defs_folder, project_root
from mtl_pipeline.scaffold import next_steps, scaffold_pipeline

ROLES = ("user_id", "item_id", "timestamp")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mtl_pipeline.scaffold",
        description="Write a new pipeline. Columns are read off the CSV files; without any, a template is written.",
    )
    parser.add_argument("name", help="of the pipeline: lower-case letters, digits and _")
    for table in ("users", "items", "interactions"):
        parser.add_argument(f"--{table}", type=Path, metavar="CSV", help=f"the file of {table}")
    for role in ROLES:
        option = f"--{role.replace('_', '-')}"
        parser.add_argument(
            option,
            metavar="COLUMN",
            help=f"column of interactions that is the {role}, if its name does not say so",
        )
    parser.add_argument("--link", action="store_true", help="link the CSV files instead of copying them")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = vars(parser().parse_args(arguments))
    files = {table: options[table] for table in ("users", "items", "interactions") if options[table]}
    named = {role: options[role] for role in ROLES if options[role]}
    try:
        root, defs = project_root(), defs_folder() / options["name"]
        paths = PipelinePaths(root, options["name"])
        done = scaffold_pipeline(paths, defs, files, named=named, link=options["link"])
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(next_steps(done, root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
