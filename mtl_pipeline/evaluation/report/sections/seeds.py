"""What several seeds say: by how much the same network differs from seed to seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

from mtl_pipeline.evaluation.formatting import MOST_DECIMALS, decimals_for, format_value
from mtl_pipeline.evaluation.report.document import Section, Table
from mtl_pipeline.evaluation.report.wording import labelled, notes_of
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import CHAMPION
from mtl_pipeline.spec import Task

FEW_SEEDS = 5
SPREAD = ("mean", "standard_deviation", "lowest", "highest")


def sections(evaluation: Evaluation, seeds: pl.DataFrame) -> list[Section]:
    how = (
        f"The same networks, trained on the same examples with {evaluation.seeds} seeds: what the first weights, the "
        "order of the rows and the hiding of ids do by chance. Of two models that differ by no more than this, one "
        "seed cannot say which is better. seeds.parquet has all metrics and the value of each seed."
    )
    details = [Section("Mean and spread of each model", tables=[seeds_table(seeds, evaluation.tasks)])]
    return [Section("Over seeds", [how], details=details)]


def seeds_table(seeds: pl.DataFrame, tasks: Sequence[Task]) -> Table:
    """The compared metrics of the frame of `measure_seeds`, a line for each model."""
    shown = [(task, KINDS[task.kind].metric(name)) for task in tasks for name in KINDS[task.kind].compared]
    rows = [
        row | {"label": labelled(metric)}
        for task, metric in shown
        for row in seeds.filter(task=task.name, metric=metric.name).iter_rows(named=True)
    ]
    return Table(
        ["task", "metric", "model", *(name.replace("_", " ") for name in SPREAD)],
        [[row["task"], row["label"], row["model"], *spread_in_words(row)] for row in rows],
        notes=notes_of(rows, "task", "model"),
    )


def spread_in_words(row: dict) -> list[str]:
    """The columns SPREAD, with as many decimals as show two digits of the standard deviation."""
    decimals = decimals_for(abs(row["mean"])) if math.isfinite(row["mean"]) else 0
    if 0 < row["standard_deviation"] < 1:
        decimals = min(max(decimals, 1 - math.floor(math.log10(row["standard_deviation"]))), MOST_DECIMALS)
    return [format_value(row[name], decimals) for name in SPREAD]


def seeds_sentence(evaluation: Evaluation) -> str:
    """What a difference is where there are several seeds; empty where there is one."""
    if evaluation.seeds == 1:
        return ""
    sentences = [
        f"Here each difference is the mean over {evaluation.seeds} seeds: {evaluation.candidate} with each seed "
        "against the baseline with the same seed, where it has one. Its interval covers seeds too.",
        "The means themselves stand under Over seeds, those of a whole chain in its own section; the tables of models, "
        "whole chains, ranked lists and slices show the one model that is put forward.",
    ]
    if CHAMPION in evaluation.comparisons["baseline"]:
        sentences.append("The champion is compared with that one.")
    if evaluation.seeds < FEW_SEEDS:
        sentences.append("So few seeds make rough intervals.")
    return " ".join(sentences)
