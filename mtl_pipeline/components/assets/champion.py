"""The champion: the model that recommends. Materializing it carries out what the evaluation decided, or goes back.

Two checks report the state afterwards, because they answer two questions. `champion_settled` blocks when there is no
model that may recommend. `challenger_promoted` only warns: a bad night must be seen, but the champion goes on
recommending.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from mtl_pipeline.champions import PREVIOUS, short
from mtl_pipeline.components.context import PipelineContext, clear_failures
from mtl_pipeline.components.metadata import markdown_table, published
from mtl_pipeline.spec.assets import code_version


class ChampionConfig(dg.Config):
    roll_back_to: str = ""
    """`previous`, or how the fingerprint of an earlier champion begins: make it the champion again. By default the
    evaluation's decision is carried out."""


def champion_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec

    @pipeline.asset(
        reads=["evaluation"],
        study=spec.is_quick,
        kinds={"pytorch"},
        code_version=code_version(settings={"keep": spec.promotion.keep}),
    )
    def champion(context: dg.AssetExecutionContext, config: ChampionConfig) -> dg.MaterializeResult:
        """The model that recommends: the newest one if the evaluation decided so, else the previous one; or an earlier
        one that somebody went back to."""
        from mtl_pipeline.workflows.champion import latest_entries, settle_champion

        now, why = settle_champion(paths, spec, roll_back_to=config.roll_back_to, log=context.log.info)
        history = markdown_table(latest_entries(paths))
        metadata = {"champion": now, "why": why, "history": history}
        return published(now, paths.champions / now, metadata, in_short=f"{short(now)}. {why}")

    return champion


def champion_asset_checks(pipeline: PipelineContext) -> dg.AssetChecksDefinition:
    key = pipeline.key("champion")
    settled = dg.AssetCheckSpec(
        "champion_settled",
        asset=key,
        description="There is a champion, and it can predict for the pipeline as it is declared now.",
        blocking=True,
    )
    promoted = dg.AssetCheckSpec(
        "challenger_promoted",
        asset=key,
        description="The newest model is the champion. Where it is not, the previous champion goes on recommending.",
    )

    @dg.multi_asset_check(name=f"{pipeline.name}__champion_checks", specs=[settled, promoted])
    def report() -> Iterator[dg.AssetCheckResult]:
        from mtl_pipeline.workflows.champion import champion_standing

        with clear_failures():
            now = champion_standing(pipeline.paths, pipeline.spec)
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=settled.name,
            passed=not now.obstacle,
            description=f"{now.obstacle} {now.last}".strip(),
            metadata={"champion": now.champion},
        )
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=promoted.name,
            passed=now.promoted,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{now.unread} {now.last}".strip(),
            metadata={"challenger": now.challenger},
        )

    return report


def rollback_job(pipeline: PipelineContext) -> Any:
    """The champion goes back, then recommends: two steps of one run, with their checks."""
    assets = ["champion", "recommendations"] if pipeline.spec.recommends else ["champion"]
    return dg.define_asset_job(
        f"{pipeline.name}_rollback",
        selection=dg.AssetSelection.assets(*map(pipeline.key, assets)),
        config=rollback_config(pipeline.name),
        description="Makes the previous champion, or the one that `roll_back_to` names, the champion again, and makes "
        "its recommendations.",
    )


def rollback_config(pipeline: str, to: str = PREVIOUS) -> dict:
    return {"ops": {f"{pipeline}__champion": {"config": {"roll_back_to": to}}}}
