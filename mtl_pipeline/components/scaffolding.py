"""`dg scaffold defs mtl_pipeline.components.MultiTaskPipeline <name>`: the same as mtl_pipeline.scaffold."""

import sys
from pathlib import Path

import click
import dagster as dg
from pydantic import BaseModel, Field

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths, project_root
from mtl_pipeline.scaffold import next_steps, scaffold_pipeline


class ScaffoldParams(BaseModel):
    """CSV files that the columns of the new pipeline are read off."""

    users: str | None = Field(None, description="The CSV file of users.")
    items: str | None = Field(None, description="The CSV file of items.")
    interactions: str | None = Field(None, description="The CSV file of interactions.")


class PipelineScaffolder(dg.Scaffolder[ScaffoldParams]):
    """Writes defs.yaml, SQL and raw files of a new pipeline."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParams]:
        return ScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[ScaffoldParams]) -> None:
        root, defs = project_root(), request.target_path
        files = {table: Path(path) for table, path in request.params.model_dump().items() if path}
        try:
            if request.scaffold_format != "yaml":
                raise UserError("a pipeline is declared in YAML: leave out --format")
            done = scaffold_pipeline(PipelinePaths(root, defs.name), defs, files)
        except UserError as error:
            if not any(defs.iterdir()):
                defs.rmdir()  # dg made it
            sys.exit(str(error))
        click.echo(next_steps(done, root))
