"""A saved ranker, and test rows of each task to probe it with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from mtl_pipeline.learning.data.dataset import TextVectors, read_chosen
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.data.feature_groups import FeatureGroup, feature_groups
from mtl_pipeline.learning.data.samples import observed_samples
from mtl_pipeline.learning.ranker.ranker import Ranker, load_ranker
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import reading
from mtl_pipeline.spec import PipelineSpec

PERMUTATIONS = 5
MOST_ROWS = 50_000
"""Test rows of one task."""
FEWEST_ROWS = 1_000
"""Rows of one task that are kept however many features there are."""
MOST_PREDICTED_ROWS = 1_500_000
"""Bounds the cost: rows times groups times permutations, over all tasks."""


@dataclass(frozen=True)
class Sample:
    """Encoded test rows on which each of `tasks` was observed."""

    tasks: list[str]
    rows: Rows


@dataclass(frozen=True)
class Probe:
    ranker: Ranker
    groups: list[FeatureGroup]
    samples: list[Sample]
    """Every task is in one of them; tasks observed on the same rows share one."""
    seed: int


def open_probe(paths: PipelinePaths, spec: PipelineSpec, folder: Path) -> Probe:
    """Raises UserError as `load_ranker` does."""
    ranker, encoder = load_ranker(folder, spec, TextVectors.read(paths, spec))
    reads_sequences = ranker.network.representation.sequence is not None
    groups = feature_groups(spec, encoder, reads_sequences=reads_sequences)
    with reading(paths.examples) as examples:
        test = pl.scan_parquet(examples / "examples.parquet").filter(pl.col("split") == "test").collect()
        chosen = encoder.encode_chosen(read_chosen(examples, spec))
    labels = test.select(pl.col(encoder.tasks).cast(pl.Float64).fill_null(np.nan)).to_numpy()
    rows_of_tasks = observed_samples(labels, rows_per_task(len(groups), len(spec.tasks)), spec.seed)
    by_rows: dict[bytes, Sample] = {}
    for task, rows in zip(encoder.tasks, rows_of_tasks, strict=True):
        if rows.tobytes() not in by_rows:
            by_rows[rows.tobytes()] = Sample([], encoder.encode(test[rows], chosen))
        by_rows[rows.tobytes()].tasks.append(task)
    return Probe(ranker, groups, list(by_rows.values()), spec.seed)


def rows_per_task(groups: int, tasks: int) -> int:
    affordable = MOST_PREDICTED_ROWS // max(1, groups * tasks * PERMUTATIONS)
    return max(FEWEST_ROWS, min(MOST_ROWS, affordable))
