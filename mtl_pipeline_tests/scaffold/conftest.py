"""Differently shaped logs of the same made-up shop, and the scaffold of each."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest
import yaml

from mtl_pipeline.paths import ROOT_VARIABLE, PipelinePaths
from mtl_pipeline.scaffold import scaffold_pipeline
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.tables import build_table

REPOSITORY = Path(__file__).resolve().parents[2]

Rows = Sequence[Sequence[object]]
Scaffold = Callable[..., "Pipeline"]


@dataclass(frozen=True)
class Pipeline:
    """What a scaffold wrote."""

    paths: PipelinePaths
    defs: Path

    @property
    def text(self) -> str:
        return self.defs.read_text()

    @property
    def spec(self) -> PipelineSpec:
        return parse(self.text)

    def sql(self, table: str) -> str:
        return (self.paths.sql / f"{table}.sql").read_text()


@lru_cache(maxsize=1)
def parse(text: str) -> PipelineSpec:
    """Of the last file: tests ask for it again and again, and to parse it takes longer than to clean its tables."""
    return PipelineSpec.model_validate(yaml.safe_load(text)["attributes"])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without pipelines."""
    (tmp_path / "root").mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture
def scaffold(root: Path, tmp_path: Path) -> Scaffold:
    """Write CSV files, given as header and rows by table, and scaffold the pipeline `shop` from them."""

    def run(named: dict[str, str] | None = None, **tables: Rows) -> Pipeline:
        files = {table: write_csv(tmp_path / f"my_{table}.csv", rows) for table, rows in tables.items()}
        paths = PipelinePaths(root, "shop")
        defs = root / "mtl_pipeline/defs/shop"
        scaffold_pipeline(paths, defs, files, named=named)
        return Pipeline(paths, defs / "defs.yaml")

    return run


def write_csv(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


USERS: Rows = [
    ["userId", "country", "age", "bio"],
    *[[n, ["DE", "FR"][n % 2], 20 + n, f"Person {n} knits a lot and drinks tea"] for n in range(1, 101)],
]
ITEMS: Rows = [
    ["sku", "title", "tags", "country", "price", "url"],
    *[
        [
            f"A{n}",
            f"Item number {n}",
            ["red|wool", "blue|wool", "red|silk"][n % 3],
            ["IN", "PE"][n % 2],
            n + 0.5,
            f"https://shop.example/{n}",
        ]
        for n in range(1, 41)
    ],
]
IMPRESSIONS: Rows = [
    ["visitorId", "sku", "shownAt", "click", "purchase", "device", "secondsWatched"],
    *[
        [
            n % 20 + 1,
            f"A{n % 10 + 1}",
            1_767_225_600_000 + n * 60_000,
            int(n % 3 > 0),
            int(n % 6 == 1),
            ["phone", "desk"][n % 3 % 2],
            n % 7,
        ]
        for n in range(120)
    ],
]
"""Shown items in epoch milliseconds; a purchase is always clicked."""

RATINGS: Rows = [
    ["user_id", "movie_id", "rating", "timestamp"],
    *[[n % 20 + 1, n // 20 + 1, 0.5 + n % 10 / 2, 1_000_000_000 + n] for n in range(100)],
]
MOVIES: Rows = [
    ["movie_id", "title", "genres"],
    *[[n, f"Movie {n}", ["Drama, Comedy", "Drama", "Horror, Comedy"][n % 3]] for n in range(1, 31)],
]
EVENTS: Rows = [
    ["customer", "product_id", "event_type", "event_time"],
    *[
        [f"c{n % 20}", n % 10, event, f"2026-01-{day:02}T10:00:00+02:00"]
        for n in range(40)
        for day, event in enumerate(["view", "add to cart", "buy"][: n % 3 + 1], start=1)
    ],
]
"""Views, some followed by `add to cart`, some of those by `buy`."""


def rows_of(pipeline: Pipeline, query: str) -> list[tuple]:
    with open_warehouse(pipeline.paths.warehouse) as connection:
        return connection.execute(query).fetchall()


def build(pipeline: Pipeline) -> None:
    """Clean every table and see that each row is accounted for."""
    for table in pipeline.spec.tables:
        summary = build_table(pipeline.paths, pipeline.spec, table)
        with (pipeline.paths.raw / getattr(pipeline.spec.raw, table)).open(newline="") as file:
            below_header = len(list(csv.reader(file))) - 1
        assert summary.rows_read == below_header
        if not pipeline.spec.merges(table):
            assert summary.rows_kept + summary.rows_rejected == below_header
        if table != "interactions":
            assert summary.rows_rejected == 0
