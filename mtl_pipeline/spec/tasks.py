"""The section of a declaration that says what is predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.spec.base import Identifier, SpecError, SpecModel, refuse_repeats

if TYPE_CHECKING:
    Kind = str
    Loss = str
else:
    Kind = Literal[*KINDS]
    Loss = Literal[*dict.fromkeys(loss for kind in KINDS.values() for loss in kind.losses)]

BAD_WORDS = frozenset((
    "dislike", "disliked", "dislikes", "downvote", "downvoted", "downvotes", "skip", "skipped", "skips", "hate",
    "hated", "return", "returned", "returns", "refund", "refunded", "refunds", "cancel", "cancelled", "canceled",
    "cancels", "complaint", "complained", "complaints", "unsubscribe", "unsubscribed", "unsubscribes", "uninstall",
    "uninstalled", "hide", "hidden", "hides", "report", "reported", "reports", "block", "blocked", "blocks",
    "churn", "churned", "spam", "remove", "removed", "removes",
))  # fmt: skip
"""Words in the names of what should not happen."""


class Task(SpecModel):
    """One thing to predict. A NULL label is not observed: it is masked, never filled."""

    name: Identifier
    """Name of the task, and of its predictions."""
    kind: Kind = Field(
        description="What the label is: "
        + "; ".join(f"{name}: {kind.says}" for name, kind in KINDS.items())
        + "."
    )
    label: Identifier | None = None
    """Column of `interactions`; by default the task's name."""
    given: Identifier | None = None
    """The binary task that has to happen before this one can be observed (purchase given click)."""
    loss: Loss | None = Field(
        default=None,
        description="By default "
        + ", ".join(f"{kind.losses[0]} ({name})" for name, kind in KINDS.items())
        + ".",
    )
    weight: float = Field(default=1.0, gt=0)
    """Static loss weight."""
    good: bool | Literal["ignore"] | None = None
    """What it means for the default score of recommendations (docs/recommendations.md). true: more of it is better; a
    number counts with its expected value. false: a binary task whose happening spoils what is good, such as a return or
    a complaint. ignore: nothing. By default true for binary tasks, unless the name sounds bad, which has to be
    said, and ignore for others."""
    positive_weight: float = Field(default=1.0, gt=0)
    """Factor on the loss of positive labels; binary tasks with cross_entropy only."""
    classes: list[str] = []
    """For tasks with classes: the values that the label may take."""
    known_at: Identifier | None = None
    """TIMESTAMP column of `interactions`: when the label became known; NULL: at once. A label not yet known when the
    next split starts, or when the log ends, counts as not observed; history counts it once it is known. By default the
    column `known_at` if `interactions` has one, else the time of the row."""
    known_after_days: float | None = Field(default=None, gt=0)
    """The label of every row is known this many days after it: a purchase within 7 days. Of merged events, those within
    that time count."""

    @property
    def column(self) -> str:
        return self.label or self.name

    @property
    def loss_name(self) -> str:
        return self.loss or KINDS[self.kind].losses[0]

    @property
    def outputs(self) -> int:
        """How many numbers the network puts out for this task."""
        return KINDS[self.kind].logits(len(self.classes))

    @model_validator(mode="after")
    def check_loss(self) -> Task:
        what, kind = f"task {self.name}", KINDS[self.kind]
        if self.loss_name not in kind.losses:
            allowed = ", ".join(kind.losses)
            raise SpecError(
                f"{what}: a {self.kind} task has no loss {self.loss}; it may be: {allowed}", "loss"
            )
        if self.positive_weight != 1 and (self.kind, self.loss_name) != ("binary", "cross_entropy"):
            message = f"{what}: positive_weight goes with a binary task and cross_entropy only"
            raise SpecError(message, "positive_weight")
        if self.good is False and not kind.is_event:
            message = f"{what}: good: false goes with a binary task only; write recommendations.score instead"
            raise SpecError(message, "good")
        if self.good is True and not kind.is_ordered:
            raise SpecError(f"{what}: classes have no order, so more of it is not better", "good")
        if kind.has_classes and len(self.classes) < 3:
            message = f"{what}: a {self.kind} task lists at least three classes; two are a binary task"
            raise SpecError(message, "classes")
        if not kind.has_classes and self.classes:
            kinds = " and ".join(name for name, other in KINDS.items() if other.has_classes)
            raise SpecError(f"{what}: classes goes with {kinds} only", "classes")
        refuse_repeats(f"{what}: classes", self.classes, "classes")
        if self.known_at and self.known_after_days:
            raise SpecError(
                f"{what}: known_at or known_after_days, not both: either a column says when its label was known, or "
                "every label takes equally long",
                "known_after_days",
            )
        return self
