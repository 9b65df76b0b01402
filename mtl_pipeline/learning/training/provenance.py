"""What the model and the baselines were trained with, and on which rows: kept beside them, so that old is not measured
against new, nor a model on rows that it saw.

Predictions are joined with the examples by row number, so those of other examples would silently be measured against
the labels of other rows. And networks can be compared only as long as they were trained with the same settings.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
from polars import selectors

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import Dataset, TextVectors
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import folder_fingerprint, reading
from mtl_pipeline.spec import PipelineSpec, Split
from mtl_pipeline.spec.assets import GUARDING

TRAINED_WITH, SEEN = "trained_with.json", "seen.json"
GUARD = "guard"
"""What chose among the networks of the model, by this name in trained_with.json."""
BASELINE_ROWS, QUICK = "baseline_rows", "quick"
"""In the same way: from how many rows the baselines could learn, and whether all was made for a first look only."""


def write_trained_with(folder: Path, trained: dict) -> None:
    (folder / TRAINED_WITH).write_text(json.dumps(trained, indent=2) + "\n")


def trained_with(dataset: Dataset, spec: PipelineSpec) -> dict:
    """Everything that decides what the model learned and which networks it has, by name."""
    return networks_trained_with(dataset, spec) | {
        GUARD: spec.training.model_dump(mode="json", include=set(GUARDING))
    }


def networks_trained_with(dataset: Dataset, spec: PipelineSpec) -> dict:
    """Everything that decides what a network learns, as those of the baselines, by name."""
    sections = spec.model_dump(
        mode="json",
        include={"model", "tasks", "features", "training", "seed"},
        exclude={"training": set(GUARDING), "tasks": {"__all__": {"good"}}},
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
    return differing({name: value for name, value in model.items() if name != GUARD}, baselines)


def outdated_text(paths: PipelinePaths, spec: PipelineSpec) -> bool:
    """Whether the baselines were trained with other text vectors than the model reads now."""
    return read_trained_with(paths.baselines).get("text_vectors") != TextVectors.read(paths, spec).contents


def write_seen(folder: Path, spec: PipelineSpec, rows: pl.DataFrame | pl.LazyFrame) -> None:
    """Note beside a model the time of its latest training or validation row, and how rows were split."""
    last = rows.lazy().select(selectors.by_name("timestamp", require_all=False).max()).collect()
    until = last.item().isoformat() if last.width and last.item() else None
    seen = {"split": spec.split.model_dump(mode="json"), "until": until}
    (folder / SEEN).write_text(json.dumps(seen, indent=1) + "\n")


def unseen(folder: Path, spec: PipelineSpec) -> pl.Expr:
    """Whether a validation or test row surely took no part in the training of the model in `folder`. Only rows that
    neither of two models saw can say which is better.

    Where the same hash or column still splits the rows, no row changes its split. Otherwise rows must be later than all
    that the model saw; without times nothing is sure.
    """
    seen = json.loads((folder / SEEN).read_text())
    # A model may be older than a key, which then had its default.
    split = Split().model_dump(mode="json") | seen["split"]
    if not spec.split.by_time and split == spec.split.model_dump(mode="json"):
        return pl.lit(True)
    if seen["until"] is None:
        return pl.lit(False)
    until = pl.lit(seen["until"]).str.to_datetime(time_unit="us")
    return (pl.col("timestamp").cast(pl.Datetime("us")) > until).fill_null(False)
