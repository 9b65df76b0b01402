"""Go back to an earlier champion and make its recommendations, like the job `<pipeline>_rollback` in the UI.

python -m mtl_pipeline.rollback movielens [--to FINGERPRINT]
"""

from __future__ import annotations

import argparse
import sys

from mtl_pipeline.champions import PREVIOUS, read_history, short
from mtl_pipeline.components.assets.champion import rollback_config
from mtl_pipeline.components.refused import refuse_left_out
from mtl_pipeline.definitions import defs
from mtl_pipeline.errors import UserError
from mtl_pipeline.instance import open_instance
from mtl_pipeline.paths import PipelinePaths, project_root
from mtl_pipeline.workflows.__main__ import declaration


def run_rollback(pipeline: str, to: str) -> bool:
    """Run the job here and now, recorded where `DAGSTER_HOME` says. Returns whether all of it succeeded.
    Raises UserError where the pipeline is left out."""
    definitions = defs()
    refuse_left_out(definitions, declaration(pipeline))
    job = definitions.resolve_job_def(f"{pipeline}_rollback")
    with open_instance() as instance:
        config = rollback_config(pipeline, to)
        result = job.execute_in_process(instance=instance, run_config=config, raise_on_error=False)
    for failure in result.get_step_failure_events():
        data = failure.step_failure_data.user_failure_data
        print(data.description if data else failure.step_failure_data.error, file=sys.stderr)
    return result.success


def main() -> int:
    parser = argparse.ArgumentParser(description="Go back to an earlier champion.")
    parser.add_argument("pipeline")
    parser.add_argument(
        "--to", default=PREVIOUS, metavar="FINGERPRINT", help="or how it begins; default: the one before"
    )
    arguments = parser.parse_args()
    paths = PipelinePaths(project_root(), arguments.pipeline)
    if not paths.champion_history.is_file():
        print(f"{arguments.pipeline} has no champion yet: there is nothing to go back to", file=sys.stderr)
        return 1
    try:
        success = run_rollback(arguments.pipeline, arguments.to)
        print(f"the champion is {short(read_history(paths)[-1].champion or 'none')}")
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if success else 1


if __name__ == "__main__":
    sys.exit(main())
