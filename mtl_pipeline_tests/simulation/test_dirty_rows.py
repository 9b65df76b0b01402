"""Every planted row is refused for the reason it was planted with, and no other row is."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from mtl_pipeline_tests.simulation.conftest import INTERACTIONS, Simulated, clean


def test_exactly_the_planted_rows_are_rejected(simulated: Simulated) -> None:
    planted = {(row.file, row.column, row.reason): row.rows for row in simulated.summary.planted}

    assert simulated.rejected == planted


def test_every_raw_row_is_accounted_for(simulated: Simulated) -> None:
    for table in simulated.spec.tables:
        path = simulated.paths.raw / f"{table}.csv"
        planted = sum(row.rows for row in simulated.summary.planted if row.file == path.name)
        good = getattr(simulated.summary, table)
        assert simulated.cleaned[table].rows_kept == good
        assert len(path.read_bytes().splitlines()) == 1 + good + planted
    assert simulated.summary.interactions == INTERACTIONS


def test_each_kind_of_defect_is_there_in_about_equal_numbers(simulated: Simulated) -> None:
    assert {row.file for row in simulated.summary.planted} == {"users.csv", "items.csv", "interactions.csv"}
    rows = [row.rows for row in simulated.summary.planted if row.file == "interactions.csv"]
    assert len(rows) >= 14
    assert min(rows) >= 10


def test_without_dirt_nothing_is_rejected(tmp_path: Path) -> None:
    simulated = clean(tmp_path, "shop", interactions=10_000, dirty=False)

    assert not simulated.rejected
    assert simulated.cleaned["interactions"].rows_kept == 10_000


def test_rows_are_in_order_of_time(simulated: Simulated) -> None:
    raw = pl.read_csv(
        simulated.paths.raw / "interactions.csv", infer_schema=False, truncate_ragged_lines=True
    )
    times = raw["timestamp"].cast(pl.Int64, strict=False).drop_nulls()

    assert times.filter(times > 17).is_sorted()
