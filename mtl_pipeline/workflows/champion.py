"""The champion, the model that recommends: how the evaluation decides on the newest model, which changes nothing; how
that is carried out, or an earlier champion comes back; and how things stand."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import polars as pl

from mtl_pipeline.champions import (
    PREVIOUS,
    Decision,
    carry_out,
    champion_folder,
    current_champion,
    earlier_champions,
    model_fingerprint,
    read_history,
    roll_back,
    rolled_back_at,
)
from mtl_pipeline.errors import UserError
from mtl_pipeline.evaluation.studies.runs import promotion
from mtl_pipeline.evaluation.studies.runs.promotion import Earlier, against_earlier
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.learning.data.dataset import TextVectors
from mtl_pipeline.learning.ranker.provenance import unseen
from mtl_pipeline.learning.ranker.ranker import load_ranker, predict_examples
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import CHAMPION, PREDICTED
from mtl_pipeline.publishing import reading
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.workflows.log import Log

ENTRIES_SHOWN = 10
NONE = "none"
"""In place of the fingerprint of a champion, or of a model, that is not there."""


@dataclass(frozen=True)
class Champion:
    """A model that was champion before this evaluation."""

    fingerprint: str | None
    """None where there is none."""
    predictions: pl.DataFrame | None
    """`example_id` and `prediction/champion/<task>`; None where the newest model is the champion, or there is an
    `obstacle`."""
    obstacle: str = ""
    """Why it can no longer predict for this pipeline."""


def find_champion(paths: PipelinePaths, spec: PipelineSpec) -> Champion:
    """The champion and what it predicts for the examples as they are now."""
    fingerprint = current_champion(read_history(paths))
    if fingerprint is None:
        return Champion(None, None)
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
    champion: Champion,
    *,
    quick: bool,
) -> Decision:
    """What the evaluation says about the newest model; `quick`: as a first look, which promotes none."""
    challenger = model_fingerprint(paths.model)
    compared, window, earlier = None, "", []
    if champion.fingerprint and champion.predictions is not None:
        rows = unseen(paths.champions / champion.fingerprint, spec)
        compared, window = promotion.on_unseen_rows(measured, predictions, rows)
    if champion.fingerprint and champion.fingerprint != challenger:
        known = {champion.fingerprint, challenger}
        earlier = list(measure_earlier(paths, spec, measured, predictions, known))
    return promotion.decide(
        spec,
        measured,
        compared,
        earlier,
        challenger=challenger,
        champion=champion.fingerprint,
        obstacle=champion.obstacle,
        rolled_back_at=rolled_back_at(read_history(paths), challenger),
        quick=quick,
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


def settle_champion(
    paths: PipelinePaths, spec: PipelineSpec, *, roll_back_to: str = "", log: Log = print
) -> tuple[str, str]:
    """Carry out the decision of the last evaluation; or go back to the champion before, where `roll_back_to` is
    PREVIOUS, or to the one whose fingerprint begins with it. Returns the fingerprint of the champion from now on, or
    NONE, and why. Raises UserError where neither can be done."""
    if roll_back_to:
        entry = roll_back(paths, None if roll_back_to == PREVIOUS else roll_back_to)
    else:
        decision = Decision.read(paths.evaluation / "decision.json")
        entry = carry_out(paths, decision, keep=spec.promotion.keep)
    why = " ".join(entry.reasons)
    log(f"{entry.action}: {why}")
    return current_champion(read_history(paths)) or NONE, why


@dataclass(frozen=True)
class Standing:
    """Champion and challenger as they are now, and what is to be said of them."""

    champion: str
    """Fingerprint, or NONE."""
    challenger: str
    """Fingerprint of the newest model, or NONE."""
    obstacle: str
    """Why the champion cannot recommend; empty where it can."""
    unread: str
    """Why the newest model cannot be read, which keeps no champion from recommending."""
    last: str
    """What was done last, and why."""

    @property
    def promoted(self) -> bool:
        """Whether the newest model is the champion."""
        return self.champion == self.challenger != NONE


def champion_standing(paths: PipelinePaths, spec: PipelineSpec) -> Standing:
    """Raises UserError where the history of champions is damaged."""
    history = read_history(paths)
    champion, challenger, obstacle, unread, last = current_champion(history) or NONE, NONE, "", "", ""
    try:
        with reading(paths.model) as folder:
            challenger = model_fingerprint(folder)
    except UserError as error:
        unread = f"{error}."
    try:
        load_ranker(champion_folder(paths)[1], spec, TextVectors.read(paths, spec))
    except UserError as error:
        obstacle = f"No model may recommend: {error}."
    if history:
        last = f"Last, {history[-1].time}, {history[-1].action}: {' '.join(history[-1].reasons)}"
    return Standing(champion, challenger, obstacle, unread, last)


def latest_entries(paths: PipelinePaths) -> pl.DataFrame:
    """The last entries of the history, newest first."""
    last = read_history(paths)[-ENTRIES_SHOWN:][::-1]
    rows = [
        (entry.time, entry.action, entry.champion, entry.model, " ".join(entry.reasons)) for entry in last
    ]
    columns = ["time", "action", "champion", "model", "why"]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
