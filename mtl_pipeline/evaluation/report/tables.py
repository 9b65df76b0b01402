"""Tables that several sections have: models side by side, and facts by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mtl_pipeline.evaluation.formatting import MISSING, format_value
from mtl_pipeline.evaluation.report.document import BEST, Cell, Table
from mtl_pipeline.evaluation.report.wording import labelled
from mtl_pipeline.metrics.metric import Metric, Score
from mtl_pipeline.predictions import CEILING


def model_table(
    models: Sequence[str],
    metrics: Sequence[Metric],
    scores: Mapping[tuple[str, str], Score],
    *,
    candidate: str,
    title: str = "",
    notes: Sequence[str] = (),
    more: Mapping[str, Mapping[str, Cell | str]] | None = None,
) -> Table:
    """Rows are models, columns are metrics. Best values are marked, and so is every value that prints the same as
    the best; the ceiling takes no part in that. `scores`: by model and metric. `more`: further columns, by model."""
    columns = {
        labelled(metric): metric_column(models, metric, [scores[model, metric.name] for model in models])
        for metric in metrics
    } | {head: [values.get(model, "") for model in models] for head, values in (more or {}).items()}
    names = [f"{model} (best possible)" if model == CEILING else model for model in models]
    missing = {
        f"{metric.label} of {model}: {score.note}": None
        for metric in metrics
        for model in models
        if (score := scores[model, metric.name]).note
    }
    return Table(
        ["model", *columns],
        list(zip(names, *columns.values(), strict=True)),
        title=title,
        notes=[*missing, *notes],
        highlighted=candidate,
    )


def metric_column(models: Sequence[str], metric: Metric, scores: Sequence[Score]) -> list[Cell]:
    texts = [format_value(score.value) for score in scores]
    in_the_race = {
        model: score.value
        for model, score in zip(models, scores, strict=True)
        if model != CEILING and not math.isnan(score.value)
    }
    best = ""
    if in_the_race and metric.ranks_models:
        best = format_value((max if metric.higher_is_better else min)(in_the_race.values()))
    return [
        Cell(text, BEST if model in in_the_race and text == best else "")
        for model, text in zip(models, texts, strict=True)
    ]


def fact_table(
    title: str, key: str, value: str, facts: Mapping[str, Any] | None, empty: str = ""
) -> list[Table]:
    """Two columns, or, for a mapping of mappings, one column per outer key and one row per inner key."""
    if facts is None or not (facts or empty):
        return []
    if facts and all(isinstance(column, Mapping) for column in facts.values()):
        names = list(dict.fromkeys(name for column in facts.values() for name in column))
        rows = [[name, *(fact_text(column.get(name)) for column in facts.values())] for name in names]
        return [Table([key, *map(str, facts)], rows, title)]
    rows = [[str(name), fact_text(fact)] for name, fact in facts.items()]
    return [Table([key, value], rows, title, notes=[] if rows else [empty])]


def fact_text(fact: Any) -> str:
    if fact is None:
        return MISSING
    if isinstance(fact, str):
        return fact
    if isinstance(fact, int):
        return f"{fact:,}"
    if isinstance(fact, float):
        return f"{fact:,.3f}"
    if isinstance(fact, Sequence):
        return " to ".join(fact_text(part) for part in fact)
    return str(fact)
