"""The chance that all of a chain of binary tasks happens: a ranking is made of such rows."""

from __future__ import annotations

import polars as pl

from mtl_pipeline.evaluation.formatting import format_value, join_words
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Section
from mtl_pipeline.evaluation.report.tables import model_table
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.thresholds import WHOLE_CHAIN


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    frames = evaluation.whole_chains.partition_by("chain", maintain_order=True)
    return [chain_section(frame, evaluation) for frame in frames]


def chain_section(frame: pl.DataFrame, evaluation: Evaluation) -> Section:
    how = (
        f"The chance that all of it happens, the product of the predictions, over the {frame['rows'][0]:,} test rows "
        "where the first label was observed."
    )
    metrics = [KINDS["binary"].metric(name) for name in WHOLE_CHAIN]
    table = model_table(frame, metrics, candidate=evaluation.candidate)
    chain = frame["chain"][0]
    details = [Section("Models side by side", means_over_seeds(evaluation, chain), tables=[table])]
    return Section(f"Whole chain: {chain}", [how], details=details)


def means_over_seeds(evaluation: Evaluation, chain: str) -> list[str]:
    """Of the candidate; nothing where there is one seed. The means of tasks stand with the seed runs."""
    compared = evaluation.chain_comparisons.filter(chain=chain).unique("metric", maintain_order=True)
    labels = {metric.name: metric.label for metric in KINDS["binary"].metrics}
    means = [f"{labels[row['metric']]} {format_value(row['candidate_value'])}" for row in compared.to_dicts()]
    if evaluation.seeds == 1 or not means:
        return []
    return [f"{evaluation.candidate} on average over {evaluation.seeds} seeds: {join_words(means)}."]
