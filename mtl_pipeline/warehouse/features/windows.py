"""The test windows of a backtest, cut out of the published examples.

Where there is time: a rolling-origin evaluation (Tashman 2000, "Out-of-sample tests of forecasting accuracy",
https://doi.org/10.1016/S0169-2070(00)00065-0). Each window is as long as the test split, the last one is that
split, and what lies before a window trains and validates in the proportions of the split. Where a hash splits: k-fold
cross-validation, whose folds are made of whole groups.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import COMMON_SQL
from mtl_pipeline.publishing import publish_folder
from mtl_pipeline.spec import Backtest, PipelineSpec
from mtl_pipeline.warehouse.connection import apply_settings, column_types, fetch_one
from mtl_pipeline.warehouse.features.examples import SPLITS, task_chains, write_parquet
from mtl_pipeline.warehouse.features.label_times import steps_column
from mtl_pipeline.warehouse.features.point_in_time import numeric_features
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literal, render_sql

ROUNDING = 1e-9


@dataclass(frozen=True)
class Part:
    """The rows that train, validate or test in one window."""

    rows: int
    start: datetime | None
    """Time of the first row; None where there is no time."""
    end: datetime | None
    """Time of the last row."""
    labels: dict[str, int] = field(default_factory=dict)
    """Observed labels by task."""


@dataclass(frozen=True)
class TimeWindow:
    """Rows from `train_start` on (None: from the first) train, then come validation and test, each up to the next
    boundary; `test_end` None: up to the last row."""

    number: int
    windows: int
    train_start: datetime | None
    validation_start: datetime
    test_start: datetime
    test_end: datetime | None

    @property
    def is_test_split(self) -> bool:
        """Whether the rows tested are those of the pipeline's own test split."""
        return self.number == self.windows


@dataclass(frozen=True)
class Fold:
    """A part of `windows` equal parts of the hash's range is the test."""

    number: int
    windows: int
    trained: float
    """Share of all rows that train, the rest before the fold validates."""

    @property
    def end(self) -> float:
        return self.number / self.windows

    @property
    def is_test_split(self) -> bool:
        """A fold is as large as its number says, not as large as the test split."""
        return False


Window = TimeWindow | Fold


@dataclass(frozen=True)
class PlannedWindow:
    window: Window
    parts: dict[str, Part]
    """By split."""


def plan_windows(source: Path, spec: PipelineSpec, backtest: Backtest) -> list[PlannedWindow]:
    """Where each window lies in the examples of `source`, and what is in it, the first one first.

    Raises UserError when there are too few rows or distinct times for so many windows, or when a task has no label
    to learn from in one of them.
    """
    windows = backtest.windows
    with duckdb.connect() as connection:
        apply_settings(connection, spec.warehouse)
        found = (
            [Fold(number, windows, trained_share(spec, windows)) for number in range(1, windows + 1)]
            if spec.split.hash_by
            else list(time_windows(connection, source, spec, backtest))
        )
        planned = []
        for window in found:
            show_window(connection, spec, window, source)
            planned.append(PlannedWindow(window, count_parts(connection, spec)))
    for one in planned:
        refuse_gaps(one, spec)
    return planned


def trained_share(spec: PipelineSpec, windows: int) -> float:
    """Of all rows, when one fold is the test: what is left is divided as train and validation are in the split."""
    return (1 - 1 / windows) * train_of_known(spec)


def train_of_known(spec: PipelineSpec) -> float:
    """The share of train in train and validation."""
    return spec.split.train / (spec.split.train + spec.split.validation)


def shares_by_time(
    connection: duckdb.DuckDBPyConnection, source: Path, spec: PipelineSpec
) -> tuple[float, float]:
    """The share of the test split in all rows, and that of train in the others."""
    if spec.split.test_from is None:
        return 1 - spec.split.train - spec.split.validation, train_of_known(spec)
    rows, train, test = fetch_one(
        connection,
        "SELECT count(*), count(*) FILTER (split = 'train'), count(*) FILTER (split = 'test') "
        f"FROM read_parquet({quote_literal(source)})",
    )
    return test / rows, train / (rows - test)


def time_windows(
    connection: duckdb.DuckDBPyConnection, source: Path, spec: PipelineSpec, backtest: Backtest
) -> Iterator[TimeWindow]:
    """Each as long, in rows, as the test split, which is the last one; of an expanding training also its validation
    is that of the split."""
    windows = backtest.windows
    test, trained_of_known = shares_by_time(connection, source, spec)
    most = math.ceil(1 / test - ROUNDING) - 1
    if windows > most:
        raise UserError(
            f"evaluation.backtest: {windows} windows as long as the test split, {test:.0%} of the rows each, leave "
            f"none to train before the first; choose at most {most}, or a shorter test split"
        )
    known = [1 - (windows - place) * test for place in range(windows)]
    first = [share - known[0] if backtest.training == "rolling" else 0.0 for share in known]
    trained = [start + (end - start) * trained_of_known for start, end in zip(first, known, strict=True)]
    starts = quantiles(connection, source, first)
    validation = quantiles(connection, source, trained)
    tests = quantiles(connection, source, known)
    own_validation, tests[-1] = fetch_one(
        connection,
        "SELECT min(timestamp) FILTER (split = 'validation'), min(timestamp) FILTER (split = 'test') "
        f"FROM read_parquet({quote_literal(source)})",
    )
    if backtest.training == "expanding":
        validation[-1] = own_validation
    if any(later <= earlier for earlier, later in itertools.pairwise(tests)):
        raise UserError(
            f"evaluation.backtest: the examples have too few distinct times for {windows} test windows; choose fewer"
        )
    for place in range(windows):
        yield TimeWindow(
            number=place + 1,
            windows=windows,
            train_start=starts[place] if backtest.training == "rolling" and place else None,
            validation_start=validation[place],
            test_start=tests[place],
            test_end=tests[place + 1] if place + 1 < windows else None,
        )


def quantiles(connection: duckdb.DuckDBPyConnection, source: Path, shares: list[float]) -> list[datetime]:
    """The times up to which these shares of the examples lie."""
    kept = [min(max(share, 0.0), 1.0) for share in shares]
    (times,) = fetch_one(
        connection, f"SELECT quantile_disc(timestamp, {kept}) FROM read_parquet({quote_literal(source)})"
    )
    return times


def show_window(
    connection: duckdb.DuckDBPyConnection,
    spec: PipelineSpec,
    window: Window,
    source: Path,
) -> None:
    """Make the temporary view `examples` show the rows of one window. label_steps.parquet lies beside `source`, if at
    all."""
    connection.execute(
        render_sql(
            COMMON_SQL / "window.sql",
            window=window,
            source=source,
            steps=steps if (steps := source.with_name("label_steps.parquet")).exists() else None,
            steps_column=steps_column,
            tasks=[task.name for task in spec.tasks],
            chains=task_chains(spec),
            negatives=spec.negatives,
            root_task=spec.root_task.name,
            hash_by=spec.split.hash_by,
            seed=spec.seed,
        )
    )


def count_parts(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec) -> dict[str, Part]:
    tasks = [task.name for task in spec.tasks]
    counts = ", ".join(f"count({quote_identifier(task)})" for task in tasks)
    rows = connection.execute(
        f"SELECT split, count(*), min(timestamp), max(timestamp), {counts} FROM examples GROUP BY split"
    ).fetchall()
    found = {
        split: Part(count, start, end, dict(zip(tasks, labels, strict=True)))
        for split, count, start, end, *labels in rows
    }
    return {split: found.get(split, Part(0, None, None, dict.fromkeys(tasks, 0))) for split in SPLITS}


def refuse_gaps(planned: PlannedWindow, spec: PipelineSpec) -> None:
    """A window without test labels of a task is told later, by a score that is missing; one that cannot be learned
    from is refused here, before hours of training."""
    where = f"evaluation.backtest: window {planned.window.number} of {planned.window.windows}"
    for split, part in planned.parts.items():
        if part.rows == 0:
            shared = ", ".join(spec.split.hash_by) if spec.split.hash_by else "timestamp"
            raise UserError(
                f"{where} has no rows for {split}: there are too few rows, or too many share one {shared}; "
                "choose fewer windows"
            )
        for task, labels in part.labels.items():
            if labels == 0 and split != "test":
                raise UserError(
                    f"{where}: no row for {split} has a label of task {task}, so it cannot be learned there; "
                    "choose fewer windows"
                )


def build_window(spec: PipelineSpec, window: Window, *, source: Path, target: Path) -> None:
    """Write the examples of one window, and the statistics and vocabulary of its own training rows, to `target`.

    `source`: an examples.parquet. `target`, a folder, is laid out and published as the examples are.
    """
    with publish_folder(target) as folder, duckdb.connect() as connection:
        apply_settings(connection, spec.warehouse)
        show_window(connection, spec, window, source)
        types = column_types(connection, "examples")
        connection.execute(
            render_sql(
                COMMON_SQL / "statistics.sql",
                numeric=numeric_features(spec),
                categorical=[
                    (name, types[name].endswith("[]")) for name in [*spec.ids, *spec.categorical_features]
                ],
            )
        )
        for table in ("examples", "statistics", "vocabulary"):
            write_parquet(connection, table, folder / f"{table}.parquet")


def users_tested(source: Path, spec: PipelineSpec, planned: list[PlannedWindow]) -> pl.Series | None:
    """Each user of a test row once, in a fixed order; None where there are no users."""
    if "user_id" not in spec.ids:
        return None
    first = planned[0].window
    where = f" WHERE timestamp >= {quote_literal(first.test_start)}" if isinstance(first, TimeWindow) else ""
    with duckdb.connect() as connection:
        return connection.sql(
            f"SELECT DISTINCT user_id FROM read_parquet({quote_literal(source)}){where} ORDER BY user_id"
        ).pl()["user_id"]
