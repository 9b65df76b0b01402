"""The assets of a pipeline with users, items and text, and what each is made from."""

from __future__ import annotations

LINEAGE = {
    "raw_users": set(),
    "raw_items": set(),
    "raw_interactions": set(),
    "users": {"raw_users"},
    "items": {"raw_items"},
    "interactions": {"raw_interactions", "users", "items"},
    "rejected_rows": {"users", "items", "interactions"},
    "item_embeddings": {"items"},
    "user_embeddings": {"users"},
    "examples": {"users", "items", "interactions"},
    "model": {"examples", "item_embeddings", "user_embeddings"},
    "baselines": {"examples", "item_embeddings", "user_embeddings", "model"},
    "evaluation": {
        "model",
        "baselines",
        "examples",
        "item_embeddings",
        "user_embeddings",
        "seed_runs",
    },
    "champion": {"evaluation"},
    "recommendations": {
        "users",
        "items",
        "interactions",
        "item_embeddings",
        "user_embeddings",
        "champion",
    },
}

STUDIES = {
    "tuning": {"examples", "item_embeddings", "user_embeddings"},
    "seed_runs": {"model", "baselines", "examples", "item_embeddings", "user_embeddings"},
    "backtest": {"examples", "item_embeddings", "user_embeddings"},
}
"""Made only when asked for: of a group of their own, and no part of the job."""
