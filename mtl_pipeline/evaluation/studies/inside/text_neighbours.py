"""Whether text vectors mean something, for a person to judge: which items are alike by them, and a map of all.

Neighbours are looked for among at most MOST_ITEMS items, and counted for at most MOST_MEASURED of them, a block of
products at a time: a second and 200 MB at most beside the vectors. The same vectors give the same frames.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.linalg import eigh

from mtl_pipeline.evaluation.studies.inside.slices import frequent_values
from mtl_pipeline.vectors import Vectors

MOST_ITEMS, MOST_MEASURED, MOST_MAPPED = 20_000, 2_000, 1_000
SHOWN_ITEMS, SHOWN_NEIGHBOURS = 5, 5
NEIGHBOURS = 10
DRAWN = 100
"""Items that each one is compared with by chance."""
BLOCK = 256


def sample_items(found: Vectors, interactions: pl.DataFrame | None = None) -> tuple[pl.DataFrame, np.ndarray]:
    """`item_id` of at most MOST_ITEMS items, and their vectors at length one, float32 [items, dimension].

    With `interactions` (columns item_id and interactions) the most popular come first; otherwise, and where equally
    popular, they are in the order of their texts' hashes, which is arbitrary and stays. One item stands for all with
    its text; those without text, whose vector is zero, are left out, as are vectors that are not finite.
    """
    columns = {"item_id": pl.Series(found.ids), "text_hash": pl.Series(found.text_hashes)}
    items = pl.DataFrame(columns).with_row_index("row").with_columns(interactions=pl.lit(0.0))
    if interactions is not None:
        items = items.drop("interactions").join(interactions, on="item_id", how="left", maintain_order="left")
    ordered = items.sort("interactions", "text_hash", descending=[True, False], nulls_last=True)
    chosen = ordered.unique("text_hash", keep="first", maintain_order=True).head(MOST_ITEMS)
    vectors = found.vectors[chosen["row"].to_numpy()]
    lengths = np.linalg.norm(vectors, axis=1)
    has_text = (lengths > 0) & np.isfinite(lengths)
    return chosen.filter(has_text).select("item_id"), vectors[has_text] / lengths[has_text, None]


def measure_neighbours(items: pl.DataFrame, vectors: np.ndarray, feature: str | None) -> pl.DataFrame:
    """The published frame `text_neighbours`: a row for each of the nearest neighbours, nearest first, of the first item
    and of four more at equal distances down the list.

    `items` has item_id, item_text and category, a list of values of `feature`; `vectors`, of length one, are theirs,
    two or more. `shares`: whether both have a value in common. The same in every row: `neighbours_alike`, the share of
    the NEIGHBOURS nearest that have a value in common with their item, and `chance_alike`, that of items drawn by
    chance, null without categories; `chance_cosine`, the mean over all pairs; `named`, the share of items whose text
    names one of its values; `items` and `measured`, how many neighbours were looked for among, and for.
    """
    count = len(items)
    measured, shown = evenly(count, MOST_MEASURED), evenly(count, SHOWN_ITEMS)
    near, _ = nearest(vectors, measured)
    steps = np.random.default_rng(0).integers(1, count, size=(len(measured), DRAWN))
    chance = (measured[:, None] + steps) % count
    nearest_shown, cosines = (of_each[:, :SHOWN_NEIGHBOURS] for of_each in nearest(vectors, shown))
    names = items.select("item_id", "item_text")
    neighbours = names[nearest_shown.ravel()].select(neighbour_id="item_id", neighbour_text="item_text")
    of_items = names[shown.repeat(nearest_shown.shape[1])]
    return pl.concat([of_items, neighbours], how="horizontal").with_columns(
        pl.Series("cosine", cosines.ravel(), pl.Float64),
        alike(items, shown, nearest_shown).fill_null(False).alias("shares"),
        feature=pl.lit(feature, pl.String),
        neighbours_alike=pl.lit(alike(items, measured, near).mean(), pl.Float64),
        chance_alike=pl.lit(alike(items, measured, chance).mean(), pl.Float64),
        chance_cosine=float(np.square(vectors.sum(axis=0)).sum() - count) / (count * (count - 1)),
        named=pl.lit(names_its_category(items), pl.Float64),
        items=count,
        measured=len(measured),
    )


def map_items(items: pl.DataFrame, vectors: np.ndarray) -> pl.DataFrame:
    """The published frame `text_map`: where an item lies on the first two principal components, `x` and `y`; its
    `category`, of several the first, the frequent ones by name; and the share of the `variance` that both hold."""
    places = evenly(len(items), MOST_MAPPED)
    centred = vectors[places] - vectors[places].mean(axis=0)
    products, last = centred @ centred.T, len(places) - 1
    variances, axes = eigh(products, subset_by_index=[last - 1, last])  # of busy cores an SVD takes seconds
    points = axes[:, ::-1] * np.sqrt(np.maximum(variances[::-1], 0))
    signs = np.sign(points[np.abs(points).argmax(axis=0), [0, 1]])  # which would be arbitrary
    x, y = (points * signs).T
    category = frequent_values(items["category"][places].list.first())
    variance = float(variances.sum() / max(np.trace(products), np.finfo(np.float32).tiny))
    return items["item_id"][places].to_frame().with_columns(x=x, y=y, category=category, variance=variance)


def evenly(count: int, most: int) -> np.ndarray:
    """The places of at most `most` of `count` items: the first, and others at equal distances."""
    return np.arange(min(count, most)) * count // min(count, most)


def nearest(vectors: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places of the nearest other vectors to those at the places `asked`, nearest first, and their cosines: [asked,
    neighbours], NEIGHBOURS or as many as there are."""
    most = min(NEIGHBOURS, len(vectors) - 1)
    found = []
    for start in range(0, len(asked), BLOCK):
        block = asked[start : start + BLOCK]
        cosines = vectors[block] @ vectors.T
        cosines[np.arange(len(block)), block] = -np.inf
        top = np.argpartition(cosines, -most)[:, -most:]
        order = np.take_along_axis(cosines, top, axis=1).argsort(axis=1)[:, ::-1]
        places = np.take_along_axis(top, order, axis=1)
        found.append((places, np.take_along_axis(cosines, places, axis=1)))
    places, cosines = zip(*found, strict=True)
    return np.concatenate(places), np.concatenate(cosines)


def alike(items: pl.DataFrame, ones: np.ndarray, others: np.ndarray) -> pl.Series:
    """Whether the items at the places `ones` [n] have a category in common with `others` [n, k], which are k of each:
    [n * k], null where the one has none."""
    repeated = ones.repeat(others.shape[1])
    pairs = pl.DataFrame({"one": items["category"][repeated], "other": items["category"][others.ravel()]})
    common = pl.col("one").list.set_intersection("other").list.len() > 0
    return pairs.select(pl.when(pl.col("one").list.len() > 0).then(common)).to_series()


def names_its_category(items: pl.DataFrame) -> float | None:
    """The share of items with a category whose text names one of its values, word by word."""
    text, value = (
        " " + pl.col(column).str.to_lowercase().str.replace_all(r"\W+", " ") + " "
        for column in ("item_text", "category")
    )
    each = items.explode("category").drop_nulls("category")
    named = each.group_by("item_id").agg(text.str.contains(value, literal=True).any().alias("named"))
    return named["named"].mean()  # type: ignore[return-value]
