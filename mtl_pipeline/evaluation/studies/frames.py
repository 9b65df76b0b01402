"""The frames that studies publish, one row per fact. A column of the same name has the same type in all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

TYPES: dict[str, pl.DataType] = {
    **dict.fromkeys(("task", "kind", "model", "split", "metric", "candidate", "baseline"), pl.String()),
    **dict.fromkeys(("verdict", "note", "chain", "slice", "list", "goal", "part"), pl.String()),
    **dict.fromkeys(("group", "family", "predicted_by"), pl.String()),
    **dict.fromkeys(("rows", "users", "items", "positives", "seeds", "length", "permutations"), pl.Int64()),
    **dict.fromkeys(("window", "windows", "better", "worse", "undecided"), pl.Int64()),
    **dict.fromkeys(("user_id", "item_id"), pl.Int64()),
    **dict.fromkeys(("calibrated", "best_baseline", "is_family"), pl.Boolean()),
    **dict.fromkeys(("values", "differences", "influences"), pl.List(pl.Float64())),
}
"""Every other column is a Float64."""
COMPARED = ("difference", "low", "high", "verdict", "note")
"""Candidate minus baseline, its interval, and what follows from it."""


def published(columns: Sequence[str], rows: Iterable[Mapping[str, Any]] = ()) -> pl.DataFrame:
    """Values that a row lacks are null; values that are no column are left out."""
    return pl.DataFrame(list(rows), schema={name: TYPES.get(name, pl.Float64()) for name in columns})
