"""Promotion: what the evaluation finds about the newest model and the champion. Nothing is changed by it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mtl_pipeline.champions import (
    Decision,
    current_champion,
    earlier_champions,
    model_fingerprint,
    read_history,
    rolled_back_at,
)
from mtl_pipeline.errors import UserError
from mtl_pipeline.evaluation.studies import promotion
from mtl_pipeline.evaluation.studies.promotion import Earlier, against_earlier
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.learning.training.provenance import unseen
from mtl_pipeline.learning.training.ranker import predict_examples
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import CHAMPION, PREDICTED
from mtl_pipeline.spec import PipelineSpec


@dataclass(frozen=True)
class Champion:
    """The champion before this evaluation."""

    fingerprint: str
    folder: Path
    predictions: pl.DataFrame | None
    """`example_id` and `prediction/champion/<task>`; None where the newest model is the champion, or `obstacle`."""
    obstacle: str = ""
    """Why it cannot predict for this pipeline any more."""


def find_champion(paths: PipelinePaths, spec: PipelineSpec) -> Champion | None:
    """The champion and what it predicts for the examples as they are now; None where there is none."""
    fingerprint = current_champion(read_history(paths))
    if fingerprint is None:
        return None
    folder = paths.champions / fingerprint
    if folder.is_dir() and model_fingerprint(paths.model) == fingerprint:
        return Champion(fingerprint, folder, None)
    return predicting(paths, spec, fingerprint)


def predicting(paths: PipelinePaths, spec: PipelineSpec, fingerprint: str) -> Champion:
    """One of the champions that are kept, with its predictions."""
    folder = paths.champions / fingerprint
    try:
        predictions = predict_examples(paths, spec, folder, name=CHAMPION)
    except UserError as error:
        return Champion(fingerprint, folder, None, obstacle=str(error))
    return Champion(fingerprint, folder, predictions.select("example_id", PREDICTED))


def decide_promotion(
    paths: PipelinePaths,
    spec: PipelineSpec,
    measured: Evaluation,
    predictions: pl.DataFrame,
    champion: Champion | None,
) -> Decision:
    """What the evaluation says about the newest model. Nothing is changed."""
    challenger = model_fingerprint(paths.model)
    compared, window = None, ""
    if champion and champion.predictions is not None:
        compared, window = promotion.on_unseen_rows(measured, predictions, unseen(champion.folder, spec))
    return promotion.decide(
        spec,
        measured,
        compared,
        list(measure_earlier(paths, spec, measured, predictions, {champion.fingerprint, challenger}))
        if champion and champion.fingerprint != challenger
        else [],
        challenger=challenger,
        champion=champion.fingerprint if champion else None,
        obstacle=champion.obstacle if champion else "",
        rolled_back_at=rolled_back_at(read_history(paths), challenger),
        window=window,
    )


def measure_earlier(
    paths: PipelinePaths,
    spec: PipelineSpec,
    measured: Evaluation,
    predictions: pl.DataFrame,
    others: Collection[str],
) -> Iterator[Earlier]:
    """The challenger against each champion of before that promotion.reference tells to look at, one after another, so
    that one more model's predictions are held at a time. `others`: fingerprints that are compared already."""
    declared = spec.promotion.reference
    try:
        found = earlier_champions(paths, read_history(paths), declared)
    except UserError as error:
        yield Earlier(declared, None, str(error))
        return
    for fingerprint in found:
        if fingerprint in others:
            continue
        one = predicting(paths, spec, fingerprint)
        if one.predictions is not None:
            rows = unseen(one.folder, spec)
            yield Earlier(fingerprint, against_earlier(measured, predictions, one.predictions, rows))
        elif declared != "best":
            yield Earlier(fingerprint, None, one.obstacle)
