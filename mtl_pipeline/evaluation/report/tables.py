"""The table of models side by side, which several sections have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from mtl_pipeline.evaluation.formatting import format_value
from mtl_pipeline.evaluation.report.document import BEST, Cell, Table
from mtl_pipeline.evaluation.report.wording import labelled
from mtl_pipeline.metrics.metric import Metric
from mtl_pipeline.predictions import CEILING


def model_table(
    scores: pl.DataFrame,
    metrics: Sequence[Metric],
    *,
    candidate: str,
    title: str = "",
    notes: Sequence[str] = (),
    more: Mapping[str, Mapping[str, Cell | str]] | None = None,
) -> Table:
    """Rows are models, columns are metrics. `scores` has columns model, metric, value and, of a NaN value, note.
    `more`: further columns, by model."""
    by_metric = {metric: scores.filter(metric=metric.name) for metric in metrics}
    models = scores["model"].unique(maintain_order=True).to_list()
    columns = {
        "model": [f"{model} (best possible)" if model == CEILING else model for model in models],
        **{labelled(metric): metric_column(rows, metric) for metric, rows in by_metric.items()},
        **{head: [cells.get(model, "") for model in models] for head, cells in (more or {}).items()},
    }
    missing = [
        f"{metric.label} of {model}: {note}"
        for metric, rows in by_metric.items()
        for model, note in rows.filter(pl.col("value").is_nan()).select("model", "note").iter_rows()
    ]
    rows = list(zip(*columns.values(), strict=True))
    return Table(list(columns), rows, title=title, notes=[*missing, *notes], highlighted=candidate)


def metric_column(scores: pl.DataFrame, metric: Metric) -> list[Cell]:
    """The best value is marked, and so is every value that prints the same; the ceiling takes no part in that."""
    texts = [format_value(value) for value in scores["value"]]
    ranks = metric.ranks_models & scores["value"].is_not_nan() & (scores["model"] != CEILING)
    best = format_value(
        (max if metric.higher_is_better else min)(scores["value"].filter(ranks), default=None)
    )
    return [Cell(text, BEST if may and text == best else "") for text, may in zip(texts, ranks, strict=True)]
