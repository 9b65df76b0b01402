"""Synthetic predictions of several seeds: what each model knows is planted, what each seed adds is chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from mtl_pipeline.evaluation.studies.runs.seeds import SeedRuns, with_seed_runs


def seeded_predictions(
    models: Mapping[str, float],
    *,
    seeds: int,
    rows: int = 6_000,
    users: int = 60,
    seed_effect: float = 0.2,
    new_item_models: Mapping[str, float] | None = None,
    random: int = 0,
) -> tuple[pl.DataFrame, SeedRuns]:
    """The wide frame with the first seed's models and one baseline without a seed, and the seed runs.

    `models`: name → how much noise it adds to what could be known of `watched` and `rating`; `new_item_models` for
    the rows of items from 50 on instead. `seed_effect`: how far the noise varies between seeds.
    """
    rng = np.random.default_rng(random)
    user = np.sort(rng.integers(users, size=rows))
    item = rng.integers(100, size=rows)
    appeal = rng.normal(size=rows) + rng.normal(0, 0.5, size=users)[user]
    frame = pl.DataFrame(
        {
            "example_id": np.arange(rows),
            "user_id": user,
            "item_id": item,
            "split": rng.permutation(np.repeat(["validation", "test"], rows // 2)),
            "label/watched": (rng.random(rows) < logistic(appeal)).astype(float),
            "label/rating": 3 + appeal + rng.normal(size=rows),
            "prediction/linear/watched": logistic(0.5 * (appeal + 2.5 * rng.normal(size=rows))),
            "prediction/linear/rating": 3 + 0.2 * (appeal + 2.5 * rng.normal(size=rows)),
        }
    )
    replicas = []
    for seed in range(seeds):
        for model, noise in models.items():
            level = np.where(item < 50, noise, (new_item_models or models)[model])
            level = level * np.exp(seed_effect * rng.normal())
            believed = appeal + level * rng.normal(size=rows)
            columns = {"watched": logistic(believed), "rating": 3 + believed}
            if seed == 0 and model != "without_text":
                frame = frame.with_columns(
                    pl.Series(f"prediction/{model}/{task}", values) for task, values in columns.items()
                )
            else:
                replicas.append(
                    pl.DataFrame(
                        {"model": model, "seed": seed, "example_id": np.arange(rows)}
                        | {f"prediction/{task}": values for task, values in columns.items()}
                    )
                )
    return frame, with_seed_runs(frame, pl.concat(replicas), range(seeds))


def logistic(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def one(frame: pl.DataFrame, **where: object) -> dict:
    return frame.row(
        by_predicate=pl.all_horizontal(pl.col(name) == value for name, value in where.items()), named=True
    )


def names(frame: pl.DataFrame, columns: Sequence[str]) -> list[tuple]:
    return frame.select(columns).unique(maintain_order=True).rows()
