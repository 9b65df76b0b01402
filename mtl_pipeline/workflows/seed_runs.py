"""Seed runs: the networks with further seeds, and without text, for a comparison that no single seed decides."""

from __future__ import annotations

import polars as pl

from mtl_pipeline.champions import model_fingerprint
from mtl_pipeline.errors import UserError
from mtl_pipeline.evaluation.studies.runs.seeds import SeedRuns, with_seed_runs
from mtl_pipeline.learning.training.seed_runs import SeedRunsSummary, read_seed_runs, train_seeds
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import folder_fingerprint, reading
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.spec.assets import code_version, training_settings, usual_seeds
from mtl_pipeline.spec.quick import refuse_quick
from mtl_pipeline.vectors import file_fingerprint
from mtl_pipeline.workflows.log import Log
from mtl_pipeline.workflows.train import judge_of

OTHERWISE = {
    "model": "of an older model",
    "baselines": "beside older baselines",
    "settings": "with other settings",
    "text vectors": "with other text vectors",
}
"""How seed runs differ from what there is now, by the name of a fingerprint."""


def run_seeds(
    paths: PipelinePaths, spec: PipelineSpec, *, seeds: int | None = None, log: Log = print
) -> SeedRunsSummary:
    """Train the networks with `seeds` seeds in all, that of the model and the baselines included.

    Raises UserError when there is no model, or there are no baselines, yet.
    """
    refuse_quick(spec)
    seeds = seeds or usual_seeds(spec)
    if seeds == 1:
        log("one seed is that of the model: nothing to train")
    return train_seeds(
        paths,
        spec,
        seeds=seeds,
        made_from=fingerprints(paths, spec),
        target=paths.seed_runs,
        judge=judge_of(spec),
        log=log,
    )


def fingerprints(paths: PipelinePaths, spec: PipelineSpec) -> dict[str, str]:
    """Fingerprints of what seed runs go with; those of model and baselines cover what these were made from.

    Raises UserError when there is no model, or there are no baselines, yet."""
    with reading(paths.model) as model, reading(paths.baselines) as baselines:
        trained = {"model": model_fingerprint(model), "baselines": folder_fingerprint(baselines)}
    files = [paths.embeddings(*pair) for pair in spec.embedded]
    vectors = {file.stem: file_fingerprint(file) for file in files}
    return trained | {
        "settings": code_version(settings=training_settings(spec)),
        "text vectors": code_version(settings=vectors),
    }


def usable_seed_runs(
    paths: PipelinePaths, spec: PipelineSpec, predictions: pl.DataFrame
) -> tuple[SeedRuns | None, str]:
    """The seed runs that the evaluation may use; or None and, where there are some that it may not use, why.

    `predictions` is the wide frame of the model and its baselines, which hold the first seed.
    """
    if not paths.seed_runs.is_dir():
        return None, ""
    try:
        summary, replicas = read_seed_runs(paths.seed_runs)
    except UserError as error:
        return None, str(error)
    if len(summary.seeds) == 1:
        return None, ""
    now = fingerprints(paths, spec)
    changed = [name for name, fingerprint in now.items() if summary.made_from.get(name) != fingerprint]
    if changed:
        what = " and ".join(OTHERWISE[name] for name in changed)
        return None, (
            f"There are seed runs with {len(summary.seeds)} seeds, but {what}, so they are left out: "
            f"materialize seed_runs of {paths.pipeline}, then its evaluation."
        )
    return with_seed_runs(predictions, replicas, summary.seeds), ""
