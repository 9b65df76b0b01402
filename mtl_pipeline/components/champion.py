"""The champion: the model that recommends. Materializing it carries out what the evaluation decided, or goes back.

Two checks report what there is then, because they answer two questions. `champion_settled` blocks when there is no
model that may recommend. `challenger_promoted` only warns: a bad night must be seen, but the champion goes on
recommending.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from mtl_pipeline.champions import (
    Decision,
    Entry,
    carry_out,
    champion_folder,
    current_champion,
    model_fingerprint,
    read_history,
    roll_back,
)
from mtl_pipeline.components.context import PipelineContext, clear_failures
from mtl_pipeline.components.metadata import markdown_table
from mtl_pipeline.errors import UserError
from mtl_pipeline.publishing import reading

ENTRIES_SHOWN = 10
PREVIOUS = "previous"
"""In place of a fingerprint: the champion before."""
NO_CHAMPION = NO_MODEL = "none"


class ChampionConfig(dg.Config):
    roll_back_to: str = ""
    """`previous`, or how the fingerprint of an earlier champion begins: make it the champion again. By default the
    decision of the evaluation is carried out."""


def champion_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, keep = pipeline.paths, pipeline.spec.promotion.keep

    @pipeline.asset(
        reads=["evaluation"],
        kinds={"pytorch"},
        code_version=pipeline.code_version(settings={"keep": keep}),
    )
    def champion(context: dg.AssetExecutionContext, config: ChampionConfig) -> dg.MaterializeResult:
        """The model that recommends: the newest one where the evaluation decided so, else the one before; or an earlier
        one that somebody went back to."""
        if config.roll_back_to:
            to = None if config.roll_back_to == PREVIOUS else config.roll_back_to
            entry = roll_back(paths, to)
        else:
            entry = carry_out(paths, Decision.read(paths.evaluation / "decision.json"), keep=keep)
        now = current_champion(read_history(paths)) or NO_CHAMPION
        context.log.info(f"{entry.action}: {' '.join(entry.reasons)}")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(now),
            metadata={
                "champion": now,
                "why": " ".join(entry.reasons),
                "dagster/uri": dg.MetadataValue.path(paths.champions / now),
                "history": history_table(pipeline),
            },
        )

    return champion


def champion_asset_checks(pipeline: PipelineContext) -> dg.AssetChecksDefinition:
    key = pipeline.key("champion")

    @dg.multi_asset_check(
        name=f"{pipeline.name}__champion_checks",
        specs=[
            dg.AssetCheckSpec(
                "champion_settled",
                asset=key,
                description="There is a champion, and it can predict for the pipeline as it is declared now.",
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
    def report() -> Iterator[dg.AssetCheckResult]:
        with clear_failures():
            history = read_history(pipeline.paths)
        newest, unread = newest_model(pipeline)
        obstacle, why = champion_obstacle(pipeline), last_words(history)
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="champion_settled",
            passed=not obstacle,
            description=f"{obstacle} {why}".strip(),
            metadata={"champion": current_champion(history) or NO_CHAMPION},
        )
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="challenger_promoted",
            passed=current_champion(history) == newest,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{unread} {why}".strip(),
            metadata={"challenger": newest},
        )

    return report


def newest_model(pipeline: PipelineContext) -> tuple[str, str]:
    """Its fingerprint; or none, and why it cannot be read, which keeps no champion from recommending."""
    try:
        with reading(pipeline.paths.model) as folder:
            return model_fingerprint(folder), ""
    except UserError as error:
        return NO_MODEL, f"{error}."


def champion_obstacle(pipeline: PipelineContext) -> str:
    """Why the champion cannot recommend; empty where it can."""
    from mtl_pipeline.learning.data.dataset import TextVectors
    from mtl_pipeline.learning.training.ranker import load_ranker

    try:
        _, folder = champion_folder(pipeline.paths)
        load_ranker(folder, pipeline.spec, TextVectors.read(pipeline.paths, pipeline.spec))
    except UserError as error:
        return f"No model may recommend: {error}."
    return ""


def last_words(history: list[Entry]) -> str:
    """What was done last, and why."""
    return (
        f"Last, {history[-1].time}, {history[-1].action}: {' '.join(history[-1].reasons)}" if history else ""
    )


def history_table(pipeline: PipelineContext) -> dg.MarkdownMetadataValue:
    """The last entries, newest first."""
    last = read_history(pipeline.paths)[-ENTRIES_SHOWN:][::-1]
    rows = [
        (entry.time, entry.action, entry.champion, entry.model, " ".join(entry.reasons)) for entry in last
    ]
    columns = ["time", "action", "champion", "model", "why"]
    return markdown_table(pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row"))


def rollback_job(pipeline: PipelineContext) -> Any:
    """The champion goes back, then recommends: two steps of one run, with their checks."""
    made = ["champion", *(["recommendations"] if pipeline.spec.recommends else [])]
    return dg.define_asset_job(
        f"{pipeline.name}_rollback",
        selection=dg.AssetSelection.assets(*(pipeline.key(asset) for asset in made)),
        config=rollback_config(pipeline.name),
        description="Makes the champion before, or the one named by `roll_back_to`, the champion again, and its "
        "recommendations.",
    )


def rollback_config(pipeline: str, to: str = PREVIOUS) -> dict:
    return {"ops": {f"{pipeline}__champion": {"config": {"roll_back_to": to}}}}
