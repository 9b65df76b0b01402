"""A loss that is no longer finite, and what may have led to it."""

from __future__ import annotations

from torch import Tensor

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.training.callbacks.base import Run

REMEDY = (
    "Lower training.learning_rate in defs.yaml or set training.clip_gradients, and look for extreme values among "
    "labels and features"
)


class Diverged(UserError):
    """A loss is no longer finite."""


def what_diverged(losses: Tensor, batch: Rows, run: Run) -> str:
    """In words: a batch with extreme values, or a step before that was too long."""
    column = int((~losses.isfinite()).nonzero()[0])
    labels = batch.labels[:, column]
    known = labels[~labels.isnan()]
    if all(bool(parameter.isfinite().all()) for parameter in run.network.parameters()):
        there = ~batch.numeric.isnan()
        largest = float(batch.numeric[there].abs().max()) if there.any() else 0.0
        why = (
            f"on a batch whose labels, as standardised, reach from {float(known.min()):.4g} to "
            f"{float(known.max()):.4g}, and of whose numeric features {int((~there).sum()):,} are not a number and the "
            f"largest lies {largest:.4g} standard deviations from its mean"
        )
    else:
        why = "after a step that left weights that are not finite"
    return (
        f"training of {run.tasks[column].name} diverged in round {len(run.rounds) + 1}: its loss is no longer finite, "
        f"{why}. {REMEDY}"
    )
