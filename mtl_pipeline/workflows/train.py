"""The model: trained by `learning`, with the judge of `evaluation` to guard its tasks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mtl_pipeline.evaluation.studies.runs.guard import judge_members
from mtl_pipeline.learning.training.guard import Judge
from mtl_pipeline.learning.training.train import TrainingSummary, train_ranker
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.workflows.log import Log


def train_model(
    paths: PipelinePaths, spec: PipelineSpec, *, target: Path, log: Log = print
) -> TrainingSummary:
    """Train the multi-task ranker and publish it at `target`; with `training.guard`, networks for single tasks beside
    it. Raises UserError as `train_ranker` does."""
    return train_ranker(paths, spec, target=target, judge=judge_of(spec), log=log)


def judge_of(spec: PipelineSpec) -> Judge | None:
    """None where the pipeline has no guard."""
    if not spec.guards:
        return None
    return partial(judge_members, tasks=spec.tasks, hedge=spec.training.hedge, seed=spec.seed)
