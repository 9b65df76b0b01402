"""Top items per user from scored candidates."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.dataset import TextVectors
from mtl_pipeline.learning.ranker import load_ranker
from mtl_pipeline.learning.training import Log
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import publish_file
from mtl_pipeline.spec import PipelineSpec


@dataclass(frozen=True)
class RecommendationsSummary:
    users: int
    rows: int
    candidates: int
    distinct_items: int
    score: str
    seconds: float
    fingerprint: str


def recommend(
    paths: PipelinePaths,
    spec: PipelineSpec,
    candidates: Iterable[pl.DataFrame],
    *,
    target: Path,
    log: Log = print,
) -> RecommendationsSummary:
    """Score the candidates and publish each user's best: user_id, item_id, rank, score and every task's
    prediction.

    Raises UserError when `recommendations.score` is no SQL expression over the task names.
    """
    started = time.perf_counter()
    ranker, encoder = load_ranker(paths.model, spec, TextVectors.read(paths))
    tasks = [task.name for task in spec.tasks]
    score = spec.recommendations.score or default_score(spec)
    best: list[pl.DataFrame] = []
    scored = 0
    for frame in candidates:
        predictions = pl.DataFrame(ranker.predict(encoder.encode(frame)).numpy(), schema=tasks)
        ranked = frame.select("user_id", "item_id").hstack(predictions)
        best.append(best_per_user(ranked, score, spec.recommendations.per_user))
        scored += len(frame)
        log(f"{scored:,} candidates scored")
    result = pl.concat(best).select("user_id", "item_id", "rank", "score", *tasks)
    with publish_file(target) as temporary:
        result.write_parquet(temporary)
        fingerprint = hashlib.sha256(temporary.read_bytes()).hexdigest()
    return RecommendationsSummary(
        users=result["user_id"].n_unique(),
        rows=len(result),
        candidates=scored,
        distinct_items=result["item_id"].n_unique(),
        score=score,
        seconds=round(time.perf_counter() - started, 2),
        fingerprint=fingerprint,
    )


def default_score(spec: PipelineSpec) -> str:
    """The probability that everything binary happens."""
    binary = [task.name for task in spec.tasks if task.kind == "binary"]
    return " * ".join(binary or [spec.tasks[0].name])


def best_per_user(predictions: pl.DataFrame, score: str, per_user: int) -> pl.DataFrame:
    """The rows with the highest score of each user, with `rank` from 1; ties go to the smaller item id."""
    try:
        scored = predictions.with_columns(pl.sql_expr(score).cast(pl.Float64).alias("score"))
    except pl.exceptions.PolarsError as error:
        raise UserError(
            f"recommendations.score in defs.yaml cannot be computed: {score!r} ({error}); "
            "it is a SQL expression over the task names"
        ) from error
    return (
        scored.sort(["user_id", "score", "item_id"], descending=[False, True, False])
        .with_columns((pl.int_range(pl.len()).over("user_id") + 1).alias("rank"))
        .filter(pl.col("rank") <= per_user)
    )
