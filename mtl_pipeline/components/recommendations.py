"""Recommendations: the best unseen items of every user."""

import dagster as dg
import polars as pl

from mtl_pipeline.champions import champion_folder
from mtl_pipeline.components.checks import asset_checks
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.metadata import markdown_table, summary_metadata
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.catalogue import describe_catalogue
from mtl_pipeline.warehouse.checks import recommendations_checks
from mtl_pipeline.warehouse.tables import read_texts

SQL = ("candidate_parts.sql", "candidates.sql", "latest_history.sql", "history_log.sql")
USERS_SHOWN = 3
ITEMS_SHOWN = 3


def recommendations_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec

    @pipeline.asset(
        reads=["champion", *spec.tables, *pipeline.embeddings],
        kinds={"pytorch", "duckdb", "parquet"},
        code_version=pipeline.code_version(
            sql=[paths.common_sql / name for name in SQL], settings=recommendation_settings(spec)
        ),
    )
    def recommendations(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The best unseen items of every user by the champion, with the predictions of all tasks and their score."""
        from mtl_pipeline.learning.recommending import recommend
        from mtl_pipeline.warehouse.features.candidates import build_candidates

        champion, folder = champion_folder(paths)
        context.log.info(f"the champion is {champion}")
        with build_candidates(paths, spec) as candidates:
            summary = recommend(
                paths, spec, candidates, model=folder, target=paths.recommendations, log=context.log.info
            )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(summary.fingerprint),
            metadata={
                "dagster/uri": dg.MetadataValue.path(paths.recommendations),
                "model": champion,
                **summary_metadata(summary),
                **summary_metadata(describe_catalogue(paths, spec)),
                "for the first users": markdown_table(first_recommendations(pipeline)),
            },
        )

    return recommendations


def recommendation_settings(spec: PipelineSpec) -> dict:
    return {
        "recommendations": spec.recommendations,
        "available_from": spec.available_from,
        "tasks": [(task.name, task.kind, task.given, task.classes) for task in spec.tasks],
    }


def first_recommendations(pipeline: PipelineContext) -> pl.DataFrame:
    """The first items of the first users, with their texts."""
    best = pl.scan_parquet(pipeline.paths.recommendations).filter(pl.col("rank") <= ITEMS_SHOWN)
    first = best.sort("user_id", "rank").head(USERS_SHOWN * ITEMS_SHOWN).collect()
    if "items" not in pipeline.spec.text_tables:
        return first
    texts = pl.DataFrame(read_texts(pipeline.paths, pipeline.spec, "items"))
    return first.join(
        texts.rename({"id": "item_id", "text": "item"}), on="item_id", how="left", maintain_order="left"
    )


def recommendations_asset_checks(pipeline: PipelineContext) -> dg.AssetChecksDefinition:
    return asset_checks(pipeline, "recommendations", recommendations_checks(pipeline.paths, pipeline.spec))
