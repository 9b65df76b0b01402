"""The chance that all of a chain of binary tasks happens: a ranking is made of such rows."""

from __future__ import annotations

import polars as pl

from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Section
from mtl_pipeline.evaluation.report.tables import model_table
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import Score
from mtl_pipeline.metrics.thresholds import WHOLE_CHAIN


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    frames = evaluation.whole_chains.partition_by("chain", maintain_order=True)
    return [chain_section(frame, evaluation.candidate) for frame in frames]


def chain_section(frame: pl.DataFrame, candidate: str) -> Section:
    scores = {
        (row["model"], row["metric"]): Score(row["value"], row["note"]) for row in frame.iter_rows(named=True)
    }
    table = model_table(
        frame["model"].unique(maintain_order=True).to_list(),
        [KINDS["binary"].metric(name) for name in WHOLE_CHAIN],
        scores,
        candidate=candidate,
    )
    how = (
        f"The chance that all of it happens, the product of the predictions, over the {frame['rows'][0]:,} test rows "
        "where the first label was observed."
    )
    return Section(
        f"Whole chain: {frame['chain'][0]}", [how], details=[Section("Models side by side", tables=[table])]
    )
