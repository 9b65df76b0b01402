"""What an architecture is told of what it reads: the tasks, and whose the columns of the representation are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mtl_pipeline.learning.representation.representation import (
    SIDES,
    NetworkShape,
    Representation,
    feature_columns,
)
from mtl_pipeline.spec import Model

NONE = torch.empty(0, dtype=torch.int64)


@dataclass(frozen=True)
class Layout:
    """Columns are int64, places in the width."""

    width: int
    given: tuple[int | None, ...]
    """Of each task the place of the one that it is given; None where it is given none of these."""
    context: Tensor = NONE
    """Features that are of neither table alone: of interactions, of history, of sequences."""
    entities: Tensor = NONE
    """What stands for the user and the item: ids and texts."""
    ids: Tensor = NONE
    """The embeddings of ids that all tasks read."""
    own: Tensor = NONE
    """Those that each task has to itself: [tasks, columns of each]."""

    @property
    def tasks(self) -> int:
        return len(self.given)


def layout_of(representation: Representation, model: Model, shape: NetworkShape) -> Layout:
    """By the order in which Representation.of_one_side puts its parts together."""
    columns, tasks = torch.arange(representation.width), len(shape.outputs)
    features = len(shape.fields) * model.categorical_dimension + shape.numerics
    of_sides = torch.cat([feature_columns(shape, side, model.categorical_dimension) for side in SIDES])
    sizes: list[int] = []
    for side in SIDES:
        sizes += [model.id_dimension * (f"{side}_id" in representation.ids), representation.text_widths[side]]
    entities, after = columns[features:].tensor_split([sum(sizes)])
    user_id, _, item_id, _ = entities.split(sizes)
    own = after[: len(representation.own) * tasks * model.id_dimension]
    return Layout(
        width=representation.width,
        given=shape.given or (None,) * tasks,
        context=columns[:features][~torch.isin(columns[:features], of_sides)],
        entities=entities,
        ids=torch.cat([user_id, item_id]),
        own=own.view(len(representation.own), tasks, model.id_dimension).transpose(0, 1).flatten(1),
    )
