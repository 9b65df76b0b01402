"""Permutation importance: what the ranker predicts when one group of features is shuffled among rows
(Breiman, Machine Learning 45, 2001, https://doi.org/10.1023/A:1010933404324; for any model Fisher, Rudin and
Dominici, JMLR 20 (177), 2019, https://arxiv.org/abs/1801.01489).

Rows are shuffled among those of the same task, since these may differ from the rest as watched films differ from all
films. The columns of a group stay together: each row gets all of them from one other row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import polars as pl
import torch

from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.data.feature_groups import FeatureGroup
from mtl_pipeline.learning.explain.probing import PERMUTATIONS, Probe, Sample
from mtl_pipeline.predictions import label_column, plain_prediction_column


def permuted_predictions(probe: Probe) -> Iterator[pl.DataFrame]:
    """What the ranker predicts for the probe's rows: as they are, then with each group shuffled, PERMUTATIONS times.

    Each frame holds the rows of one sample: `label/<task>` and `prediction/<task>` (an Array of one probability per
    class for a task with classes) of the sample's tasks and, constant, `group`, `family` (null where nothing is
    shuffled) and `is_family`. The same seed gives the same frames.
    """
    random = np.random.default_rng(probe.seed)
    for sample in probe.samples:
        yield predicted(probe, sample, sample.rows, None)
        orders = [torch.from_numpy(random.permutation(len(sample.rows))) for _ in range(PERMUTATIONS)]
        for group, order in product(probe.groups, orders):
            yield predicted(probe, sample, permuted(sample.rows, group, order), group)


def permuted(rows: Rows, group: FeatureGroup, order: torch.Tensor) -> Rows:
    """The rows, each with the group's columns of row `order[row]`."""
    changed = {}
    for tensor, columns in group.columns.items():
        changed[tensor] = getattr(rows, tensor).clone()
        changed[tensor][:, columns] = changed[tensor][order][:, columns]
    return replace(rows, **changed)


def predicted(probe: Probe, sample: Sample, rows: Rows, group: FeatureGroup | None) -> pl.DataFrame:
    predictions = probe.ranker.narrowed(sample.tasks).predict(rows)
    tasks = [task.name for task in probe.ranker.tasks]
    labels = {task: sample.rows.labels[:, tasks.index(task)].numpy() for task in sample.tasks}
    return pl.DataFrame(
        {label_column(task): labels[task] for task in sample.tasks}
        | {plain_prediction_column(task): predictions[task] for task in sample.tasks}
    ).with_columns(
        pl.lit(group.name if group else None, pl.String).alias("group"),
        pl.lit(group.family if group else None, pl.String).alias("family"),
        pl.lit(bool(group and group.is_family)).alias("is_family"),
    )
