"""The closing words of `make demo`: metrics per task against the baselines, and where the report is.

python -m mtl_pipeline.summary movielens
"""

from __future__ import annotations

import argparse
import sys

import polars as pl

from mtl_pipeline.paths import PipelinePaths, project_root

SHOWN = {"binary": ["roc_auc", "pr_auc", "log_loss", "f1"], "regression": ["rmse", "mae"]}


def print_summary(paths: PipelinePaths) -> None:
    """Print the test metrics of every model and the intervals of the comparisons."""
    metrics = pl.read_parquet(paths.evaluation / "metrics.parquet").filter(pl.col("split") == "test")
    comparisons = pl.read_parquet(paths.evaluation / "comparisons.parquet")
    with pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        float_precision=4,
        tbl_width_chars=120,
        fmt_str_lengths=40,
        tbl_formatting="MARKDOWN",
    ):
        for rows in metrics.partition_by("task", maintain_order=True):
            task, kind = str(rows["task"][0]), str(rows["kind"][0])
            print(f"\n{task} on {int(rows['rows'][0]):,} test rows")
            table = rows.filter(pl.col("metric").is_in(SHOWN[kind])).pivot(
                "metric", index="model", values="value"
            )
            print(table)
            print(
                comparisons.filter((pl.col("task") == task) & (pl.col("metric") == SHOWN[kind][0])).select(
                    "metric",
                    pl.col("baseline").alias("multi_task against"),
                    "difference",
                    "low",
                    "high",
                    "verdict",
                )
            )
    print(f"\nReport: {paths.evaluation / 'report.html'}")
    print(f"Recommendations: {paths.recommendations}")


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
