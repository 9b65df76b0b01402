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
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl

from mtl_pipeline.errors import UserError
from mtl_pipeline.publishing import publish_folder
from mtl_pipeline.spec import Backtest, PipelineSpec
from mtl_pipeline.warehouse.connection import apply_settings, fetch_one, run_sql
from mtl_pipeline.warehouse.features.examples import Part, count_parts, write_examples
from mtl_pipeline.warehouse.features.label_times import steps_column
from mtl_pipeline.warehouse.templates import quote_literal

ROUNDING = 1e-9


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
    """The test is one of `windows` equal parts of the hash's range."""

    number: int
    windows: int
    trained: float
    """Share of all rows that train; the rest before the fold validates."""
    is_test_split: bool = False
    """A fold need not be as large as the test split."""


Window = TimeWindow | Fold


@dataclass(frozen=True)
class PlannedWindow:
    window: Window
    parts: dict[str, Part]
    """By split."""


def plan_windows(source: Path, spec: PipelineSpec, backtest: Backtest) -> list[PlannedWindow]:
    """Where each window lies in the examples of `source`, and what is in it, the first one first.

    Raises UserError when there are too few rows or distinct times for so many windows, or when a task has no label
    to learn from in one of them; and where a column names the test, which leaves no other rows to test on.
    """
    if spec.split.column:
        raise UserError(
            f"a backtest tests on other rows than the test split, and split.column {spec.split.column} in defs.yaml "
            "says which rows are the test. Leave the backtest out (seed_runs tells how much a result varies), or let "
            "time or split.hash_by decide instead"
        )
    with duckdb.connect() as connection:
        apply_settings(connection, spec.warehouse)
        windows: Iterator[Window] = time_windows(connection, source, spec, backtest)
        if spec.split.hash_by:
            windows = folds(spec, backtest)
        planned = []
        for window in windows:
            show_window(connection, spec, window, source)
            planned.append(PlannedWindow(window, count_parts(connection, spec)))
            refuse_gaps(planned[-1], spec)
    return planned


def folds(spec: PipelineSpec, backtest: Backtest) -> Iterator[Fold]:
    """What a fold does not test is divided into train and validation as in the split."""
    windows = backtest.windows
    for number in range(1, windows + 1):
        yield Fold(number, windows, trained=(1 - 1 / windows) * train_of_known(spec))


def train_of_known(spec: PipelineSpec) -> float:
    """The share of train in train and validation."""
    return spec.split.train / (spec.split.train + spec.split.validation)


def time_windows(
    connection: duckdb.DuckDBPyConnection, source: Path, spec: PipelineSpec, backtest: Backtest
) -> Iterator[TimeWindow]:
    """Each tests as many rows as the test split, which is the last one; with expanding training, the last window also
    validates as the split does."""
    windows, rolling = backtest.windows, backtest.training == "rolling"
    test, trained_of_known = shares_by_time(connection, source, spec)
    most = math.ceil(1 / test - ROUNDING) - 1
    if windows > most:
        raise UserError(
            f"evaluation.backtest: {windows} windows as long as the test split, {test:.0%} of the rows each, leave "
            f"none to train before the first; choose at most {most}, or a shorter test split"
        )
    known = [1 - (windows - place) * test for place in range(windows)]
    first = [share - known[0] if rolling else 0.0 for share in known]
    trained = [start + (end - start) * trained_of_known for start, end in zip(first, known, strict=True)]
    quantiles = ", ".join(f"quantile_disc(timestamp, {shares})" for shares in (first, trained, known))
    starts, validation, tests, own_validation, own_test = fetch_one(
        connection,
        f"SELECT {quantiles}, min(timestamp) FILTER (split = 'validation'), min(timestamp) FILTER (split = 'test') "
        f"FROM read_parquet({quote_literal(source)})",
    )
    tests[-1] = own_test
    if not rolling:
        validation[-1] = own_validation
    if any(later <= earlier for earlier, later in itertools.pairwise(tests)):
        raise UserError(
            f"evaluation.backtest: the examples have too few distinct times for {windows} test windows; choose fewer"
        )
    for place in range(windows):
        yield TimeWindow(
            number=place + 1,
            windows=windows,
            train_start=starts[place] if rolling and place else None,
            validation_start=validation[place],
            test_start=tests[place],
            test_end=tests[place + 1] if place + 1 < windows else None,
        )


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


def show_window(
    connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, window: Window, source: Path
) -> None:
    """Make the temporary view `examples` show the rows of one window. Where labels come late, label_steps.parquet lies
    beside `source`, and with sequences chosen.parquet. Raises UserError where that is missing."""
    steps, chosen = (source.with_name(name) for name in ("label_steps.parquet", "chosen.parquet"))
    if spec.features.sequence and not chosen.exists():
        raise UserError("examples was made by an earlier version of this project: materialize it again")
    run_sql(
        connection,
        "window.sql",
        spec=spec,
        window=window,
        source=source,
        steps=steps if steps.exists() else None,
        steps_column=steps_column,
        chosen=chosen,
    )


def refuse_gaps(planned: PlannedWindow, spec: PipelineSpec) -> None:
    """Refuse, before hours of training, a window that a task cannot learn from. A window without test labels of a task
    shows later, by a missing score."""
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
        write_examples(connection, spec, folder)


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
