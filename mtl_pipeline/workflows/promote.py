"""The champion, the model that recommends: what the evaluation decided is carried out, or an earlier one comes back."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from mtl_pipeline.champions import (
    PREVIOUS,
    Decision,
    carry_out,
    champion_folder,
    current_champion,
    model_fingerprint,
    read_history,
    roll_back,
)
from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import TextVectors
from mtl_pipeline.learning.training.ranker import load_ranker
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import reading
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.workflows.log import Log

ENTRIES_SHOWN = 10
NONE = "none"
"""In place of the fingerprint of a champion, or of a model, that is not there."""


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
