"""Recommendations: the best unseen items of every user."""

from pathlib import Path

import dagster as dg

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.metadata import markdown_table, published, report_metadata, summary_metadata
from mtl_pipeline.paths import COMMON_SQL
from mtl_pipeline.spec.assets import code_version
from mtl_pipeline.warehouse.features import candidates, history, retrieval, sequences

SQL = (
    "candidate_parts.sql",
    "candidates.sql",
    "candidates_excluded.sql",
    "popularity.sql",
    "latest_history.sql",
    "history_log.sql",
)
MADE_BY = [
    *(COMMON_SQL / name for name in SQL),
    Path(candidates.__file__),
    Path(history.__file__),
    Path(retrieval.__file__),
    *sequences.MADE_BY,
]


def recommendations_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec
    settings = {
        "recommendations": spec.recommendations,
        "available_from": spec.available_from,
        "sequence": spec.features.sequence,
        "tasks": [(task.name, task.kind, task.given, task.classes, task.good) for task in spec.tasks],
    }

    @pipeline.asset(
        reads=["champion", *spec.tables, *pipeline.embeddings],
        study=spec.is_quick,
        kinds={"pytorch", "duckdb", "parquet"},
        code_version=code_version(sql=MADE_BY, settings=settings),
    )
    def recommendations(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The best unseen items of every user by the champion, with the predictions of all tasks and their score."""
        from mtl_pipeline.workflows.recommend import recommend_items

        recommended = recommend_items(paths, spec, log=context.log.info)
        metadata = {
            "model": recommended.champion,
            **summary_metadata(recommended.summary),
            **recommended.figures,
            "warnings": "; ".join(recommended.warnings) or "none",
            **report_metadata(paths.recommendations_report),
            "for the first users": markdown_table(recommended.first),
        }
        del metadata["figures"]  # each is a number of its own, to be followed over runs
        made = recommended.summary
        in_short = f"{made.rows:,} for {made.users:,} users, of {made.candidates:,} candidates"
        return published(made.fingerprint, paths.recommendations, metadata, in_short=in_short)

    return recommendations
