"""How long the evaluation takes, and how much memory: a synthetic frame, three tasks, six models and a ceiling.

python benchmarks/evaluation.py --rows 5000000 --users 100000 --samples 1000
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.evaluation import evaluation_report
from mtl_pipeline.evaluation.report.html import to_html
from mtl_pipeline.evaluation.studies.inside.slice_scores import measure_slices
from mtl_pipeline.evaluation.studies.lists.ranked_lists import measure_ranking
from mtl_pipeline.evaluation.studies.scoring import evaluate
from mtl_pipeline.spec import Task

MODELS = ("constant", "popularity", "linear", "boosted_trees", "single_task", "multi_task")
TASKS = (
    Task(name="click", kind="binary"),
    Task(name="purchase", kind="binary", given="click"),
    Task(name="amount", kind="regression"),
)


def synthetic_frame(rows: int, validation_rows: int, users: int) -> pl.DataFrame:
    """Every label observed but the purchases, which need a click; float32 predictions without ties, but for those
    of `constant` and `popularity`. No `user_id` when `users` is 0."""
    rng = np.random.default_rng(0)
    count = rows + validation_rows
    appeal = rng.normal(size=count)
    click = rng.random(count) < 1 / (1 + np.exp(-appeal))
    columns: dict[str, np.ndarray] = {
        "example_id": np.arange(count),
        "split": np.repeat(["validation", "test"], [validation_rows, rows]),
        "label/click": click.astype(np.float32),
        "label/purchase": np.where(click, rng.random(count) < 1 / (1 + np.exp(1 - appeal)), np.nan).astype(
            np.float32
        ),
        "label/amount": (appeal + rng.normal(size=count)).astype(np.float32),
    }
    if users:
        columns["user_id"] = rng.integers(users, size=count)
    for place, model in enumerate(MODELS):
        believed = appeal + (2.0 - 0.3 * place) * rng.normal(size=count)
        if model == "constant":
            believed = np.zeros(count)
        if model == "popularity":
            believed = believed.round(2)
        for task in TASKS:
            value = believed if task.kind == "regression" else 1 / (1 + np.exp(-believed / 2))
            columns[f"prediction/{model}/{task.name}"] = value.astype(np.float32)
    return pl.DataFrame(columns).with_columns(pl.col("label/purchase").fill_nan(None))


def synthetic_slices(predictions: pl.DataFrame) -> pl.DataFrame:
    """The test rows by chance in two, two, four and four slices, and in nine of a category, as a pipeline has them."""
    test = predictions.filter(pl.col("split") == "test").select("example_id")
    rng = np.random.default_rng(1)
    kinds = {"User": 2, "Item": 2, "Popularity": 4, "Time": 4, "category": 9}
    return test.with_columns(
        pl.Series(kind, names, dtype=pl.Enum(names)).gather(rng.integers(count, size=test.height)).alias(kind)
        for kind, count in kinds.items()
        for names in [[f"{kind} {place}" for place in range(count)]]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--validation-rows", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=100_000, help="0: no users, each row is its own cluster")
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--no-report", action="store_true", help="leave the drawing of the report out")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        # Through a file, as in the pipeline, so that making the frame does not count in the memory.
        path = Path(folder) / "predictions.parquet"
        made_in_a_child(arguments, path)
        predictions = pl.read_parquet(path)
    print(f"frame: {predictions.estimated_size('gb'):.2f} GB, peak so far {peak_gib():.2f} GiB")
    with timed("evaluate"):
        measured = evaluate(predictions, TASKS, bootstrap_samples=arguments.samples)
    with timed("slices"):
        slices = measure_slices(predictions, synthetic_slices(predictions), measured)
    with timed("ranked lists"):
        ranking = measure_ranking(
            predictions, TASKS, candidate=measured.candidate, bootstrap_samples=arguments.samples
        )
    if not arguments.no_report:
        with timed("report"):
            parts = {"slices": slices, "ranking": ranking}
            to_html(evaluation_report(measured, ReportContext("benchmark", predictions, parts=parts)))


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the seconds by the clock and of the processors: on a busy machine the second is the one to compare."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(
        f"{what}: {time.perf_counter() - wall:.1f} s, {time.process_time() - cpu:.1f} s of processor time, "
        f"peak {peak_gib():.2f} GiB"
    )


def made_in_a_child(arguments: argparse.Namespace, path: Path) -> None:
    import multiprocessing

    child = multiprocessing.get_context("spawn").Process(
        target=write_frame, args=(arguments.rows, arguments.validation_rows, arguments.users, path)
    )
    child.start()
    child.join()


def write_frame(rows: int, validation_rows: int, users: int, path: Path) -> None:
    synthetic_frame(rows, validation_rows, users).write_parquet(path)


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
