"""Promotion: whether the newest model takes over from the champion, and the check that carries it out.

Two checks of the evaluation, because they answer two questions. `champion_settled` carries out what the
evaluation decided, and blocks when there is no model that may recommend. `challenger_promoted` only warns: a
bad night must be seen, but the champion goes on recommending.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from mtl_pipeline.champions import (
    Decision,
    carry_out,
    current_champion,
    model_fingerprint,
    read_history,
    rolled_back_at,
)
from mtl_pipeline.components.context import PipelineContext, clear_failures
from mtl_pipeline.components.metadata import markdown_table
from mtl_pipeline.errors import UserError

if TYPE_CHECKING:
    from mtl_pipeline.evaluation.scoring import Evaluation

ENTRIES_SHOWN = 10


@dataclass(frozen=True)
class Champion:
    """The champion before this evaluation."""

    fingerprint: str
    folder: Path
    predictions: pl.DataFrame | None
    """`example_id` and `prediction/champion/<task>`; None where the newest model is the champion, or `obstacle`."""
    obstacle: str = ""
    """Why it cannot predict for this pipeline any more."""


def find_champion(pipeline: PipelineContext) -> Champion | None:
    """The champion and what it predicts for the examples as they are now; None where there is none."""
    from mtl_pipeline.evaluation.predictions import CHAMPION
    from mtl_pipeline.learning.ranker import predict_examples

    paths = pipeline.paths
    fingerprint = current_champion(read_history(paths))
    if fingerprint is None:
        return None
    folder = paths.champions / fingerprint
    if folder.is_dir() and model_fingerprint(paths.model) == fingerprint:
        return Champion(fingerprint, folder, None)
    try:
        predictions = predict_examples(paths, pipeline.spec, folder, name=CHAMPION)
    except UserError as error:
        return Champion(fingerprint, folder, None, obstacle=str(error))
    return Champion(fingerprint, folder, predictions.select("example_id", "^(prediction|uncalibrated)/.*$"))


def decide_promotion(
    pipeline: PipelineContext, measured: "Evaluation", predictions: pl.DataFrame, champion: Champion | None
) -> Decision:
    """What the evaluation says about the newest model. Nothing is changed."""
    from mtl_pipeline.evaluation import promotion
    from mtl_pipeline.learning.seen import unseen

    challenger = model_fingerprint(pipeline.paths.model)
    compared, window = None, ""
    if champion and champion.predictions is not None:
        compared, window = promotion.on_unseen_rows(
            measured, predictions, unseen(champion.folder, pipeline.spec)
        )
    return promotion.decide(
        pipeline.spec,
        measured,
        compared,
        challenger=challenger,
        champion=champion.fingerprint if champion else None,
        obstacle=champion.obstacle if champion else "",
        rolled_back_at=rolled_back_at(read_history(pipeline.paths), challenger),
        window=window,
    )


def promotion_checks(pipeline: PipelineContext) -> dg.AssetChecksDefinition:
    key = pipeline.key("evaluation")

    @dg.multi_asset_check(
        name=f"{pipeline.name}__promotion_checks",
        specs=[
            dg.AssetCheckSpec(
                "champion_settled",
                asset=key,
                description="The newest model was promoted or the champion kept, and there is one to recommend.",
                blocking=True,
            ),
            dg.AssetCheckSpec(
                "challenger_promoted",
                asset=key,
                description="The newest model is the champion. Where it is not, the champion before it goes on "
                "recommending.",
            ),
        ],
    )
    def promote(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with clear_failures():
            decision = Decision.read(pipeline.paths.evaluation / "decision.json")
            entry = carry_out(pipeline.paths, decision, keep=pipeline.spec.promotion.keep)
            champion = current_champion(read_history(pipeline.paths))
        why = " ".join([decision.verdict, *decision.reasons])
        if champion != entry.champion:
            why += f" Since then, {champion} was made the champion by hand."
        context.log.info(why)
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="champion_settled",
            passed=decision.promote or decision.usable,
            description=why,
            metadata={"champion": champion or "none", "history": history_table(pipeline)},
        )
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="challenger_promoted",
            passed=champion == decision.challenger,
            severity=dg.AssetCheckSeverity.WARN,
            description=why,
            metadata={"challenger": decision.challenger, "decided": entry.time},
        )

    return promote


def history_table(pipeline: PipelineContext) -> dg.MarkdownMetadataValue:
    """The last entries, newest first."""
    last = read_history(pipeline.paths)[-ENTRIES_SHOWN:][::-1]
    rows = [
        (entry.time, entry.action, entry.champion, entry.model, " ".join(entry.reasons)) for entry in last
    ]
    columns = ["time", "action", "champion", "model", "why"]
    return markdown_table(pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row"))
