"""Each scenario, simulated and cleaned once for all tests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
import yaml

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.simulation import SCENARIOS, SimulationSummary, simulate
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.tables import TableSummary, build_table

REPOSITORY = Path(__file__).resolve().parents[2]
INTERACTIONS = 60_000


@dataclass(frozen=True)
class Simulated:
    """A simulated pipeline: its files, what cleaning made of them, and what was true."""

    paths: PipelinePaths
    spec: PipelineSpec
    summary: SimulationSummary
    cleaned: dict[str, TableSummary]
    tables: dict[str, pl.DataFrame]
    rejected: Counter[tuple[str, str | None, str]]
    """Rows by file, column and reason."""
    rows: pl.DataFrame
    """The clean interactions in order of time, with the columns of their user and item, and true_<task>."""


def load_spec(pipeline: str) -> PipelineSpec:
    declared = yaml.safe_load((REPOSITORY / f"mtl_pipeline/defs/{pipeline}/defs.yaml").read_text())
    return PipelineSpec.model_validate(declared["attributes"])


def clean(
    root: Path, scenario: str, interactions: int = INTERACTIONS, seed: int = 7, dirty: bool = True
) -> Simulated:
    (root / "sql").symlink_to(REPOSITORY / "sql")
    paths, spec = PipelinePaths(root, scenario), load_spec(scenario)
    summary = simulate(scenario, paths.data, interactions=interactions, seed=seed, dirty=dirty)
    cleaned = {table: build_table(paths, spec, table) for table in spec.tables}
    rejected: Counter[tuple[str, str | None, str]] = Counter()
    with open_warehouse(paths.warehouse, read_only=True) as connection:
        tables = {table: connection.sql(f"FROM {table}").pl() for table in spec.tables}
        for table in spec.tables:
            for file, column, reason, rows in connection.execute(
                f'SELECT file, "column", reason, count(*) FROM {table}_rejected GROUP BY ALL'
            ).fetchall():
                rejected[file, column, reason] = rows
    truth = pl.read_parquet(paths.truth).rename({task.name: f"true_{task.name}" for task in spec.tasks})
    rows = (
        tables["interactions"]
        .join(truth, on=spec.interaction_key, how="full", coalesce=True)
        .join(tables["users"], on="user_id", suffix="_of_user")
        .join(tables["items"], on="item_id", suffix="_of_item")
        .sort("timestamp")
    )
    return Simulated(paths, spec, summary, cleaned, tables, rejected, rows)


@pytest.fixture(scope="session")
def simulated_pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Simulated]:
    return {scenario: clean(tmp_path_factory.mktemp(scenario), scenario) for scenario in SCENARIOS}


@pytest.fixture(params=list(SCENARIOS))
def simulated(request: pytest.FixtureRequest, simulated_pipelines: dict[str, Simulated]) -> Simulated:
    return simulated_pipelines[request.param]


@pytest.fixture
def shop(simulated_pipelines: dict[str, Simulated]) -> Simulated:
    return simulated_pipelines["shop"]


@pytest.fixture
def social(simulated_pipelines: dict[str, Simulated]) -> Simulated:
    return simulated_pipelines["social"]


@pytest.fixture
def news(simulated_pipelines: dict[str, Simulated]) -> Simulated:
    return simulated_pipelines["news"]
