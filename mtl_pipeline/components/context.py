"""What every asset of a pipeline shares: its name, specification, paths, and how assets are declared."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from mtl_pipeline.errors import UserError
from mtl_pipeline.instance import TRAINING_POOL
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import one_version_each
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.spec.assets import embeddings_name

AssetBody = Callable[..., dg.MaterializeResult]


@dataclass(frozen=True)
class PipelineContext:
    """One pipeline, as its assets see it."""

    name: str
    spec: PipelineSpec
    paths: PipelinePaths

    def key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([self.name, asset])

    @property
    def studies_group(self) -> str:
        """The group of assets that are made only when asked for."""
        return f"{self.name}_studies"

    @property
    def embeddings(self) -> list[str]:
        """The assets that hold text vectors."""
        return [embeddings_name(table) for table in self.spec.text_tables]

    def asset(
        self,
        *,
        reads: Iterable[str],
        kinds: set[str],
        code_version: str,
        name: str | None = None,
        group: str | None = None,
        description: str | None = None,
        trains: bool = False,
    ) -> Callable[[AssetBody], dg.AssetsDefinition]:
        """`dg.asset` with this pipeline's key prefix and, unless another is given, its group.

        All of its steps read one version of each published folder, the one that was there when the first of them came.
        Of the runs with an asset that `trains`, as many go side by side as dagster.yaml says.

        The function's name and docstring become the asset's name and description, unless given.
        """

        def decorate(body: AssetBody) -> dg.AssetsDefinition:
            return dg.asset(
                name=name,
                key_prefix=self.name,
                group_name=group or self.name,
                deps=[self.key(asset) for asset in reads],
                kinds=kinds,
                code_version=code_version,
                description=description,
                pool=TRAINING_POOL if trains else None,
            )(clear_failures()(one_version_each()(body)))

        return decorate


@contextmanager
def clear_failures() -> Iterator[None]:
    """Show an error that the user can mend by its message, and do not retry it."""
    try:
        yield
    except UserError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
