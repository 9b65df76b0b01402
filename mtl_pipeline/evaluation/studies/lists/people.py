"""The lists of a few real users: what they liked in training, and what the candidate puts first in their test rows."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from mtl_pipeline.evaluation.studies.chains import chain_label, chain_name, chain_prediction
from mtl_pipeline.evaluation.studies.frames import published
from mtl_pipeline.evaluation.studies.lists.ranked_lists import ranked_chains
from mtl_pipeline.spec import Task

USERS_SHOWN = 5
ITEMS_SHOWN = 5
FEWEST_BEFORE = 3
"""Fewer items that a user liked in training say little about their taste."""

PEOPLE = ("user_id", "goal", "part", "item_id", "prediction", "label")


def lists_of_people(
    predictions: pl.DataFrame,
    examples: pl.LazyFrame,
    tasks: Sequence[Task],
    *,
    candidate: str,
    seed: int = 0,
) -> pl.DataFrame:
    """One row for each item; `goal` is the chain, 'click → purchase'.

    Part 'before': the items of the user's newest training rows where the goal was reached, newest first. Part 'top':
    those of the user's test rows with the highest probability of the goal, highest first; the label is 1 where it was
    reached, and null where that is not known. Users are drawn by `seed` among those with enough of both; no rows where
    there are no users, items or binary tasks.
    """
    chains = ranked_chains(tasks)
    if not chains or not {"user_id", "item_id"} <= set(predictions.columns):
        return published(PEOPLE)
    chain = chains[-1]
    goal = pl.lit(chain_name(chain)).alias("goal")
    reached = pl.all_horizontal(pl.col(task.name) == 1 for task in chain)
    before = (
        examples.filter(pl.col("split") == "train", reached)
        .sort("timestamp", descending=True, maintain_order=True)
        .unique(["user_id", "item_id"], keep="first", maintain_order=True)
        .select("user_id", goal, pl.lit("before").alias("part"), "item_id")
        .collect()
    )
    top = (
        predictions.lazy()
        .filter(pl.col("split") == "test")
        .select(
            "user_id",
            goal,
            pl.lit("top").alias("part"),
            "item_id",
            chain_prediction(candidate, chain).alias("prediction"),
            chain_label(chain).alias("label"),
        )
        .sort("prediction", descending=True, maintain_order=True)
        .unique(["user_id", "item_id"], keep="first", maintain_order=True)
        .collect()
    )
    users = (
        before.group_by("user_id")
        .agg(before=pl.len())
        .join(top.group_by("user_id").agg(top=pl.len()), on="user_id")
        .filter(pl.col("before") >= FEWEST_BEFORE, pl.col("top") >= ITEMS_SHOWN)
        .select("user_id")
        .sort("user_id")
    )
    drawn = users.sample(min(USERS_SHOWN, users.height), seed=seed)
    lists = pl.concat([before, top], how="diagonal").join(drawn, on="user_id", maintain_order="left")
    return lists.group_by("user_id", "part", maintain_order=True).head(ITEMS_SHOWN)
