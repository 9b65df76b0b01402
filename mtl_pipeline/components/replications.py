"""Replications: the networks with further seeds, and without text, for a comparison that no single seed decides."""

from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from pydantic import Field

from mtl_pipeline.champions import model_fingerprint
from mtl_pipeline.components.checks import asset_checks
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.metadata import summary_metadata
from mtl_pipeline.components.model import training_settings
from mtl_pipeline.errors import UserError
from mtl_pipeline.publishing import folder_fingerprint, reading
from mtl_pipeline.vectors import file_fingerprint
from mtl_pipeline.warehouse.checks import replications_checks

if TYPE_CHECKING:
    from mtl_pipeline.evaluation.studies.seeds import Replications


SEEDS_OF_A_STUDY = 5
"""Where defs.yaml asks for one seed only, whoever makes replications all the same wants to compare over several."""


class ReplicationsConfig(dg.Config):
    seeds: int | None = Field(
        default=None,
        ge=1,
        description="Seeds to compare over; by default evaluation.seeds of defs.yaml where that is above 1, else "
        f"{SEEDS_OF_A_STUDY}.",
    )


def runs_nightly(pipeline: PipelineContext) -> bool:
    """Whether replications are part of the pipeline's job, or are made only when asked for."""
    return pipeline.spec.evaluation.seeds > 1


def usual_seeds(pipeline: PipelineContext) -> int:
    """Seeds to compare over unless the run config says how many."""
    return pipeline.spec.evaluation.seeds if runs_nightly(pipeline) else SEEDS_OF_A_STUDY


def replications_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec

    @pipeline.asset(
        reads=["model", "baselines", "examples", *pipeline.embeddings],
        group=None if runs_nightly(pipeline) else pipeline.studies_group,
        kinds={"pytorch", "parquet"},
        trains=True,
        code_version=pipeline.code_version(
            settings=training_settings(spec) | {"seeds": usual_seeds(pipeline)}
        ),
    )
    def replications(context: dg.AssetExecutionContext, config: ReplicationsConfig) -> dg.MaterializeResult:
        """Predictions of the networks with further seeds, for all tasks and for one task alone, and with each seed of
        the one for all tasks without text vectors. The evaluation compares over them."""
        from mtl_pipeline.learning.training.replications import replicate

        seeds = config.seeds or usual_seeds(pipeline)
        if seeds == 1:
            context.log.info("one seed is that of the model: nothing to replicate")
        summary = replicate(
            paths,
            spec,
            seeds=seeds,
            made_from=fingerprints(pipeline),
            target=paths.replications,
            log=context.log.info,
        )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(summary.fingerprint),
            metadata={
                "dagster/uri": dg.MetadataValue.path(paths.replications),
                "seeds": ", ".join(map(str, summary.seeds)),
                **summary_metadata(summary),
            },
        )

    return replications


OTHERWISE = {
    "model": "of an older model",
    "baselines": "beside older baselines",
    "settings": "with other settings",
    "text vectors": "with other text vectors",
}
"""How replications differ from what there is now, by the name of a fingerprint."""


def fingerprints(pipeline: PipelineContext) -> dict[str, str]:
    """Of what replications belong to; what model and baselines were made from is part of theirs. Raises UserError when
    there is no model, or there are no baselines, yet."""
    paths, spec = pipeline.paths, pipeline.spec
    with reading(paths.model) as model, reading(paths.baselines) as baselines:
        trained = {"model": model_fingerprint(model), "baselines": folder_fingerprint(baselines)}
    vectors = {table: file_fingerprint(paths.embeddings(table)) for table in spec.text_tables}
    return trained | {
        "settings": pipeline.code_version(settings=training_settings(spec)),
        "text vectors": pipeline.code_version(settings=vectors),
    }


def find_replications(
    pipeline: PipelineContext, predictions: pl.DataFrame
) -> tuple["Replications | None", str]:
    """What the evaluation may compare over, or None and, where there is something that it may not, why.

    `predictions` is the wide frame of the model and its baselines, which hold the first seed.
    """
    from mtl_pipeline.evaluation.studies.seeds import with_replications
    from mtl_pipeline.learning.training.replications import read_replications

    if not pipeline.paths.replications.is_dir():
        return None, ""
    try:
        summary, replicas = read_replications(pipeline.paths.replications)
    except UserError as error:
        return None, str(error)
    if len(summary.seeds) == 1:
        return None, ""
    now = fingerprints(pipeline)
    changed = [name for name, fingerprint in now.items() if summary.made_from.get(name) != fingerprint]
    if changed:
        what = " and ".join(OTHERWISE[name] for name in changed)
        return None, (
            f"There are replications with {len(summary.seeds)} seeds, but {what}, so they are left out. "
            f"`make report PIPELINE={pipeline.name}` makes them again."
        )
    return with_replications(predictions, replicas, summary.seeds), ""


def replications_asset_checks(pipeline: PipelineContext) -> dg.AssetChecksDefinition:
    return asset_checks(pipeline, "replications", replications_checks(pipeline.paths, pipeline.spec))
