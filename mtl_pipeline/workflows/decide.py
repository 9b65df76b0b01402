"""Promotion: what the evaluation finds about the newest model and the champion. It changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

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
from mtl_pipeline.learning.data.seen import unseen
from mtl_pipeline.learning.training.ranker import predict_examples
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import CHAMPION, PREDICTED
from mtl_pipeline.spec import PipelineSpec


@dataclass(frozen=True)
class Champion:
    """A model that was champion before this evaluation."""

    fingerprint: str
    predictions: pl.DataFrame | None
    """`example_id` and `prediction/champion/<task>`; None where the newest model is the champion, or `obstacle`."""
    obstacle: str = ""
    """Why it can no longer predict for this pipeline."""


def find_champion(paths: PipelinePaths, spec: PipelineSpec) -> Champion | None:
    """The champion and what it predicts for the examples as they are now; None where there is none."""
    fingerprint = current_champion(read_history(paths))
    if fingerprint is None:
        return None
    if (paths.champions / fingerprint).is_dir() and model_fingerprint(paths.model) == fingerprint:
        return Champion(fingerprint, None)
    return predicting(paths, spec, fingerprint)


def predicting(paths: PipelinePaths, spec: PipelineSpec, fingerprint: str) -> Champion:
    """One of the champions that are kept, with its predictions."""
    try:
        predictions = predict_examples(paths, spec, paths.champions / fingerprint, name=CHAMPION)
    except UserError as error:
        return Champion(fingerprint, None, obstacle=str(error))
    return Champion(fingerprint, predictions.select("example_id", PREDICTED))


def decide_promotion(
    paths: PipelinePaths,
    spec: PipelineSpec,
    measured: Evaluation,
    predictions: pl.DataFrame,
    champion: Champion | None,
) -> Decision:
    """What the evaluation says about the newest model."""
    challenger = model_fingerprint(paths.model)
    compared, window, earlier = None, "", []
    if champion and champion.predictions is not None:
        rows = unseen(paths.champions / champion.fingerprint, spec)
        compared, window = promotion.on_unseen_rows(measured, predictions, rows)
    if champion and champion.fingerprint != challenger:
        known = {champion.fingerprint, challenger}
        earlier = list(measure_earlier(paths, spec, measured, predictions, known))
    return promotion.decide(
        spec,
        measured,
        compared,
        earlier,
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
    known: Collection[str],
) -> Iterator[Earlier]:
    """The challenger against each earlier champion that promotion.reference names, one at a time, so that only one more
    model's predictions are in memory. `known`: fingerprints that are compared already."""
    reference = spec.promotion.reference
    try:
        fingerprints = earlier_champions(paths, read_history(paths), reference)
    except UserError as error:
        yield Earlier(reference, None, str(error))
        return
    for fingerprint in fingerprints:
        if fingerprint in known:
            continue
        champion = predicting(paths, spec, fingerprint)
        if champion.predictions is not None:
            rows = unseen(paths.champions / fingerprint, spec)
            yield Earlier(fingerprint, against_earlier(measured, predictions, champion.predictions, rows))
        elif reference != "best":
            yield Earlier(fingerprint, None, champion.obstacle)
