"""Make what is out of date in a pipeline: `python -m mtl_pipeline.run <pipeline> [asset …]`.

Named assets are made in any case, and nothing else. The runs are recorded where `DAGSTER_HOME` says, with all that
Dagster says; the terminal gets an account of them, or with --verbose everything.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import dagster as dg

from mtl_pipeline.errors import UserError
from mtl_pipeline.instance import open_instance
from mtl_pipeline.run.make import INTERRUPTED, Make


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mtl_pipeline.run", description=__doc__)
    parser.add_argument("pipeline")
    parser.add_argument("assets", nargs="*", metavar="asset", help="make these in any case, and nothing else")
    parser.add_argument("--all", action="store_true", help="make everything, also what is up to date")
    parser.add_argument("--anyway", action="store_true", help="train even where a check says it is in vain")
    parser.add_argument("--verbose", action="store_true", help="show all that Dagster says")
    parser.add_argument(
        "--config-json", type=json.loads, default={}, help="a run's configuration, as Dagster's"
    )
    return parser.parse_intermixed_args(arguments)  # `--all` may stand before the assets


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        with open_instance() as instance:
            return Make(options, instance).run()
    except (UserError, dg.DagsterInvalidConfigError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
