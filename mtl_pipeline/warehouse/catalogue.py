"""What the recommendations are like: how much of the catalogue they cover, how well known their items are, and whether
that makes sense."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mtl_pipeline.champions import reading_model
from mtl_pipeline.checksums import verify_file
from mtl_pipeline.paths import COMMON_SQL, PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.features.candidates import excluded_pairs, items_on_offer
from mtl_pipeline.warehouse.templates import quote_literal, render_sql

FEWEST_ROWS = 100
"""Recommendations below which nothing is warned of."""


@dataclass(frozen=True)
class Figure:
    meaning: str
    least: float = -math.inf
    most: float = math.inf
    """Below the one, or above the other, it is warned of."""

    @property
    def limit(self) -> str:
        ends = {"at least": self.least, "at most": self.most}
        return " and ".join(f"{words} {end:g}" for words, end in ends.items() if math.isfinite(end))


FIGURES = {
    "items on offer": Figure("to anybody"),
    "catalogue coverage": Figure("share of the items on offer that are recommended to at least one user"),
    "possible coverage": Figure(
        "items recommended, as a share of those that all lists together have places for", least=0.02
    ),
    "novelty": Figure(
        "mean over the recommendations of −log2(popularity) in bits, where popularity is an item's share of all "
        'interactions (Zhou et al. 2010, "Solving the apparent diversity-accuracy dilemma of recommender systems")'
    ),
    "concentration": Figure(
        "Gini coefficient of how often each item on offer is recommended: 0 is all equally often, near 1 only one item"
    ),
    "same first item": Figure(
        "share of the users whose first item is the one that most have first: a score that puts one item before "
        "everybody is hardly about people",
        most=0.5,
    ),
    "popularity overlap": Figure(
        "share of the recommendations that a list of the most popular items, without those excluded, would also hold: "
        "near 1 no model is needed",
        most=0.8,
    ),
    "untrained items": Figure(
        "share of the recommendations whose item is in no row that the champion was trained on: it knows no more of it "
        "than its features",
        most=0.5,
    ),
    "untrained users": Figure("share of the users of whom the champion saw no row in training", most=0.5),
    "candidate recall": Figure(
        "share of the best of all items that are among the candidates, of a sample of users", least=0.8
    ),
    "candidate score kept": Figure(
        "score of the best candidates over that of the best of all items, in the sample", least=0.95
    ),
    "score kept by re-ranking": Figure("score of the lists over that of the best by score alone"),
}


def limited(spec: PipelineSpec) -> dict[str, Figure]:
    """The figures that are warned of. Where only new items are recommended, that these are untrained is no news."""
    stage, newest = spec.recommendations.candidates, spec.recommendations.newest_days
    beside = {"untrained items"} if newest else set()
    beside |= set() if stage else {"candidate recall", "candidate score kept"}
    return {name: figure for name, figure in FIGURES.items() if figure.limit and name not in beside}


def judged(figures: Mapping[str, float], spec: PipelineSpec, rows: int) -> pl.DataFrame:
    """A row for each figure of `rows` recommendations: figure, value, limit, whether it warns, meaning."""
    limits, frame = limited(spec), []
    for name, value in figures.items():
        figure = limits.get(name, Figure(FIGURES[name].meaning if name in FIGURES else ""))
        warns = rows >= FEWEST_ROWS and not figure.least <= value <= figure.most
        frame.append((name, float(value), figure.limit, warns, figure.meaning))
    return pl.DataFrame(frame, ["figure", "value", "limit", "warns", "meaning"], orient="row")


def describe_catalogue(paths: PipelinePaths, spec: PipelineSpec, model: Path) -> dict[str, float]:
    """Those of FIGURES that the published recommendations tell; 0 without any. `model`: the folder of the model that
    made them. Raises UserError when there is no warehouse yet, or when the recommendations are damaged."""
    verify_file(paths.recommendations)
    with reading_model(model) as folder:
        sql = render_sql(
            COMMON_SQL / "catalogue.sql",
            items=items_on_offer(spec),
            excluded=excluded_pairs(spec),
            per_user=spec.recommendations.per_user,
            recommendations=f"read_parquet({quote_literal(paths.recommendations)})",
            vocabulary=f"read_parquet({quote_literal(folder / 'vocabulary.parquet')})",
        )
        with open_warehouse(paths.warehouse, read_only=True, settings=spec.warehouse) as connection:
            return connection.sql(sql).pl().row(0, named=True)
