"""Two tasks in conflict: in a network too small for both, one of them loses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.paths import PipelinePaths

ROWS, USERS = 12_000, 120
LOUD_WEIGHT = 50.0

CONFLICT = {
    "ids": [],
    "raw": {"users": None, "items": None},
    "interaction_key": ["row"],
    "split": {"hash_by": ["row"]},
    "features": {"interactions": {"numeric": ["one", "other"]}},
    "tasks": [
        {"name": "loud", "kind": "binary", "weight": LOUD_WEIGHT},
        {"name": "quiet", "kind": "binary"},
    ],
    "training": {"epochs": 12, "batch_size": 256, "learning_rate": 0.01, "weighting": "static"},
}
NARROW = {"architecture": "shared_bottom", "hidden": [1], "tower": [8]}
WIDE = {"architecture": "shared_bottom", "hidden": [16], "tower": [8]}


def write_conflict(root: Path) -> PipelinePaths:
    """Examples in which each task depends on a feature of its own, so that one number cannot tell both."""
    paths = PipelinePaths(root, "conflict")
    paths.examples.mkdir(parents=True)
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, ROWS))
    splits = np.repeat(["train", "validation", "test"], [ROWS // 2, ROWS // 4, ROWS // 4])
    pl.DataFrame(
        {
            "example_id": np.arange(ROWS),
            "row": np.arange(ROWS),
            "user_id": rng.integers(USERS, size=ROWS),
            "timestamp": pl.Series([None] * ROWS, dtype=pl.Datetime("us")),
            "split": splits,
            "one": one,
            "other": other,
            "loud": (2 * one + rng.logistic(size=ROWS) > 0).astype(np.int8),
            "quiet": (2 * other + rng.logistic(size=ROWS) > 0).astype(np.int8),
        }
    ).write_parquet(paths.examples / "examples.parquet")
    numbers = {"mean": 0.0, "standard_deviation": 1.0, "missing": 0, "transform": None}
    pl.DataFrame([{"feature": name} | numbers for name in ("one", "other")]).write_parquet(
        paths.examples / "statistics.parquet"
    )
    pl.DataFrame(schema={"feature": pl.String, "index": pl.Int64, "value": pl.String}).write_parquet(
        paths.examples / "vocabulary.parquet"
    )
    write_checksums(paths.examples)
    return paths
