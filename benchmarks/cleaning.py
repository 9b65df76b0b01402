"""Cleaning N dirty interactions: this project against bare DuckDB and pandas, side by side.

    python benchmarks/cleaning.py --rows 10000000 --repeat 3

Every measurement is a process of its own; contenders take turns, so that a busy machine slows all of
them. Writes and removes its files in a temporary folder: about four times the size of the raw file.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.warehouse.tables import build_table

USERS, ITEMS, CATEGORIES = 100_000, 50_000, 40
ROWS_AT_ONCE = 1_000_000
COLUMNS = ["user_id", "item_id", "timestamp", "click", "purchase", "rating", "price", "session"]
FAULTS = [
    ("user_id", "abc"),
    ("item_id", ""),
    ("timestamp", "yesterday"),
    ("rating", "9"),
    ("user_id", "999999999"),
    ("item_id", "999999999"),
    ("price", "-1"),
    ("session", "1,one column too many"),
]
CASTS = """
    TRY_CAST(user_id AS BIGINT) AS user_id,
    TRY_CAST(item_id AS BIGINT) AS item_id,
    TRY_CAST("timestamp" AS TIMESTAMP) AS timestamp,
    TRY_CAST(click AS INTEGER) AS click,
    TRY_CAST(purchase AS INTEGER) AS purchase,
    TRY_CAST(rating AS BIGINT) AS rating,
    TRY_CAST(price AS DOUBLE) AS price,
    session"""
"""The types that the macros of INTERACTIONS_SQL deliver, so that both write tables of the same width."""
INTERACTIONS_SQL = """
SELECT
    whole_number(user_id) AS user_id,
    whole_number(item_id) AS item_id,
    moment("timestamp") AS timestamp,
    flag(click) AS click,
    flag(purchase) AS purchase,
    whole_number(rating, 1, 5) AS rating,
    decimal_number(price, 0) AS price,
    session,
    source_file,
    source_line,
    coalesce(
        unless_whole_number(user_id),
        unless_whole_number(item_id),
        unless_moment("timestamp"),
        unless_whole_number(rating, 1, 5),
        unless_decimal_number(price, 0)
    ) AS rejection
FROM raw_interactions
"""
USERS_SQL = """
SELECT user_id::INTEGER AS user_id, age::INTEGER AS age, 'user' AS text, source_file, source_line,
    NULL::STRUCT("column" VARCHAR, reason VARCHAR) AS rejection
FROM raw_users
"""
ITEMS_SQL = """
SELECT item_id::INTEGER AS item_id, category, 'item' AS text, source_file, source_line,
    NULL::STRUCT("column" VARCHAR, reason VARCHAR) AS rejection
FROM raw_items
"""
SPECIFICATION = {
    "features": {
        "users": {"numeric": ["age"]},
        "items": {"categorical": ["category"]},
        "history": [
            {"by": ["user_id"], "statistic": "count", "label": "click"},
            {"by": ["user_id"], "statistic": "mean", "label": "rating"},
            {"by": ["item_id"], "statistic": "count", "label": "click"},
            {"by": ["item_id"], "statistic": "count", "label": "click", "within_days": 30},
            {"by": ["item_id"], "statistic": "mean", "label": "rating"},
        ],
    },
    "tasks": [
        {"name": "click", "kind": "binary"},
        {"name": "purchase", "kind": "binary", "given": "click"},
        {"name": "rating", "kind": "regression"},
    ],
}


def write_interactions(path: Path, rows: int, *, quoted: bool) -> None:
    """About 1 % of the rows are faulty and 1 % repeat an earlier one; `quoted` adds line breaks and blank lines."""
    with path.open("wb") as file:
        file.write((",".join(COLUMNS) + "\n").encode())
        for first in range(0, rows, ROWS_AT_ONCE):
            lines = interaction_lines(first, min(ROWS_AT_ONCE, rows - first), quoted)
            lines.to_frame().write_csv(file, include_header=False, quote_style="never", separator="\x01")


def interaction_lines(first: int, rows: int, quoted: bool) -> pl.Series:
    rng = np.random.default_rng([0, first])
    clicked = rng.random(rows) < 0.3
    repeated = np.where(rng.random(rows) < 0.01, np.maximum(np.arange(rows) - 1000, 0), np.arange(rows))
    faults = np.where(rng.random(rows) < 0.01, rng.integers(len(FAULTS), size=rows), -1)
    session = pl.Series(rng.integers(10**9, 10**10, rows)).cast(pl.String)
    frame = pl.DataFrame(
        {
            "user_id": rng.integers(1, USERS + 1, rows),
            "item_id": 1 + (rng.beta(1, 4, rows) * ITEMS).astype(np.int64),
            "timestamp": pl.from_epoch(pl.Series(1_600_000_000 + 10 * (first + np.arange(rows)))),
            "click": clicked.astype(np.int8),
            "purchase": (clicked & (rng.random(rows) < 0.2)).astype(np.int8),
            "rating": rng.integers(1, 6, rows),
            "price": (rng.integers(100, 100_000, rows) / 100).astype("U"),
            "session": "s" + session + "-web",
        }
    ).with_columns(pl.exclude("timestamp").cast(pl.String), pl.col("timestamp").dt.to_string("%F %T"))
    for number, (column, value) in enumerate(FAULTS):
        frame = frame.with_columns(
            pl.when(pl.Series(faults == number)).then(pl.lit(value)).otherwise(column).alias(column)
        )
    if quoted:
        quirk = pl.Series(rng.random(rows))
        text = pl.when(quirk < 0.005).then(pl.lit('"one\ntwo"')).otherwise("session")
        frame = frame.with_columns(text.alias("session"))
        frame = frame.with_columns(
            pl.when(quirk > 0.995).then(pl.lit("\n")).otherwise(pl.lit("")).alias("end")
        )
    return frame.select(
        pl.concat_str(COLUMNS, separator=",") + (pl.col("end") if quoted else pl.lit(""))
    ).to_series()[repeated]


def write_project(root: Path, rows: int, *, quoted: bool) -> None:
    """Raw files, SQL, and a warehouse with users and items."""
    paths = PipelinePaths(root, "shop")
    paths.raw.mkdir(parents=True)
    paths.sql.mkdir(parents=True)
    for table, query in (("users", USERS_SQL), ("items", ITEMS_SQL), ("interactions", INTERACTIONS_SQL)):
        (paths.sql / f"{table}.sql").write_text(query)
    users, items = np.arange(1, USERS + 1), np.arange(1, ITEMS + 1)
    pl.DataFrame({"user_id": users, "age": 18 + users % 60}).write_csv(paths.raw / "users.csv")
    pl.DataFrame(
        {"item_id": items, "category": "c" + pl.Series(items % CATEGORIES).cast(pl.String)}
    ).write_csv(paths.raw / "items.csv")
    write_interactions(paths.raw / "interactions.csv", rows, quoted=quoted)
    for table in ("users", "items"):
        build_table(paths, specification("4GB"), table)


def specification(memory_limit: str) -> PipelineSpec:
    return PipelineSpec.model_validate(SPECIFICATION | {"warehouse": {"memory_limit": memory_limit}})


def bare(root: Path, memory_limit: str) -> dict:
    """What DuckDB takes at least: read, cast, drop exact repeats, write."""
    raw, database = root / "data/shop/raw/interactions.csv", root / "bare.duckdb"
    database.unlink(missing_ok=True)
    with duckdb.connect(str(database)) as connection:
        connection.execute(f"SET memory_limit = '{memory_limit}'; SET preserve_insertion_order = false")
        connection.execute("SET enable_progress_bar = false")
        columns = ", ".join(f"'{column}': 'VARCHAR'" for column in COLUMNS)
        connection.execute(
            f"CREATE TABLE interactions AS SELECT DISTINCT {CASTS} FROM read_csv('{raw}', header = true, "
            f"auto_detect = false, delim = ',', quote = '\"', columns = {{{columns}}}, ignore_errors = true)"
        )
        return {"rows": connection.execute("SELECT count(*) FROM interactions").fetchall()[0][0]}


def ours(root: Path, memory_limit: str) -> dict:
    """build_table: the same, and every refused row with line, column, reason and content; known ids only."""
    summary = build_table(PipelinePaths(root, "shop"), specification(memory_limit), "interactions")
    assert summary.rows_read == summary.rows_kept + summary.rows_rejected
    return {"rows": summary.rows_kept, "rejected": summary.rows_rejected}


def pandas(root: Path, memory_limit: str) -> dict:
    """The same rules, without lines."""
    import pandas as pd

    raw = root / "data/shop/raw/interactions.csv"
    frame = pd.read_csv(raw, dtype=str, on_bad_lines="skip", names=COLUMNS, header=0)
    for column in ("user_id", "item_id", "click", "purchase", "rating", "price"):
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], errors="coerce", format="%Y-%m-%d %H:%M:%S")
    good = (
        frame["user_id"].between(1, USERS)
        & frame["item_id"].between(1, ITEMS)
        & frame["timestamp"].notna()
        & frame["rating"].between(1, 5)
        & ~(frame["price"] < 0)
    )
    frame = frame[good].drop_duplicates(["user_id", "item_id", "timestamp"])
    frame.to_parquet(root / "pandas.parquet")
    return {"rows": len(frame)}


def examples(root: Path, memory_limit: str) -> dict:
    """build_examples over the cleaned tables: split, five history features, statistics, Parquet."""
    return {"rows": build_examples(PipelinePaths(root, "shop"), specification(memory_limit)).rows}


CONTENDERS = {"bare": bare, "ours": ours, "pandas": pandas, "examples": examples}


def run_alone(root: Path, contender: str, memory_limit: str) -> dict:
    """Seconds, CPU seconds and peak memory of one contender in a process of its own."""
    command = [sys.executable, __file__, "--one", contender, "--folder", str(root), "--memory", memory_limit]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise SystemExit(f"{contender} failed:\n{finished.stderr}")
    return json.loads(finished.stdout.splitlines()[-1])


def measure(root: Path, contender: str, memory_limit: str) -> dict:
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    outcome = CONTENDERS[contender](root, memory_limit)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return outcome | {
        "seconds": time.perf_counter() - started,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_mb": peak_memory_mb(),
    }


def peak_memory_mb() -> float:
    """Of this process alone; ru_maxrss would start with what the parent had at the fork."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--memory", default="4GB", help="DuckDB's memory limit")
    parser.add_argument("--quoted", action="store_true", help="with quoted line breaks and blank lines")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.folder, options.one, options.memory)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        root = Path(folder)
        write_project(root, options.rows, quoted=options.quoted)
        size = (root / "data/shop/raw/interactions.csv").stat().st_size
        print(f"{options.rows:,} rows, {size / 1e6:,.0f} MB, memory limit {options.memory}")
        outcomes: dict[str, list[dict]] = {contender: [] for contender in options.only}
        for _ in range(options.repeat):
            for contender in options.only:
                outcomes[contender].append(run_alone(root, contender, options.memory))
        print_table(outcomes)


def print_table(outcomes: dict[str, list[dict]]) -> None:
    print("| | seconds | × bare | CPU seconds | × bare | peak MB | rows |\n|---|---|---|---|---|---|---|")
    for contender, runs in outcomes.items():
        cells = [contender]
        for figure in ("seconds", "cpu"):
            cells.append(f"{statistics.median(run[figure] for run in runs):.1f}")
            if bare_runs := outcomes.get("bare"):
                ratios = [run[figure] / other[figure] for run, other in zip(runs, bare_runs, strict=True)]
                cells.append(f"{statistics.median(ratios):.2f}")
            else:
                cells.append("")
        cells += [f"{max(run['peak_mb'] for run in runs):,.0f}", f"{runs[0]['rows']:,}"]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
