"""What every asset of a pipeline shares: its name, specification, paths, and how assets are declared."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import BaseModel

from mtl_pipeline.errors import UserError
from mtl_pipeline.instance import TRAINING_POOL
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import one_version_each
from mtl_pipeline.spec import PipelineSpec

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

    def code_version(self, *, sql: Iterable[Path] = (), settings: Mapping[str, Any] | None = None) -> str:
        """Changes with the SQL files and settings that decide what an asset's code makes of its inputs.

        `sql` are paths of files, `settings` parts of the specification.
        """
        digest = hashlib.sha256(json.dumps(settings or {}, default=as_json, sort_keys=True).encode())
        for path in sql:
            digest.update(path.read_bytes() if path.is_file() else b"missing")
        return digest.hexdigest()[:16]


def embeddings_name(table: str) -> str:
    return f"{table.removesuffix('s')}_embeddings"


def as_json(part: object) -> Any:
    if isinstance(part, BaseModel):
        return part.model_dump(mode="json")
    raise TypeError(f"{type(part).__name__} is no part of a specification")


@contextmanager
def clear_failures() -> Iterator[None]:
    """Show an error that the user can mend by its message, and do not retry it."""
    try:
        yield
    except UserError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
