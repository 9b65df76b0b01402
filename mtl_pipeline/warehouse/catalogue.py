"""How much of the catalogue the recommendations cover, and how well known their items are."""

from __future__ import annotations

from dataclasses import dataclass

from mtl_pipeline.checksums import verify_file
from mtl_pipeline.paths import COMMON_SQL, PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import fetch_one, open_warehouse
from mtl_pipeline.warehouse.features.candidates import items_on_offer
from mtl_pipeline.warehouse.templates import quote_literal, render_sql


@dataclass(frozen=True)
class CatalogueSummary:
    """About the published recommendations; without any, everything but `items_on_offer` is zero."""

    items_on_offer: int
    catalogue_coverage: float
    """Share of the items on offer that are recommended to at least one user."""
    novelty: float
    """Mean over the recommendations of −log2(popularity) in bits, where popularity is an item's share of all
    interactions (Zhou et al. 2010, "Solving the apparent diversity-accuracy dilemma of recommender systems").
    Each item counts one interaction more than it has, so that items without any are not infinitely novel."""
    concentration: float
    """Gini coefficient of how often each item on offer is recommended: 0 is all equally often, near 1 only one item."""


def describe_catalogue(paths: PipelinePaths, spec: PipelineSpec) -> CatalogueSummary:
    """Raises UserError when there is no warehouse yet, or when the recommendations are damaged."""
    verify_file(paths.recommendations)
    sql = render_sql(
        COMMON_SQL / "catalogue.sql",
        items=items_on_offer(spec),
        recommendations=f"read_parquet({quote_literal(paths.recommendations)})",
    )
    with open_warehouse(paths.warehouse, read_only=True, settings=spec.warehouse) as connection:
        return CatalogueSummary(*fetch_one(connection, sql))
