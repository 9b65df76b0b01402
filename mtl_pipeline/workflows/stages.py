"""The stages of a pipeline in lineage order, and what makes the output of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.baselines.predict import predict_baselines
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import one_version_each
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.spec.assets import embeddings_name, runs_seeds_nightly
from mtl_pipeline.warehouse.checks import Check, run_checks
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.warehouse.tables import TableSummary, build_rejected_rows, build_table
from mtl_pipeline.workflows.backtest import run_backtest
from mtl_pipeline.workflows.champion import champion_standing, settle_champion
from mtl_pipeline.workflows.embed import embed_table
from mtl_pipeline.workflows.evaluate import evaluate_models
from mtl_pipeline.workflows.log import Log
from mtl_pipeline.workflows.recommend import recommend_items
from mtl_pipeline.workflows.seed_runs import run_seeds
from mtl_pipeline.workflows.train import train_model
from mtl_pipeline.workflows.tune import tune_settings


@dataclass(frozen=True)
class Stage:
    """What one asset does."""

    name: str
    """Of the asset."""
    make: Callable[[Log], object]
    nightly: bool = True
    """Whether it is part of every nightly run, or is made only when asked for."""


def stages_of(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Stage]:
    def table_stage(table: str) -> Stage:
        return Stage(table, lambda log: build_table(paths, spec, table))

    def embedding_stage(pair: tuple[str, str]) -> Stage:
        return Stage(embeddings_name(*pair), lambda log: embed_table(paths, spec, *pair, log=log, warn=log))

    yield from map(table_stage, spec.tables)
    yield Stage("rejected_rows", lambda log: build_rejected_rows(paths, spec))
    yield from map(embedding_stage, spec.embedded)
    yield Stage("examples", lambda log: build_examples(paths, spec))
    yield Stage("model", lambda log: train_model(paths, spec, target=paths.model, log=log))
    yield Stage("baselines", lambda log: predict_baselines(paths, spec, target=paths.baselines, log=log))
    yield Stage("seed_runs", lambda log: run_seeds(paths, spec, log=log), runs_seeds_nightly(spec))
    yield Stage("evaluation", lambda log: evaluate_models(paths, spec, log=log))
    yield Stage("champion", lambda log: champion_stands(paths, spec, log), not spec.is_quick)
    if spec.recommends:
        yield Stage("recommendations", lambda log: recommend_items(paths, spec, log=log), not spec.is_quick)
    yield Stage("backtest", lambda log: run_backtest(paths, spec, log=log), nightly=False)
    yield Stage("tuning", lambda log: tune_settings(paths, spec, log=log), nightly=False)


def champion_stands(paths: PipelinePaths, spec: PipelineSpec, log: Log) -> None:
    """Settle the champion. Raises UserError where then none can recommend, as the asset's blocking check does."""
    settle_champion(paths, spec, log=log)
    now = champion_standing(paths, spec)
    if now.obstacle:
        raise UserError(f"{now.obstacle} {now.last}")


def run_stage(stage: Stage, paths: PipelinePaths, checks: Sequence[Check], log: Log) -> None:
    """Make its output and check it. Raises UserError where it cannot be made, or breaks a rule that blocks the run."""
    with one_version_each():
        made = stage.make(log)
    known = {"rows_read": made.rows_read} if isinstance(made, TableSummary) else {}
    for result in run_checks(paths, checks, known) if checks else []:
        broken = f"{result.check.name}: {result.offences:,} offences. {result.check.explanation}"
        if result.check.blocking and not result.passed:
            raise UserError(f"{stage.name} breaks the rule {broken}")
        if not result.passed:
            log(f"beware, {broken}")
