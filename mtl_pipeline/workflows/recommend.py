"""Recommendations: the best unseen items of every user, by the champion, and a page that says if they make sense."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from mtl_pipeline.champions import champion_folder, short
from mtl_pipeline.evaluation.report.html import to_html
from mtl_pipeline.evaluation.report.markdown import to_markdown
from mtl_pipeline.evaluation.report.recommendations import recommendations_report, warnings_of
from mtl_pipeline.learning.ranker.provenance import rows_limit
from mtl_pipeline.learning.recommending import RecommendationsSummary, recommend
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import publish_folder
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.catalogue import describe_catalogue, judged
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
    figures: dict[str, float]
    warnings: list[str]
    first: pl.DataFrame
    """The first items of the first users."""


def recommend_items(paths: PipelinePaths, spec: PipelineSpec, *, log: Log = print) -> Recommended:
    """The best items of each user, with the predictions of all tasks. Raises UserError when there is no champion."""
    champion, folder = champion_folder(paths)
    log(f"the champion is {champion}")
    with build_candidates(paths, spec) as candidates:
        summary = recommend(paths, spec, candidates, model=folder, target=paths.recommendations, log=log)
    first = first_recommendations(paths, spec)
    described = describe_catalogue(paths, spec, folder)
    if rows_limit(folder):  # the model's vocabulary, by which it is told, is of all training rows
        described = {name: value for name, value in described.items() if not name.startswith("untrained")}
    figures = judged(described | summary.figures, spec, summary.rows)
    report = recommendations_report(
        paths.pipeline, datetime.now(UTC), figures, first, short(champion), summary.score
    )
    with publish_folder(paths.recommendations_report) as target:
        figures.write_parquet(target / "figures.parquet")
        (target / "report.html").write_text(to_html(report), encoding="utf-8")
        (target / "report.md").write_text(to_markdown(report.sections), encoding="utf-8")
    values = dict(figures.select("figure", "value").iter_rows())
    return Recommended(champion, summary, values, warnings_of(figures), first)


def first_recommendations(paths: PipelinePaths, spec: PipelineSpec) -> pl.DataFrame:
    """The first items of the first users, with their texts."""
    best = pl.scan_parquet(paths.recommendations).filter(pl.col("rank") <= ITEMS_SHOWN)
    first = best.sort("user_id", "rank").head(USERS_SHOWN * ITEMS_SHOWN).collect()
    if ("items", "text") not in spec.embedded:
        return first
    texts = read_item_texts(paths, spec, first["item_id"]).rename({"item_text": "item"})
    return first.join(texts, on="item_id", how="left", maintain_order="left")
