"""Top items per user from scored candidates."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from mtl_pipeline.candidates import Block, Candidates
from mtl_pipeline.checksums import UNSEALED, seal
from mtl_pipeline.errors import UserError
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.data.dataset import TextVectors
from mtl_pipeline.learning.data.pairs import encode_pairs, encode_side
from mtl_pipeline.learning.training.loop import Log
from mtl_pipeline.learning.training.members import device
from mtl_pipeline.learning.training.ranker import load_ranker
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.progress import ProgressLog
from mtl_pipeline.publishing import ensure_writable, publish_file
from mtl_pipeline.spec import PipelineSpec, entire_space_name


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
    candidates: Candidates,
    *,
    model: Path,
    target: Path,
    log: Log = print,
) -> RecommendationsSummary:
    """Score the candidates with the model in folder `model` and publish each user's best: user_id, item_id, rank,
    score, and the columns of `prediction_columns`.

    Raises UserError when `recommendations.score` is no SQL expression over the predictions.
    """
    started = time.perf_counter()
    ensure_writable(target)
    ranker, encoder = load_ranker(model, spec, TextVectors.read(paths, spec))
    score = spec.recommendations.score or default_score(spec)
    chosen, items = encoder.encode_chosen(candidates.chosen), encode_side(encoder, candidates.items)
    chosen, items = (
        chosen and chosen.to(device()),
        items.to(device()),
    )  # moved once for all blocks and networks
    best: list[pl.DataFrame] = []
    scored, done, progress = 0, 0, ProgressLog(log, "candidates of users scored")
    for block in candidates.blocks:
        pairs = encode_pairs(encoder, block, items, chosen)
        predictions = pl.DataFrame(prediction_columns(ranker.predict(pairs), spec))
        ids = candidates.items["item_id"]
        best.append(best_per_user(block, ids, predictions, score, spec.recommendations.per_user))
        scored += int(block.on_offer.sum())
        done += len(block.users)
        progress(done, candidates.users)
    first = ["user_id", "item_id", "rank", "score"]
    result = pl.concat(best).select(*first, pl.exclude(first))
    with publish_file(target) as temporary:
        result.write_parquet(temporary, metadata=UNSEALED)
        seal(temporary)
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


def prediction_columns(predictions: Mapping[str, np.ndarray], spec: PipelineSpec) -> list[pl.Series]:
    """What a score may name and what is shown beside each recommendation: every task's prediction (of a multiclass task
    the most probable class), and `<task>_entire_space` for binary tasks that are conditional on another."""
    columns = []
    for task in spec.tasks:
        values = predictions[task.name]
        columns.append(pl.Series(task.name, KINDS[task.kind].shown(values, task.classes)))
        if task.name in spec.entire_space_tasks:
            chain = [predictions[step.name] for step in spec.chain(task)]
            columns.append(pl.Series(entire_space_name(task.name), np.prod(chain, axis=0)))
    return columns


def default_score(spec: PipelineSpec) -> str:
    """The expected number of goals that an item reaches: the sum of the probabilities, over the entire space, of the
    binary tasks that no other binary task is conditional on; without any, the first ordered task."""
    binary = [task for task in spec.tasks if KINDS[task.kind].is_event]
    steps = {task.given for task in binary}
    goals = [task.name for task in binary if task.name not in steps]
    return " + ".join(
        entire_space_name(name) if name in spec.entire_space_tasks else name
        for name in goals or [task.name for task in spec.tasks if KINDS[task.kind].is_ordered][:1]
    )


def best_per_user(
    block: Block, items: pl.Series, predictions: pl.DataFrame, score: str, per_user: int
) -> pl.DataFrame:
    """Each user's rows with the highest scores, with `rank` from 1; ties go to the smaller item id. `predictions`: of
    all pairs, one user after another."""
    try:
        scores = predictions.select(pl.sql_expr(score).cast(pl.Float64).alias("score"))["score"]
    except pl.exceptions.PolarsError as error:
        raise UserError(
            f"recommendations.score in defs.yaml cannot be computed: {score!r} ({error}); "
            "it is a SQL expression over the tasks' predictions"
        ) from error
    usable = (scores.is_finite() | scores.is_null()).to_numpy().reshape(block.on_offer.shape)
    if not (usable | ~block.on_offer).all():
        raise UserError(
            f"recommendations.score in defs.yaml: {score!r} is infinite or no number for some predictions; "
            "divide by nothing that may be 0, and take no root or logarithm of it"
        )
    values = np.where(block.on_offer, scores.fill_null(-np.inf).to_numpy().reshape(usable.shape), -np.inf)
    last = max(0, len(items) - per_user)
    enough = np.partition(values, last, axis=1)[:, last, None] if len(items) else values
    user, item = np.nonzero(block.on_offer & (values >= enough))  # with ties, more than asked for
    places = user * len(items) + item
    return (
        predictions[places]
        .with_columns(block.users["user_id"][user], items[item], scores[places])
        .sort(["user_id", "score", "item_id"], descending=[False, True, False], nulls_last=True)
        .with_columns((pl.int_range(pl.len()).over("user_id") + 1).alias("rank"))
        .filter(pl.col("rank") <= per_user)
    )
