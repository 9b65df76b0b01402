"""What `make run` prints once it has evaluated: metrics per task against the baselines, whether the model was promoted,
seconds per asset, and where the report is.

python -m mtl_pipeline.summary movielens
"""

from __future__ import annotations

import argparse
import os
import sys

import dagster as dg
import polars as pl

from mtl_pipeline.champions import Decision
from mtl_pipeline.components.timings import seconds_per_asset
from mtl_pipeline.evaluation.studies.runs.history import read_records
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import CEILING_SHARE
from mtl_pipeline.paths import PipelinePaths, project_root
from mtl_pipeline.publishing import reading


def markdown_tables(decimals: int) -> pl.Config:
    return pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        float_precision=decimals,
        tbl_width_chars=120,
        fmt_str_lengths=40,
        tbl_formatting="MARKDOWN",
    )


def print_metrics(paths: PipelinePaths) -> None:
    """Print the test metrics of every model and the intervals of the comparisons."""
    with reading(paths.evaluation) as folder:
        metrics = pl.read_parquet(folder / "metrics.parquet").filter(pl.col("split") == "test")
        comparisons = pl.read_parquet(folder / "comparisons.parquet")
    against = pl.col("baseline").alias("multi_task against")
    for rows in metrics.partition_by("task", maintain_order=True):
        task, kind = str(rows["task"][0]), KINDS[str(rows["kind"][0])]
        print(f"\n{task} on {int(rows['rows'][0]):,} test rows")
        shown = rows.filter(pl.col("metric").is_in([*kind.summarised, CEILING_SHARE.name]))
        print(shown.pivot("metric", index="model", values="value"))
        headline = comparisons.filter(pl.col("task") == task, pl.col("metric") == kind.headline.name)
        print(headline.select("metric", against, "difference", "low", "high", "verdict", "seeds"))


def print_recommendations(paths: PipelinePaths) -> None:
    """Print what the recommendations are like."""
    with reading(paths.recommendations_report) as folder:
        figures = pl.read_parquet(folder / "figures.parquet")
    print(f"\nRecommendations: {paths.recommendations}")
    print(figures.select("figure", "value", "limit"))
    print(f"\nAbout them: {paths.recommendations_report / 'report.html'}")


def print_timings(paths: PipelinePaths) -> None:
    """Print how long each asset took, where a lasting Dagster instance remembers it."""
    if "DAGSTER_HOME" not in os.environ:
        return
    with dg.DagsterInstance.get() as instance:
        timings = seconds_per_asset(instance, paths.pipeline)
    print(f"\nseconds per asset, {timings['seconds'].sum():.0f} in all\n{timings}")


def print_evaluation(paths: PipelinePaths) -> None:
    """Print metrics, what is to be kept in mind, and the decision about the newest model."""
    with markdown_tables(decimals=4):
        print_metrics(paths)
    for caveat in read_records(paths.evaluation_history)[-1].caveats:
        print(f"\nBeware: {caveat}")
    decision = Decision.read(paths.evaluation / "decision.json")
    print("\n" + "\n- ".join([decision.verdict, *decision.reasons]))


def print_summary(paths: PipelinePaths) -> None:
    """Print all of it that there is."""
    if paths.evaluation.exists():
        print_evaluation(paths)
    with markdown_tables(decimals=1):
        print_timings(paths)
    if paths.evaluation.exists():
        print(f"\nReport: {paths.evaluation / 'report.html'}")
    if paths.recommendations_report.exists():
        with markdown_tables(decimals=3):
            print_recommendations(paths)


def main() -> int:
    parser = argparse.ArgumentParser(description="Print the test metrics of a pipeline that has been run.")
    parser.add_argument("pipeline")
    paths = PipelinePaths(project_root(), parser.parse_args().pipeline)
    if not (paths.evaluation / "metrics.parquet").is_file():
        print(f"{paths.evaluation} holds no evaluation: materialize the pipeline first", file=sys.stderr)
        return 1
    print_summary(paths)
    return 0


if __name__ == "__main__":
    sys.exit(main())
