"""Which assets of a pipeline have to be made again, and why: by what Dagster remembers of versions and of checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleCauseCategory
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage import asset_check_execution_record as records

from mtl_pipeline.components.checks import STOPS_TRAINING
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.instance import TRAINING_POOL
from mtl_pipeline.spec.assets import embeddings_name

COMPLETED = records.COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
Results = Mapping[dg.AssetCheckKey, dg.EventLogEntry]
"""The latest result of each check that has one."""


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
    def training(self) -> set[dg.AssetKey]:
        """Those that train."""
        return {key for key in self.assets if TRAINING_POOL in (self.graph.get(key).pools or ())}

    @cached_property
    def before_training(self) -> set[dg.AssetKey]:
        """What neither trains nor follows from what does."""
        return set(self.assets) - self.with_following(self.training)

    def with_following(self, keys: Iterable[dg.AssetKey]) -> set[dg.AssetKey]:
        """These, what is made from them, what is made from that, and so on."""
        following = set(keys)
        for key in self.assets:
            if following & self.graph.get(key).parent_keys:
                following.add(key)
        return following

    def out_of_date(self) -> dict[dg.AssetKey, str]:
        """The assets that have a reason of their own to be made again, and the reason. What only follows from them is
        not among them: it may turn out that it need not be made, as they come out as they were."""
        resolver = CachingStaleStatusResolver(self.instance, self.graph, LoadingContextForTest(self.instance))
        results = self.results(blocking=True)
        found = {key: next(self.reasons(key, resolver, results), None) for key in self.assets}
        return {key: reason for key, reason in found.items() if reason}

    def reasons(
        self, key: dg.AssetKey, resolver: CachingStaleStatusResolver, results: Results
    ) -> Iterator[str]:
        made = self.instance.get_latest_materialization_event(key)
        if made is None:
            yield "not made yet"
            return
        place = self.place(key.path[-1])
        if place and not place.exists():
            yield "its files are gone"
        causes = resolver.get_stale_causes(key)
        if any(cause.category == StaleCauseCategory.CODE for cause in causes):
            yield "settings in defs.yaml, SQL or QUICK changed"
        if any(cause.category == StaleCauseCategory.DEPENDENCIES for cause in causes):
            yield "made from other assets than before"
        if changed := [self.name(cause.dependency.asset_key) for cause in causes if cause.dependency]:
            yield f"{' and '.join(changed)} changed"
        checks = [check for check in self.checks(blocking=True) if check.asset_key == key]
        for check in checks:
            evaluation = results[check].asset_check_evaluation if check in results else None
            if evaluation is None or results[check].timestamp < made.timestamp:
                yield "not checked yet"
            elif not evaluation.passed:
                yield f"breaks the rule {check.name}"

    def place(self, asset: str) -> Path | None:
        """Where what it makes lies; None of an asset of the user's own."""
        paths, spec = self.pipeline.paths, self.pipeline.spec
        places = dict.fromkeys((*spec.tables, "rejected_rows"), paths.warehouse)
        places |= {embeddings_name(*pair): paths.embeddings(*pair) for pair in spec.embedded}
        return places.get(asset) or getattr(paths, "champion_history" if asset == "champion" else asset, None)

    def name(self, key: dg.AssetKey) -> str:
        """Of a raw file as it is called in defs.yaml."""
        name = key.path[-1]
        raw = self.pipeline.spec.raw
        return getattr(raw, name.removeprefix("raw_"), name) if name.startswith("raw_") else name

    def checks(self, *, blocking: bool) -> list[dg.AssetCheckKey]:
        """Those that block, or those that warn."""
        keys = [check for asset in self.assets for check in sorted(self.graph.get(asset).check_keys)]
        return [key for key in keys if self.graph.get_check_spec(key).blocking == blocking]

    def results(self, *, blocking: bool) -> Results:
        """A check that a run planned, but never came to, has the result before."""
        storage = self.instance.event_log_storage
        latest = storage.get_latest_asset_check_execution_by_key(self.checks(blocking=blocking))
        for key in [key for key, record in latest.items() if record.status not in COMPLETED]:
            before = storage.get_asset_check_execution_history(key, limit=1, status=COMPLETED)
            latest = {**latest, key: before[0]} if before else latest
        return {key: record.event for key, record in latest.items() if record.event}

    def warnings(self) -> list[dg.AssetCheckEvaluation]:
        """Of all assets that are up to date, also of those that were made long ago."""
        outdated, results = self.with_following(self.out_of_date()), self.results(blocking=False)
        found = [results[key].asset_check_evaluation for key in self.checks(blocking=False) if key in results]
        return [one for one in found if one and not one.passed and one.asset_key not in outdated]

    def obstacles(self) -> list[dg.AssetCheckEvaluation]:
        """Warnings with which training is in vain."""
        specs = [(one, self.graph.get_check_spec(one.asset_check_key)) for one in self.warnings()]
        return [warning for warning, spec in specs if STOPS_TRAINING in spec.metadata]
