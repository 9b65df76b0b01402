"""The component: one folder below defs/ becomes one pipeline."""

import re
from typing import Self

import dagster as dg
from pydantic import BaseModel

from mtl_pipeline.components.assets.backtest import backtest_asset
from mtl_pipeline.components.assets.baselines import baselines_asset
from mtl_pipeline.components.assets.champion import champion_asset, champion_asset_checks, rollback_job
from mtl_pipeline.components.assets.embeddings import embedding_asset
from mtl_pipeline.components.assets.evaluation import evaluation_asset
from mtl_pipeline.components.assets.examples import examples_asset
from mtl_pipeline.components.assets.model import model_asset
from mtl_pipeline.components.assets.raw_files import raw_file_asset, raw_file_sensor
from mtl_pipeline.components.assets.recommendations import recommendations_asset
from mtl_pipeline.components.assets.seed_runs import seed_runs_asset
from mtl_pipeline.components.assets.tables import rejected_rows_asset, table_asset
from mtl_pipeline.components.assets.tuning import tuning_asset
from mtl_pipeline.components.checks import asset_checks
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.declaration import check_declaration
from mtl_pipeline.components.scaffolding import PipelineScaffolder
from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths, project_root
from mtl_pipeline.spec import NAME_PATTERN, PipelineSpec, as_asked
from mtl_pipeline.spec.assets import runs_seeds_nightly
from mtl_pipeline.warehouse.checks import checks_by_asset


@dg.scaffold_with(PipelineScaffolder)
class MultiTaskPipeline(dg.Component):
    """A multi-task recommender, from raw CSV files to recommendations.

    The folder's name is the pipeline's name: the group and key prefix of its assets, and the folder
    below data/ and sql/.
    """

    def __init__(self, pipeline: PipelineContext) -> None:
        self.pipeline = pipeline

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return PipelineSpec

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        file, name = context.path / "defs.yaml", context.path.name
        if not isinstance(attributes, PipelineSpec):
            raise UserError(f"{file}: attributes is missing; it must name the tasks")
        if not re.fullmatch(NAME_PATTERN, name):
            raise UserError(
                f"{context.path}: a folder that names a pipeline has a name such as news or shop_2"
            )
        root = project_root(context.project_root)
        pipeline = PipelineContext(name, as_asked(attributes), PipelinePaths(root, name))
        check_declaration(file, pipeline)
        return cls(pipeline)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        paths = self.pipeline.paths
        hidden = self.pipeline.spec.example and not (paths.raw.is_dir() or paths.champion_history.is_file())
        return dg.Definitions() if hidden else define_assets(self.pipeline)


def define_pipeline(name: str, spec: PipelineSpec) -> dg.Definitions:
    """The definitions of a pipeline of the current project."""
    return define_assets(PipelineContext(name, spec, PipelinePaths(project_root(), name)))


def define_assets(pipeline: PipelineContext) -> dg.Definitions:
    """Assets in lineage order, their checks, the job that makes them all, its schedule and the sensor; and the studies,
    which are made only when asked for."""
    spec = pipeline.spec
    assets: list[dg.AssetsDefinition | dg.SourceAsset] = [
        *(raw_file_asset(pipeline, table) for table in spec.tables),
        *(table_asset(pipeline, table) for table in spec.tables),
        rejected_rows_asset(pipeline),
        *(embedding_asset(pipeline, *pair) for pair in spec.embedded),
        examples_asset(pipeline),
        model_asset(pipeline),
        baselines_asset(pipeline),
        evaluation_asset(pipeline),
    ]
    studies = [tuning_asset(pipeline), backtest_asset(pipeline)]
    recommending = [champion_asset(pipeline), *([recommendations_asset(pipeline)] if spec.recommends else [])]
    (studies if spec.is_quick else assets).extend(recommending)
    (assets if runs_seeds_nightly(spec) else studies).append(seed_runs_asset(pipeline))
    checks = checks_by_asset(pipeline.paths, spec)
    job = dg.define_asset_job(
        pipeline.name,
        # Selecting the group would leave the raw files out.
        selection=dg.AssetSelection.assets(*(asset.key for asset in assets)),
        description="Observes the raw files and makes everything that follows from them.",
    )
    schedule = dg.ScheduleDefinition(
        name=f"{pipeline.name}_nightly",
        job=job,
        cron_schedule=spec.schedule.cron,
        execution_timezone=spec.schedule.timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
    return dg.Definitions(
        assets=[*assets, *studies],
        asset_checks=[
            *(asset_checks(pipeline, asset, rules) for asset, rules in checks.items()),
            champion_asset_checks(pipeline),
        ],
        jobs=[job, rollback_job(pipeline)],
        schedules=[schedule],
        sensors=[raw_file_sensor(pipeline)],
    )
