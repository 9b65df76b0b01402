"""Everything that a report of an evaluation shows besides the numbers of the evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from mtl_pipeline.champions import Decision
from mtl_pipeline.evaluation.facts import Facts
from mtl_pipeline.evaluation.report.figures.task_figures import TrainingLog
from mtl_pipeline.evaluation.studies.runs.history import Record


@dataclass(frozen=True)
class ReportContext:
    pipeline: str
    predictions: pl.DataFrame
    """The frame that was evaluated; figures are drawn from its test rows."""
    training_log: TrainingLog = ()
    facts: Facts = field(default_factory=Facts)
    configuration: str = ""
    """YAML."""
    calibration: Mapping[str, str] = field(default_factory=dict)
    """Task → how the candidate was calibrated, and why."""
    parts: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """The frames that the studies published, by name. The section of one that is missing or empty is left out."""
    caveats: Sequence[str] = ()
    """What a reader of the verdicts has to know as well, for instance that there are seed runs of an older model."""
    decision: Decision | None = None
    """Whether the model becomes champion."""
    past: Sequence[Record] = ()
    """Every evaluation on record, oldest first, this one last."""
