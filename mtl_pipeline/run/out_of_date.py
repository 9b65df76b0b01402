"""Which assets of a pipeline have to be made again, and why: by what Dagster remembers of versions and of checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.data_version import (
    CachingStaleStatusResolver,
    StaleCause,
    StaleCauseCategory,
)
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES as COMPLETED,
)
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
)

from mtl_pipeline.components.checks import STOPS_TRAINING
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.instance import TRAINING_POOL
from mtl_pipeline.spec.assets import embeddings_name

NOT_MADE = "not made yet"


class Result(NamedTuple):
    """Of a check, and when it was checked."""

    evaluation: dg.AssetCheckEvaluation
    timestamp: float

    @classmethod
    def of(cls, record: AssetCheckExecutionRecord) -> Result | None:
        return cls(record.evaluation, record.event.timestamp) if record.evaluation and record.event else None


@dataclass(frozen=True)
class Lineage:
    """The assets of a pipeline's nightly run, and the instance that remembers how they were made."""

    pipeline: PipelineContext
    graph: AssetGraph
    instance: dg.DagsterInstance

    @cached_property
    def assets(self) -> list[dg.AssetKey]:
        """In the order in which they are made."""
        made = self.graph.materializable_asset_keys
        ordered = [key for key in self.graph.toposorted_asset_keys if key in made]
        return [key for key in ordered if self.graph.get(key).group_name == self.pipeline.name]

    @cached_property
    def before_training(self) -> list[dg.AssetKey]:
        """What neither trains nor follows from what does: all of it together takes less time than training."""
        training = {key for key in self.assets if TRAINING_POOL in (self.graph.get(key).pools or ())}
        late = training | self.following(training)
        return [key for key in self.assets if key not in late]

    def following(self, keys: Iterable[dg.AssetKey]) -> set[dg.AssetKey]:
        """What is made from these, and from that, and so on."""
        children = {child for key in keys for child in self.graph.get(key).child_keys} & set(self.assets)
        return children | self.following(children) if children else children

    def with_following(self, keys: Iterable[dg.AssetKey]) -> set[dg.AssetKey]:
        return {*keys, *self.following(keys)}

    def out_of_date(self) -> dict[dg.AssetKey, str]:
        """The assets that have a reason of their own to be made again, and the reason. What only follows from them is
        not among them: it may turn out that it need not be made, as they come out as they were."""
        resolver = CachingStaleStatusResolver(self.instance, self.graph, LoadingContextForTest(self.instance))
        results = self.results(blocking=True)
        found = {key: next(self.reasons(key, resolver, results), None) for key in self.assets}
        return {key: reason for key, reason in found.items() if reason}

    def reasons(
        self,
        key: dg.AssetKey,
        resolver: CachingStaleStatusResolver,
        results: Mapping[dg.AssetCheckKey, Result | None],
    ) -> Iterator[str]:
        made = self.instance.get_latest_materialization_event(key)
        if made is None:
            yield NOT_MADE
            return
        if not self.place(key.path[-1]).exists():
            yield "its files are gone"
        causes = resolver.get_stale_causes(key)
        if any(cause.category == StaleCauseCategory.CODE for cause in causes):
            yield "settings in defs.yaml or SQL changed"
        if changed := [self.name(cause) for cause in causes if cause.category == StaleCauseCategory.DATA]:
            yield f"{' and '.join(changed)} changed"
        if causes:
            yield "made from other assets than before"
        for check, result in results.items():
            if check.asset_key != key:
                continue
            if result is None or result.timestamp < made.timestamp:
                yield "not checked yet"
            elif not result.evaluation.passed:
                yield f"breaks the rule {check.name}"

    def place(self, asset: str) -> Path:
        """Where what it makes lies."""
        paths, spec = self.pipeline.paths, self.pipeline.spec
        if asset in (*spec.tables, "rejected_rows"):
            return paths.warehouse
        vectors = {embeddings_name(table): paths.embeddings(table) for table in spec.text_tables}
        return vectors.get(asset) or getattr(paths, "champion_history" if asset == "champion" else asset)

    def name(self, cause: StaleCause) -> str:
        """Of the input that changed: of a raw file as it is called in defs.yaml."""
        name = cause.dependency.asset_key.path[-1] if cause.dependency else cause.reason
        return (
            getattr(self.pipeline.spec.raw, name.removeprefix("raw_"), name) if name[:4] == "raw_" else name
        )

    def results(self, *, blocking: bool) -> dict[dg.AssetCheckKey, Result | None]:
        """The latest result of each check that blocks, or of each that warns. A check that a run planned, but never
        came to, has the result before."""
        keys = [
            key
            for asset in self.assets
            for key in sorted(self.graph.get(asset).check_keys)
            if self.graph.get_check_spec(key).blocking == blocking
        ]
        storage = self.instance.event_log_storage
        found: dict[dg.AssetCheckKey, Result | None] = dict.fromkeys(keys)
        for key, record in storage.get_latest_asset_check_execution_by_key(keys).items():
            if record.status not in COMPLETED:
                before = storage.get_asset_check_execution_history(key, limit=1, status=COMPLETED)
                found[key] = next(map(Result.of, before), None)
            else:
                found[key] = Result.of(record)
        return found

    def warnings(self) -> list[dg.AssetCheckEvaluation]:
        """Of all assets that are up to date, also of those that were made long ago."""
        outdated = self.with_following(self.out_of_date())
        results = [result.evaluation for result in self.results(blocking=False).values() if result]
        return [found for found in results if not found.passed and found.asset_key not in outdated]

    def obstacles(self) -> list[dg.AssetCheckEvaluation]:
        """Warnings with which training is in vain."""
        return [
            warning
            for warning in self.warnings()
            if STOPS_TRAINING in self.graph.get_check_spec(warning.asset_check_key).metadata
        ]
