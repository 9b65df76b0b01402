"""What every asset of a pipeline shares: its name, specification and paths, and how it is declared."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mtl_pipeline.errors import UserError
from mtl_pipeline.instance import TRAINING_POOL
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import one_version_each
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.spec.assets import embeddings_name

PRIORITY = "dagster/priority"
"""Tag: of what could start, the highest goes first. Checks do, then `rejected_rows`, and text is embedded last, so that
what is wrong shows before anything takes long."""

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
    def embeddings(self) -> list[str]:
        """The assets that hold vectors of texts and pictures."""
        return [embeddings_name(*pair) for pair in self.spec.embedded]

    def asset(
        self, *, reads: Iterable[str], study: bool = False, trains: bool = False, **declared: Any
    ) -> Callable[[AssetBody], dg.AssetsDefinition]:
        """`dg.asset` with this pipeline's key prefix and group; a `study`, made only when asked for, has a group apart.

        All steps of the asset read the same version of each published folder: the current one when it was first opened.
        How many runs with an asset that `trains` may go on at once is set in dagster.yaml.
        """
        declare = dg.asset(
            key_prefix=self.name,
            group_name=f"{self.name}_studies" if study else self.name,
            deps=[self.key(asset) for asset in reads],
            pool=TRAINING_POOL if trains else None,
            **declared,
        )
        return lambda body: declare(clear_failures()(one_version_each()(body)))


def latest_materialization(instance: dg.DagsterInstance, key: dg.AssetKey) -> dg.AssetMaterialization | None:
    event = instance.get_latest_materialization_event(key)
    return event.asset_materialization if event else None


@contextmanager
def clear_failures() -> Iterator[None]:
    """Show an error that the user can fix by its message alone, and do not retry it."""
    try:
        yield
    except UserError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
