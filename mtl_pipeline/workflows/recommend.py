"""Recommendations: the best unseen items of every user, by the champion."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from mtl_pipeline.champions import champion_folder
from mtl_pipeline.learning.recommending import RecommendationsSummary, recommend
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.catalogue import CatalogueSummary, describe_catalogue
from mtl_pipeline.warehouse.features.candidates import build_candidates
from mtl_pipeline.warehouse.tables import read_item_texts
from mtl_pipeline.workflows.log import Log

USERS_SHOWN = 3
ITEMS_SHOWN = 3


@dataclass(frozen=True)
class Recommended:
    """What was published."""

    champion: str
    """Fingerprint of the model that scored."""
    summary: RecommendationsSummary
    catalogue: CatalogueSummary
    first: pl.DataFrame
    """The first items of the first users."""


def recommend_items(paths: PipelinePaths, spec: PipelineSpec, *, log: Log = print) -> Recommended:
    """The best items of each user, with the predictions of all tasks. Raises UserError when there is no champion."""
    champion, folder = champion_folder(paths)
    log(f"the champion is {champion}")
    with build_candidates(paths, spec) as candidates:
        summary = recommend(paths, spec, candidates, model=folder, target=paths.recommendations, log=log)
    return Recommended(champion, summary, describe_catalogue(paths, spec), first_recommendations(paths, spec))


def first_recommendations(paths: PipelinePaths, spec: PipelineSpec) -> pl.DataFrame:
    """The first items of the first users, with their texts."""
    best = pl.scan_parquet(paths.recommendations).filter(pl.col("rank") <= ITEMS_SHOWN)
    first = best.sort("user_id", "rank").head(USERS_SHOWN * ITEMS_SHOWN).collect()
    if "items" not in spec.text_tables:
        return first
    texts = read_item_texts(paths, spec, first["item_id"]).rename({"item_text": "item"})
    return first.join(texts, on="item_id", how="left", maintain_order="left")
