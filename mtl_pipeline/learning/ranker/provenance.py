"""What the model and the baselines were trained with, and on which rows: kept beside them, so that old is not measured
against new, nor a model on rows that it saw.

Predictions are joined with the examples by row number, so those of other examples would silently be measured against
the labels of other rows. And networks can be compared only as long as they were trained with the same settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from polars import selectors

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import Dataset, TextVectors
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import folder_fingerprint, reading
from mtl_pipeline.spec import PipelineSpec, Split
from mtl_pipeline.spec.assets import JOINT_ONLY

TRAINED_WITH, SEEN = "trained_with.json", "seen.json"
BASELINE_ROWS, QUICK = "baseline_rows", "quick"
"""By these names in trained_with.json: from how many rows the baselines could learn, and whether all was made for a
first look only."""


def write_trained_with(folder: Path, trained: dict) -> None:
    (folder / TRAINED_WITH).write_text(json.dumps(trained, indent=2) + "\n")


def trained_with(dataset: Dataset, spec: PipelineSpec) -> dict:
    """Everything that decides what the model learned and which networks it has, by name."""
    return networks_trained_with(dataset, spec) | spec.training.model_dump(
        mode="json", include=set(JOINT_ONLY)
    )


def networks_trained_with(dataset: Dataset, spec: PipelineSpec) -> dict:
    """Everything that decides what a network learns, as those of the baselines, by name."""
    sections = spec.model_dump(
        mode="json",
        include={"model", "tasks", "features", "training", "seed"},
        exclude={"training": set(JOINT_ONLY), "tasks": {"__all__": {"good"}}},
    )
    inputs = {"text_vectors": dataset.text.contents, "examples": dataset.fingerprint}
    return sections | {BASELINE_ROWS: spec.baselines.rows, QUICK: spec.is_quick} | inputs


def read_trained_with(folder: Path) -> dict:
    """Raises UserError when nothing is published at `folder`."""
    with reading(folder) as version:
        return json.loads((version / TRAINED_WITH).read_text())


def made_quickly(folder: Path) -> bool:
    """Whether what is published there was made for a first look only."""
    return bool(read_trained_with(folder).get(QUICK))


def rows_limit(folder: Path) -> int | None:
    """How many rows of the training split it could learn from at most; None where that was all."""
    return read_trained_with(folder).get("training", {}).get("rows")


def differing(one: dict, other: dict) -> list[str]:
    """In words, what differs, or is known of one only."""
    names = dict.fromkeys([*one, *other])
    return [
        name.replace("_", " ")
        for name in names
        if (name in one, one.get(name)) != (name in other, other.get(name))
    ]


def refuse_other_training(paths: PipelinePaths, dataset: Dataset, spec: PipelineSpec) -> None:
    """Raises UserError unless model and baselines were trained as they would be now."""
    present = {
        paths.model: trained_with(dataset, spec),
        paths.baselines: networks_trained_with(dataset, spec),
    }
    for folder, now in present.items():
        if others := differing(now, read_trained_with(folder)):
            raise UserError(
                f"{folder} was not trained with the present {', '.join(others)}, so that networks with further "
                "seeds would differ from it in more than the seed: materialize model and baselines again"
            )


def refuse_other_examples(paths: PipelinePaths) -> None:
    """Raises UserError unless model and baselines were trained on the examples as they are now."""
    with reading(paths.examples) as folder:
        examples = folder_fingerprint(folder)
    for folder in (paths.model, paths.baselines):
        if read_trained_with(folder).get("examples") != examples:
            raise UserError(
                f"{folder} was made from other examples than {paths.examples} holds now, or does not say from which: "
                f"they cannot be measured together, so materialize {folder.name} again"
            )


def unequal_training(paths: PipelinePaths) -> list[str]:
    """In words, which inputs and settings of the baselines' training differ from the model's."""
    model, baselines = read_trained_with(paths.model), read_trained_with(paths.baselines)
    return differing({name: value for name, value in model.items() if name not in JOINT_ONLY}, baselines)


def outdated_text(paths: PipelinePaths, spec: PipelineSpec) -> bool:
    """Whether the baselines were trained with other text vectors than the model reads now."""
    return read_trained_with(paths.baselines).get("text_vectors") != TextVectors.read(paths, spec).contents


def write_seen(
    folder: Path,
    spec: PipelineSpec,
    rows: pl.DataFrame | pl.LazyFrame,
    inherited: Mapping[str, Any] | None = None,
) -> None:
    """Note beside a model the times of its latest training row, and of its latest training or validation row among
    `rows`, and how rows were split. `inherited`: what the `champion` that it went on from has seen, as `read_seen`
    says."""
    rows = rows.lazy()
    trained = rows.filter(pl.col("split") == "train") if "split" in rows.collect_schema() else rows
    seen, champion = {"until": latest(rows), "trained_until": latest(trained)}, None
    if inherited:
        champion, times = (
            inherited["champion"],
            {name: (time, inherited[name]) for name, time in seen.items()},
        )
        seen = {name: max(both) if all(both) else None for name, both in times.items()}
    known = {"split": spec.split.model_dump(mode="json"), **seen, "started_from": champion}
    (folder / SEEN).write_text(json.dumps(known, indent=1) + "\n")


def latest(rows: pl.LazyFrame) -> str | None:
    last = rows.select(selectors.by_name("timestamp", require_all=False).max()).collect()
    return last.item().isoformat() if last.width and last.item() else None


def read_seen(folder: Path) -> dict[str, Any]:
    """A model may be older than a key: of `split`, which then had its default, or than `trained_until`, which is then
    as late as it can be."""
    seen = json.loads((folder / SEEN).read_text())
    split = Split().model_dump(mode="json") | seen["split"]
    return {"trained_until": seen["until"], "started_from": None} | seen | {"split": split}


def unseen(folder: Path, spec: PipelineSpec) -> pl.Expr:
    """Whether a validation or test row surely took no part in the training of the model in `folder`. Only rows that
    neither of two models saw can say which is better.

    Where the same hash or column still splits the rows, no row changes its split. Otherwise rows must be later than all
    that the model saw; without times nothing is sure.
    """
    seen = read_seen(folder)
    if not spec.split.by_time and seen["split"] == spec.split.model_dump(mode="json"):
        return pl.lit(True)
    return later_than(seen["until"])


def later_than(time: str | None) -> pl.Expr:
    if time is None:
        return pl.lit(False)
    limit = pl.lit(time).str.to_datetime(time_unit="us")
    return (pl.col("timestamp").cast(pl.Datetime("us")) > limit).fill_null(False)


def leak(seen: Mapping[str, Any], spec: PipelineSpec, rows: pl.DataFrame) -> str:
    """Why training must not go on from a model that has `seen` that (see `read_seen`), in words; empty where it may.
    `rows`: those that validate or test now.

    It must not have learned from a row that validates now, nor learned from or been chosen by one that tests now. It
    may have been chosen by rows that validate now, as the new model is. With the split as it was, and nothing but later
    rows added, that is so.
    """
    if seen["split"] != spec.split.model_dump(mode="json"):
        return "was trained when rows were split otherwise"
    if not spec.split.by_time:
        return ""
    for split, until in (("validation", seen["trained_until"]), ("test", seen["until"])):
        if (
            not rows.filter(pl.col("split") == split)
            .select(pl.repeat(True, pl.len()) & later_than(until))[:, 0]
            .all()
        ):
            return f"has seen rows that are {split} rows now"
    return ""


def started_from(folder: Path) -> str | None:
    """The fingerprint of the champion whose weights a model started with; None where these were random."""
    with reading(folder) as version:
        return read_seen(version)["started_from"]
