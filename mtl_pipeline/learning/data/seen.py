"""Which rows a model saw in training: of two models, only rows that neither saw can say which is better."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from mtl_pipeline.spec import PipelineSpec

FILE = "seen.json"


def write_seen(folder: Path, spec: PipelineSpec, rows: pl.DataFrame) -> None:
    """Note beside a model the latest of its training and validation rows, and how they were split off."""
    last = rows["timestamp"].max() if "timestamp" in rows.columns else None
    seen = {"split": spec.split.model_dump(mode="json"), "until": last.isoformat() if last else None}  # type: ignore[union-attr]
    (folder / FILE).write_text(json.dumps(seen, indent=1) + "\n")


def unseen(folder: Path, spec: PipelineSpec) -> pl.Expr:
    """Whether a validation or test row surely took no part in the training of the model in `folder`.

    Where the same hash splits the rows as did then, a row never changes its split. Otherwise the rows must be
    later than all that the model saw; without times nothing is sure.
    """
    seen = json.loads((folder / FILE).read_text())
    if spec.split.hash_by and seen["split"] == spec.split.model_dump(mode="json"):
        return pl.lit(True)
    if seen["until"] is None:
        return pl.lit(False)
    until = pl.lit(seen["until"]).str.to_datetime(time_unit="us")
    return (pl.col("timestamp").cast(pl.Datetime("us")) > until).fill_null(False)
