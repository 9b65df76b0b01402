"""Promotion: what the evaluation finds about the newest model and the champion. Nothing is changed by it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from mtl_pipeline.champions import (
    Decision,
    current_champion,
    earlier_champions,
    model_fingerprint,
    read_history,
    rolled_back_at,
)
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.errors import UserError

if TYPE_CHECKING:
    from mtl_pipeline.evaluation.studies.promotion import Earlier
    from mtl_pipeline.evaluation.studies.scoring import Evaluation


@dataclass(frozen=True)
class Champion:
    """The champion before this evaluation."""

    fingerprint: str
    folder: Path
    predictions: pl.DataFrame | None
    """`example_id` and `prediction/champion/<task>`; None where the newest model is the champion, or `obstacle`."""
    obstacle: str = ""
    """Why it cannot predict for this pipeline any more."""


def find_champion(pipeline: PipelineContext) -> Champion | None:
    """The champion and what it predicts for the examples as they are now; None where there is none."""
    paths = pipeline.paths
    fingerprint = current_champion(read_history(paths))
    if fingerprint is None:
        return None
    folder = paths.champions / fingerprint
    if folder.is_dir() and model_fingerprint(paths.model) == fingerprint:
        return Champion(fingerprint, folder, None)
    return predicting(pipeline, fingerprint)


def predicting(pipeline: PipelineContext, fingerprint: str) -> Champion:
    """One of the champions that are kept, with its predictions."""
    from mtl_pipeline.learning.training.ranker import predict_examples
    from mtl_pipeline.predictions import CHAMPION, PREDICTED

    folder = pipeline.paths.champions / fingerprint
    try:
        predictions = predict_examples(pipeline.paths, pipeline.spec, folder, name=CHAMPION)
    except UserError as error:
        return Champion(fingerprint, folder, None, obstacle=str(error))
    return Champion(fingerprint, folder, predictions.select("example_id", PREDICTED))


def decide_promotion(
    pipeline: PipelineContext, measured: "Evaluation", predictions: pl.DataFrame, champion: Champion | None
) -> Decision:
    """What the evaluation says about the newest model. Nothing is changed."""
    from mtl_pipeline.evaluation.studies import promotion
    from mtl_pipeline.learning.data.seen import unseen

    challenger = model_fingerprint(pipeline.paths.model)
    compared, window = None, ""
    if champion and champion.predictions is not None:
        compared, window = promotion.on_unseen_rows(
            measured, predictions, unseen(champion.folder, pipeline.spec)
        )
    return promotion.decide(
        pipeline.spec,
        measured,
        compared,
        list(measure_earlier(pipeline, measured, predictions, {champion.fingerprint, challenger}))
        if champion and champion.fingerprint != challenger
        else [],
        challenger=challenger,
        champion=champion.fingerprint if champion else None,
        obstacle=champion.obstacle if champion else "",
        rolled_back_at=rolled_back_at(read_history(pipeline.paths), challenger),
        window=window,
    )


def measure_earlier(
    pipeline: PipelineContext, measured: "Evaluation", predictions: pl.DataFrame, others: Collection[str]
) -> Iterator["Earlier"]:
    """The challenger against each champion of before that promotion.reference tells to look at, one after another, so
    that one more model's predictions are held at a time. `others`: fingerprints that are compared already."""
    from mtl_pipeline.evaluation.studies.promotion import Earlier, against_earlier
    from mtl_pipeline.learning.data.seen import unseen

    declared = pipeline.spec.promotion.reference
    try:
        found = earlier_champions(pipeline.paths, read_history(pipeline.paths), declared)
    except UserError as error:
        yield Earlier(declared, None, str(error))
        return
    for fingerprint in found:
        if fingerprint in others:
            continue
        one = predicting(pipeline, fingerprint)
        if one.predictions is not None:
            rows = unseen(one.folder, pipeline.spec)
            yield Earlier(fingerprint, against_earlier(measured, predictions, one.predictions, rows))
        elif declared != "best":
            yield Earlier(fingerprint, None, one.obstacle)
