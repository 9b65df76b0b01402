"""Whole chains of binary tasks: purchase of all impressions, not of the clicked ones alone.

A task with `given` is trained and scored where its condition happened, which is not where it is used: a ranking is made
of rows that nobody has clicked yet. What counts there is the probability that everything happens, the product of the
chain's predictions, over every row where the first task was observed (the entire space of Ma et al. 2018, ESMM).
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import (
    CEILING,
    TaskRows,
    has_users,
    label_column,
    model_names,
    prediction_column,
    task_rows,
)
from mtl_pipeline.spec import Task


def chain_to(task: Task, tasks: Sequence[Task]) -> list[Task]:
    """The tasks that must all happen, the first one first, `task` last; empty unless the chain can be followed."""
    by_name = {task.name: task for task in tasks}
    chain = [task]
    while chain[0].given is not None:
        if chain[0].given not in by_name:
            return []
        chain.insert(0, by_name[chain[0].given])
    return chain


def whole_chains(tasks: Sequence[Task]) -> list[list[Task]]:
    """The chain to every binary task that is conditional on another."""
    chains = [chain_to(task, tasks) for task in tasks if KINDS[task.kind].is_event and task.given]
    return [chain for chain in chains if chain]


def chain_name(chain: Sequence[Task]) -> str:
    """'click → purchase'."""
    return " → ".join(task.name for task in chain)


def chain_label(chain: Sequence[Task]) -> pl.Expr:
    """0 where the chain breaks off, whatever the later labels are; null where its end is not known."""
    labels = [pl.col(label_column(task.name)) for task in chain]
    return (
        pl.when(pl.any_horizontal(label == 0 for label in labels))
        .then(0.0)
        .when(pl.all_horizontal(label == 1 for label in labels))
        .then(1.0)
    )


def chain_prediction(model: str, chain: Sequence[Task]) -> pl.Expr:
    return pl.fold(
        pl.lit(1.0),
        lambda product, factor: product * factor,
        [pl.col(prediction_column(model, task.name)).cast(pl.Float64) for task in chain],
    )


def chain_rows(predictions: pl.DataFrame, chain: Sequence[Task], candidate: str) -> TaskRows:
    """Labels and probabilities of the whole chain on test rows, for the models that predict every link of it. A row
    whose end is not known is left out."""
    first = pl.col(label_column(chain[0].name))
    rows = predictions.lazy().filter(pl.col("split") == "test", first.is_not_null())
    models = [
        model
        for model in model_names(predictions, chain[-1].name, candidate)
        if all(prediction_column(model, task.name) in predictions.columns for task in chain)
    ]
    products = [chain_prediction(model, chain).alias(prediction_column(model, "chain")) for model in models]
    users = ["user_id"] if has_users(predictions) else []
    frame = rows.select(*users, "split", chain_label(chain).alias(label_column("chain")), *products).collect()
    ceiling = prediction_column(CEILING, "chain")
    if CEILING in models and frame[ceiling].null_count():
        models.remove(CEILING)
    return task_rows(frame, "chain", models, "test")
