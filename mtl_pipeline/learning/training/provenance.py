"""What the model and the baselines were trained with: kept beside them, so that old is not measured against new.

Predictions are joined with the examples by row number, so those of other examples would silently be measured against
the labels of other rows. And networks can be compared only as long as they were trained with the same settings.
"""

from __future__ import annotations

import json
from pathlib import Path

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import Dataset, TextVectors
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import folder_fingerprint, reading
from mtl_pipeline.spec import PipelineSpec

FILE = "trained_with.json"


def write_trained_with(folder: Path, dataset: Dataset, spec: PipelineSpec) -> None:
    (folder / FILE).write_text(json.dumps(trained_with(dataset, spec), indent=2) + "\n")


def trained_with(dataset: Dataset, spec: PipelineSpec) -> dict:
    """Everything that decides what is learned, by name."""
    sections = spec.model_dump(mode="json", include={"model", "tasks", "features", "training", "seed"})
    return sections | {"text_vectors": dataset.text.contents, "examples": dataset.fingerprint}


def read_trained_with(folder: Path) -> dict:
    """Raises UserError when nothing is published at `folder`."""
    with reading(folder) as version:
        return json.loads((version / FILE).read_text())


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
    now = trained_with(dataset, spec)
    for folder in (paths.model, paths.baselines):
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
    return differing(read_trained_with(paths.model), read_trained_with(paths.baselines))


def outdated_text(paths: PipelinePaths, spec: PipelineSpec) -> bool:
    """Whether the baselines were trained with other text vectors than the model reads now."""
    return read_trained_with(paths.baselines).get("text_vectors") != TextVectors.read(paths, spec).contents
