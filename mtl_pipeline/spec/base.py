"""What all parts of the specification share: names, the base of its models, and how they refuse."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
Identifier = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""Lower-case SQL identifier: names of columns, tasks and features."""
KNOWN_AT = "known_at"
"""Optional TIMESTAMP column of interactions: when the labels of the row were known, such as the time of a rating that
came a week after its click; NULL: at once. History counts a label from then on, and a split knows it if it was known
before the next split starts. A task may name a column of its own."""
LAST_TIMESTAMP = "last_timestamp"
"""Column of merged interactions: the time of the last event of each."""
CHOSEN_FROM, CHOSEN_TO = "chosen_from", "chosen_to"
"""Columns of examples and of candidates: from which row of chosen.parquet, and up to before which, lies what the user
had chosen last."""
RESERVED_COLUMNS = (
    frozenset({"user_id", "item_id", "timestamp", KNOWN_AT, LAST_TIMESTAMP, CHOSEN_FROM, CHOSEN_TO})
    | {"example_id", "split", "sampled"}
    | {"source_file", "source_line", "source_rows"}
)
RESERVED_TASKS = RESERVED_COLUMNS | {"score", "rank"}
ENTIRE_SPACE = "_entire_space"


class SpecError(ValueError):
    """Keys that are each well-formed, but do not go together."""

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place
        """Where in the model under validation, such as `tasks.0.given`."""


class SpecModel(BaseModel):
    """Base of every part of the specification: unknown keys are errors, values are frozen.

    The string below an attribute is its description, in the JSON schema and in docs/defs.md.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    renamed: ClassVar[Mapping[str, str]] = {}
    """Former names of keys, which keep working for one more release, and the present ones."""

    @model_validator(mode="before")
    @classmethod
    def accept_former_names(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        for former in cls.renamed.keys() & values.keys():
            if cls.renamed[former] in values:
                raise SpecError(
                    f"{former} is the former name of {cls.renamed[former]}: leave one out", former
                )
            warnings.warn(f"defs.yaml: {former} is now {cls.renamed[former]}", FutureWarning, stacklevel=2)
        return {cls.renamed.get(key, key): value for key, value in values.items()}


def entire_space_name(task: str) -> str:
    """Name of the probability that a task's whole chain happens."""
    return f"{task}{ENTIRE_SPACE}"


def refuse_repeats(what: str, names: list[str], place: str) -> None:
    for position, name in enumerate(names):
        if name in names[:position]:
            raise SpecError(f"{what}: declared more than once: {name}", f"{place}.{position}")


def refuse_unknown(what: str, name: str, known: Collection[str], which: str, place: str) -> None:
    """Raise SpecError unless a name is one of those known: `which` says what these are."""
    if name not in known:
        raise SpecError(f"{what} names '{name}'; {which} are: {', '.join(known) or 'none'}", place)


def refuse_any_unknown(what: str, names: Collection[str], known: Collection[str], place: str) -> None:
    """Raise SpecError unless all names are among those known."""
    if unknown := [name for name in names if name not in known]:
        allowed = ", ".join(dict.fromkeys(known))
        raise SpecError(f"{what} names {', '.join(unknown)}; it may name: {allowed}", place)


def check_score(expression: str, known: list[str], place: str) -> None:
    """Raise SpecError unless an SQL expression over the known numbers gives each row a finite number of its own."""
    import polars as pl

    try:
        score = pl.sql_expr(expression)
        columns = sorted(set(score.meta.root_names()))
    except pl.exceptions.PolarsError as error:
        raise SpecError(f"{place} is no SQL expression: {error}", place) from None
    refuse_any_unknown(place, columns or ["no prediction"], known, place)
    two_rows = pl.DataFrame({column: [0.25, 0.5] for column in columns})
    try:
        values = two_rows.select(score).to_series()
        alone = pl.concat([row.select(score).to_series() for row in two_rows.iter_slices(1)])
    except pl.exceptions.PolarsError as error:
        raise SpecError(f"{place} cannot be computed: {error}", place) from None
    if values.dtype.is_float() and not values.is_finite().all():
        raise SpecError(
            f"{place} must give finite numbers: it divides by zero, or takes a root or logarithm of less",
            place,
        )
    if not values.dtype.is_numeric() or not values.equals(alone):
        raise SpecError(f"{place} must give a number for each row, such as {' + '.join(columns)}", place)
