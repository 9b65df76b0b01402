"""Slices: which test rows are of new users, of rare items, of one category, of one week.

What is new and what is popular is decided by the training split alone, as it is for the model.
"""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl

from mtl_pipeline.spec import PipelineSpec

USERS, ITEMS, POPULARITY, TIME = "User", "Item", "Popularity", "Time"
"""Kinds of slices that every pipeline has, as far as it has ids and times. The kind of a categorical feature is its
name, which is lower-case."""

KNOWN, NEW = "known", "new"
HEAD, MIDDLE, TAIL = "head", "middle", "tail"
HEAD_SHARE, MIDDLE_SHARE = 0.5, 0.9
"""The most popular items that together make up this share of the training interactions."""
MOST_VALUES = 8
OTHER, MISSING_VALUE = "(other values)", "(missing)"
TIME_SPANS = 4
TIME_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S%.f")
"""The first one that tells the ends of the spans apart is used."""


def slices_of(examples: pl.LazyFrame, spec: PipelineSpec) -> pl.DataFrame:
    """The slices of every test example: `example_id` and a column for each kind of slice.

    User, Item: 'known' where the id is in the training split, so in the vocabulary, else 'new'.
    Popularity: 'head', 'middle', 'tail' or 'new' (see `item_popularity`).
    A column by the name of each of `evaluation.slices`: its value, if among the most frequent; a list of values
    where the feature is a list, whose row belongs to several slices.
    Time: up to four spans of equal length.
    Columns are Enums, whose categories are in the order to be shown, or lists of them.
    """
    train = examples.filter(pl.col("split") == "train")
    test = examples.filter(pl.col("split") == "test")
    frame = test.select("example_id", *spec.ids, "timestamp", *spec.evaluation.slices).collect()
    columns = [frame["example_id"]]
    if "user_id" in spec.ids:
        columns.append(known_or_new(frame["user_id"], train).alias(USERS))
    if "item_id" in spec.ids:
        columns.append(known_or_new(frame["item_id"], train).alias(ITEMS))
        columns.append(item_popularity(frame["item_id"], train, spec).alias(POPULARITY))
    columns += [frequent_values(frame[name]).alias(name) for name in spec.evaluation.slices]
    if (spans := time_spans(frame["timestamp"])) is not None:
        columns.append(spans.alias(TIME))
    return pl.DataFrame(columns)


def cold_of(examples: pl.LazyFrame, spec: PipelineSpec) -> pl.DataFrame:
    """`example_id` of every test example and, where there are items, `cold`: whether the training split holds no
    interaction with its item. A sampled negative is not one, so an item may be in the vocabulary and cold."""
    test = examples.filter(pl.col("split") == "test")
    if "item_id" not in spec.ids:
        return test.select("example_id").collect()
    train = examples.filter(pl.col("split") == "train")
    interactions = train.filter(pl.col(spec.root_task.name) > 0) if spec.negatives else train
    items = interactions.select(pl.col("item_id").unique().drop_nulls()).collect()["item_id"]
    return test.select("example_id", cold=~pl.col("item_id").is_in(items.implode())).collect()


def known_or_new(ids: pl.Series, train: pl.LazyFrame) -> pl.Series:
    """Enum (rows,)."""
    seen = train.select(pl.col(ids.name).unique().drop_nulls()).collect()[ids.name]
    known = pl.when(ids.is_in(seen.implode())).then(pl.lit(KNOWN)).otherwise(pl.lit(NEW))
    return pl.select(known.cast(pl.Enum([KNOWN, NEW]))).to_series()


def item_popularity(items: pl.Series, train: pl.LazyFrame, spec: PipelineSpec) -> pl.Series:
    """Enum (rows,): 'head' items make up the first half of the training interactions, 'middle' ones the next 40 %,
    'tail' ones the rest; 'new' ones are not in the training split. Of equally popular items the smaller id goes first.
    """
    ranked = item_interactions(train, spec)
    count = pl.col("interactions")
    share_before = (count.cum_sum() - count) / count.sum()
    # Without interactions, an item has a share of 1 before it, or NaN, which is not below anything.
    popularity = (
        pl.when(share_before < HEAD_SHARE)
        .then(pl.lit(HEAD))
        .when(share_before < MIDDLE_SHARE)
        .then(pl.lit(MIDDLE))
        .otherwise(pl.lit(TAIL))
    )
    of_items = ranked.select("item_id", popularity.alias(POPULARITY))
    by_row = items.to_frame().join(of_items, on="item_id", how="left", maintain_order="left")[POPULARITY]
    return by_row.fill_null(NEW).cast(pl.Enum([HEAD, MIDDLE, TAIL, NEW]))


def item_interactions(train: pl.LazyFrame, spec: PipelineSpec) -> pl.DataFrame:
    """`item_id` and `interactions` (Float64) of every item of these rows, most popular first.

    Sampled negatives are no interactions: where there are any, only rows on which the first task happened count.
    """
    interactions = (pl.col(spec.root_task.name) > 0).sum() if spec.negatives else pl.len()
    return (
        train.filter(pl.col("item_id").is_not_null())
        .group_by("item_id")
        .agg(interactions.cast(pl.Float64).alias("interactions"))
        .sort("interactions", "item_id", descending=[True, False])
        .collect()
    )


def frequent_values(values: pl.Series) -> pl.Series:
    """Enum (rows,), or a list of Enums for a list-valued feature: the most frequent values by name, the rest
    together."""
    is_list = isinstance(values.dtype, pl.List)
    column = pl.col(values.name)
    as_lists = column if is_list else pl.concat_list(column.cast(pl.String))
    lists = values.to_frame().select(as_lists.cast(pl.List(pl.String)).list.drop_nulls()).to_series()
    flat = lists.explode().drop_nulls()
    counts = flat.alias("value").value_counts().sort("count", "value", descending=[True, False])
    frequent = counts["value"].head(MOST_VALUES).to_list()
    order = pl.Enum(list(dict.fromkeys([*frequent, OTHER, MISSING_VALUE])))
    named = pl.when(pl.element().is_in(frequent)).then(pl.element()).otherwise(pl.lit(OTHER))
    present = lists.list.eval(named.cast(order)).list.unique()
    absent = pl.lit([MISSING_VALUE], dtype=pl.List(order))
    filled = pl.select(pl.when(present.list.len() > 0).then(present).otherwise(absent)).to_series()
    return filled if is_list else filled.list.first()


def time_spans(times: pl.Series) -> pl.Series | None:
    """Enum (rows,): "1998-03-30 – 1998-04-05", with the time of day where they are short; None without times, or
    where all are the same."""
    moment = times.cast(pl.Datetime("us")).to_physical().to_numpy()
    if times.null_count() or moment.min() == moment.max():
        return None
    first, length = moment.min(), moment.max() - moment.min()
    span = np.minimum((moment - first) * TIME_SPANS // length, TIME_SPANS - 1)
    edges = pl.Series(first + length * np.arange(TIME_SPANS + 1) // TIME_SPANS).cast(pl.Datetime("us"))
    written = [edges.dt.to_string(how) for how in TIME_FORMATS]
    texts = next((texts for texts in written if texts.is_unique().all()), written[-1])
    names = [f"{start} – {stop}" for start, stop in itertools.pairwise(texts)]
    return pl.Series(names, dtype=pl.Enum(names)).gather(span)
