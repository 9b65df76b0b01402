"""A pipeline without Dagster: `python -m mtl_pipeline.workflows <pipeline> [stage …]`.

Without stages, all of a nightly run. Nothing is recorded but the outputs themselves.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import yaml
from pydantic import ValidationError

from mtl_pipeline.errors import UserError, in_short
from mtl_pipeline.paths import PipelinePaths, defs_folder, project_root
from mtl_pipeline.spec import PipelineSpec, as_asked
from mtl_pipeline.warehouse.checks import checks_by_asset


def declaration(pipeline: str) -> Path:
    """The pipeline's defs.yaml, however deep its folder lies. Raises UserError where there is none."""
    files = {file.parent.name: file for file in sorted(defs_folder().glob("**/defs.yaml"))}
    if pipeline not in files:
        file = defs_folder() / pipeline / "defs.yaml"
        raise UserError(f"there is no {file}; the pipelines are: {', '.join(sorted(files)) or 'none yet'}")
    return files[pipeline]


def declared(pipeline: str) -> PipelineSpec:
    """What the pipeline's defs.yaml says, or a first look where one is asked for. Raises UserError where there is none,
    or where it is wrong."""
    file = declaration(pipeline)
    try:
        attributes = yaml.safe_load(file.read_text(encoding="utf-8"))["attributes"]
        return as_asked(PipelineSpec.model_validate(attributes))
    except (yaml.YAMLError, TypeError, KeyError, ValidationError) as error:
        raise UserError(f"{file}: {in_short(error)}") from None


def to_run(pipeline: str) -> tuple[PipelineSpec, PipelinePaths]:
    """What it says, and where its files lie. Raises UserError as `declared`, and for an example whose raw files are
    missing."""
    spec, paths = declared(pipeline), PipelinePaths(project_root(), pipeline)
    if spec.example and not paths.raw.is_dir():
        raise UserError(
            f"{pipeline} is an example without raw files: `make demo PIPELINE={pipeline}` brings them, with "
            "FROM=<folder> those of deskdrop, ml_1m, census and census_full, which nobody may pass on (README.md)"
        )
    return spec, paths


def run(pipeline: str, names: Sequence[str]) -> None:
    """Run these stages in lineage order, by default those of a nightly run, and print their progress.

    Raises UserError where a stage fails or is unknown.
    """
    spec, paths = to_run(pipeline)
    from mtl_pipeline.workflows.stages import run_stage, stages_of  # takes seconds: it imports torch

    stages, checks = list(stages_of(paths, spec)), checks_by_asset(paths, spec)
    if unknown := set(names) - {stage.name for stage in stages}:
        known = ", ".join(stage.name for stage in stages)
        raise UserError(f"{pipeline} has no stage {', '.join(sorted(unknown))}; its stages are: {known}")
    for stage in stages:
        if stage.name in names or (stage.nightly and not names):
            started = time.perf_counter()
            say = partial(print, f"{stage.name}:", flush=True)
            run_stage(stage, paths, checks.get(stage.name, []), say)
            say(f"made in {time.perf_counter() - started:.1f} s")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mtl_pipeline.workflows", description="Run a pipeline without Dagster."
    )
    parser.add_argument("pipeline")
    parser.add_argument("stage", nargs="*", help="as the asset is called; by default all of a nightly run")
    options = parser.parse_args(arguments)
    try:
        run(options.pipeline, options.stage)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
