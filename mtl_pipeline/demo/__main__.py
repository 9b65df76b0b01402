"""Put the raw files of a demo in place: `python -m mtl_pipeline.demo movielens`, or `… shop`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mtl_pipeline.demo import brought, movielens, simulated
from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths, project_root
from mtl_pipeline.simulation import SCENARIOS


def main(
    arguments: Sequence[str] | None = None, sources: Sequence[movielens.Source] = movielens.MOVIELENS
) -> int:
    options = parse(arguments)
    paths = PipelinePaths(project_root(), options.pipeline)
    try:
        if options.pipeline == "movielens":
            print(movielens.TERMS)
            movielens.fetch(paths.raw, sources, archive=options.archive, force=options.force)
        elif options.pipeline in brought.BROUGHT:
            brought.bring(paths, options.source)
        else:
            simulated.simulate_once(paths, options.interactions, options.seed, force=options.force)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m mtl_pipeline.demo", description="Put the raw files of a demo in place."
    )
    pipelines = parser.add_subparsers(dest="pipeline", required=True, metavar="PIPELINE")
    fetched = pipelines.add_parser("movielens", help="fetch MovieLens 100K")
    fetched.add_argument("--archive", type=Path, metavar="FILE", help="read this archive, do not download")
    for scenario in SCENARIOS:
        drawn = pipelines.add_parser(scenario, help=f"simulate the logs of {scenario}")
        drawn.add_argument(
            "--interactions",
            type=int,
            default=simulated.INTERACTIONS,
            metavar="N",
            help="default: %(default)s",
        )
        drawn.add_argument("--seed", type=int, default=0, metavar="S", help="default: %(default)s")
    for name in brought.BROUGHT:
        copied = pipelines.add_parser(name, help=f"put the files of {name} that you have fetched into place")
        copied.add_argument("--from", type=Path, dest="source", metavar="FOLDER", help="copy them from here")
    for pipeline in pipelines.choices.values():
        pipeline.add_argument("--force", action="store_true", help="replace the files that are there")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
