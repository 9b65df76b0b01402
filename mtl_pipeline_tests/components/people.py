"""A pipeline with every kind of task, and without users, items, text or time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

PEOPLE_SQL = """
SELECT person, TRY_CAST(rich AS INTEGER) AS rich, degree, TRY_CAST(jobs AS INTEGER) AS jobs,
    TRY_CAST(hours AS DOUBLE) AS hours, town, TRY_CAST(age AS INTEGER) AS age, source_file, source_line,
    CASE WHEN TRY_CAST(age AS INTEGER) IS NULL THEN reject('age', 'not a whole number') END AS rejection
FROM raw_interactions
"""

PEOPLE = {
    "raw": {"users": None, "items": None},
    "ids": [],
    "interaction_key": ["person"],
    "split": {"hash_by": ["person"]},
    "features": {"interactions": {"categorical": ["town"], "numeric": ["age"]}},
    "tasks": [
        {"name": "rich", "kind": "binary", "loss": "focal"},
        {"name": "degree", "kind": "multiclass", "classes": ["none", "bachelor", "master"]},
        {
            "name": "schooling",
            "kind": "ordinal",
            "label": "degree",
            "classes": ["none", "bachelor", "master"],
        },
        {"name": "jobs", "kind": "count"},
        {"name": "hours", "kind": "regression", "loss": "huber"},
    ],
}


def write_people(path: Path, rows: int = 3_000) -> None:
    """All labels follow from age and town, with noise."""
    rng = np.random.default_rng(0)
    age, town = rng.integers(18, 80, rows), rng.integers(5, size=rows)
    level = (age - 49) / 18 + town - 2 + rng.normal(0, 0.5, rows)
    path.parent.mkdir(parents=True)
    pl.DataFrame(
        {
            "person": [f"p{number}" for number in range(rows)],
            "rich": (level > 1).astype(int),
            "degree": np.array(["none", "bachelor", "master"])[np.digitize(level, [-1, 1])],
            "jobs": rng.poisson(np.exp(level / 3)),
            "hours": 40 + 5 * level,
            "town": [f"town {number}" for number in town],
            "age": age,
        }
    ).write_csv(path)
