"""Top items per user from scored candidates."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from mtl_pipeline.candidates import Block, Candidates
from mtl_pipeline.checksums import UNSEALED, seal
from mtl_pipeline.errors import UserError
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.data.dataset import TextVectors
from mtl_pipeline.learning.data.pairs import encode_pairs, encode_side
from mtl_pipeline.learning.ranker.members import device
from mtl_pipeline.learning.ranker.ranker import load_ranker
from mtl_pipeline.learning.reranking import POOL, Reranker
from mtl_pipeline.learning.training.loop import Log
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
    figures: dict[str, float]
    """What the candidate stage found of the best of all items, and what re-ranking kept of the score."""
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
    text, declared = TextVectors.read(paths, spec), spec.recommendations
    ranker, encoder = load_ranker(model, spec, text)
    score = declared.score or spec.default_score
    chosen, items = encoder.encode_chosen(candidates.chosen), encode_side(encoder, candidates.items)
    # Moved once for all blocks and networks.
    chosen = chosen and chosen.to(device())
    items = items.to(device())
    ids, reranker = candidates.items["item_id"], Reranker.of(spec, candidates, text)

    def scored(block: Block) -> pl.DataFrame:
        pairs = encode_pairs(encoder, block, items, chosen)
        return pl.DataFrame(prediction_columns(ranker.predict(pairs), spec))

    best: list[pl.DataFrame] = []
    plain, lowest, pool, number = 0.0, 0.0, declared.per_user * (POOL if reranker else 1), 0
    done, progress = 0, ProgressLog(log, "candidates of users scored")
    for block in candidates.blocks:
        lists = best_per_user(block, ids, scored(block), score, pool)
        plain += float(lists.filter(pl.col("rank") <= declared.per_user)["score"].sum())
        lowest = lists.select(pl.min_horizontal(pl.col("score").min(), lowest)).item()
        best.append(reranker.best(lists, declared.per_user) if reranker else lists)
        number += int(block.on_offer.sum())
        done += len(block.users)
        progress(done, candidates.users)
    figures = {}
    if reranker and plain > 0 <= lowest:  # below 0 there are no shares
        figures["score kept by re-ranking"] = float(pl.concat(best)["score"].sum()) / plain
    if declared.candidates:
        of_sample = partial(best_per_user, items=ids, score=score, per_user=declared.per_user)
        figures |= recall(candidates.sample, scored, of_sample, declared.candidates.sources)
    first = ["user_id", "item_id", "rank", "score"]
    result = pl.concat(best).select(*first, pl.exclude(first))
    with publish_file(target) as temporary:
        result.write_parquet(temporary, metadata=UNSEALED)
        seal(temporary)
        fingerprint = hashlib.sha256(temporary.read_bytes()).hexdigest()
    return RecommendationsSummary(
        users=result["user_id"].n_unique(),
        rows=len(result),
        candidates=number,
        distinct_items=result["item_id"].n_unique(),
        score=score,
        figures={name: round(value, 4) for name, value in figures.items()},
        seconds=round(time.perf_counter() - started, 2),
        fingerprint=fingerprint,
    )


def recall(
    sample: Iterable[Block],
    scored: Callable[[Block], pl.DataFrame],
    best: Callable[..., pl.DataFrame],
    sources: Sequence[str],
) -> dict[str, float]:
    """Which share of the best of all items the candidate stage and each of its sources keep for a sample of users with
    all items; and of their score, unless scores are negative, which have no shares."""
    bits = {"recall": 255} | {f"recall of {source}": 1 << bit for bit, source in enumerate(sources)}
    parts = []
    for block in sample:
        assert block.found is not None
        predictions = scored(block).with_columns(_found=pl.Series(block.found.ravel()))
        full = best(block, predictions=predictions)
        staged = best(replace(block, on_offer=block.on_offer & (block.found > 0)), predictions=predictions)
        found = {name: (full["_found"] & bit > 0).sum() for name, bit in bits.items()}
        lists = pl.concat([full, staged])["score"]
        parts.append({"best": len(full), "score": full["score"].sum(), "kept": staged["score"].sum()} | found)
        parts[-1]["negative"] = (lists < 0).sum()
    total = pl.DataFrame(parts).cast(pl.Float64).sum().row(0, named=True)
    shares = {name: total[name] / (total["best"] or 1) for name in bits}
    if total["score"] > 0 and not total["negative"]:
        shares["score kept"] = total["kept"] / total["score"]
    return {f"candidate {name}": share for name, share in shares.items()}


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


def best_per_user(
    block: Block, items: pl.Series, predictions: pl.DataFrame, score: str, per_user: int
) -> pl.DataFrame:
    """Each user's rows with the highest scores, with `rank` from 1; ties go to the smaller item id. `predictions`: of
    all places, one user after another."""
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
    last = max(0, values.shape[1] - per_user)
    enough = np.partition(values, last, axis=1)[:, last, None] if values.shape[1] else values
    user, place = np.nonzero(block.on_offer & (values >= enough))  # with ties, more than asked for
    item = place if block.items is None else block.items[user, place]
    places = user * values.shape[1] + place
    return (
        predictions[places]
        .with_columns(block.users["user_id"][user], items[item], scores[places])
        .sort(["user_id", "score", "item_id"], descending=[False, True, False], nulls_last=True)
        .with_columns((pl.int_range(pl.len()).over("user_id") + 1).alias("rank"))
        .filter(pl.col("rank") <= per_user)
    )
