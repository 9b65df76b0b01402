"""What assets are called, and which parts of a specification decide what they make."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

from mtl_pipeline.paths import COMMON_SQL, PipelinePaths
from mtl_pipeline.spec.pipeline import PipelineSpec
from mtl_pipeline.spec.sections import Backtest, Pretrained

SEEDS_OF_A_STUDY = 5
"""For seed runs made on request where defs.yaml asks for one seed only: one would compare nothing."""


JOINT_ONLY = ("guard", "hedge", "warm_start")
"""The settings of training that decide nothing about networks for single tasks."""


def embeddings_name(table: str, kind: str = "text") -> str:
    return f"{table.removesuffix('s')}{'' if kind == 'text' else f'_{kind}'}_embeddings"


def runs_seeds_nightly(spec: PipelineSpec) -> bool:
    """Whether seed runs are part of the pipeline's job, or made only on request."""
    return spec.evaluation.seeds > 1


def usual_seeds(spec: PipelineSpec) -> int:
    """Seeds to compare over unless somebody says how many."""
    return spec.evaluation.seeds if runs_seeds_nightly(spec) else SEEDS_OF_A_STUDY


def code_version(*, sql: Iterable[Path] = (), settings: Mapping[str, Any] | None = None) -> str:
    """Changes with the SQL files and the parts of the specification that decide what an asset makes of its inputs."""
    text = json.dumps(settings or {}, default=lambda section: section.model_dump(mode="json"), sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for path in sql:
        digest.update(path.read_bytes() if path.is_file() else b"missing")
    return digest.hexdigest()[:16]


def parts(spec: PipelineSpec, *names: str) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in names}


def examples_settings(spec: PipelineSpec) -> dict[str, Any]:
    of_labels = attrgetter("name", "kind", "column", "given", "classes", "known_at", "known_after_days")
    return {
        **parts(spec, "features", "ids", "repeats", "negatives", "available_from", "split", "seed"),
        "key": spec.interaction_key,
        "tasks": [of_labels(task) for task in spec.tasks],
    }


def encoder_settings(encoder: Pretrained) -> dict[str, Any]:
    """All but what makes no difference to the file, so that those of earlier releases stay valid."""
    unimportant = {"batch_size", "store"}
    usual = {"storage": "float32", "dimensions": None, "normalised": False, "long_texts": "cut"}
    declared = encoder.model_dump(
        exclude=unimportant | {n for n, v in usual.items() if getattr(encoder, n, v) == v}
    )
    before = {"pooling": "mean", "prompt": "", "max_tokens": 256}  # which encoders of pictures do not have
    return declared | {name: value for name, value in before.items() if declared.get(name, "") is None}


def training_settings(spec: PipelineSpec) -> dict[str, Any]:
    """Without what only lists of items look at."""
    tasks = [task.model_dump(mode="json", exclude={"good"}) for task in spec.tasks]
    return parts(spec, "features", "model", "training", "baselines", "seed", "is_quick") | {"tasks": tasks}


def network_settings(spec: PipelineSpec) -> dict[str, Any]:
    """As `training_settings`, without those that decide nothing about networks for single tasks."""
    return training_settings(spec) | {
        "training": spec.training.model_dump(mode="json", exclude=set(JOINT_ONLY))
    }


def backtest_version(paths: PipelinePaths, spec: PipelineSpec, backtest: Backtest) -> str:
    """Changes with everything that decides what a backtest makes of the same examples and text vectors."""
    return code_version(
        sql=[COMMON_SQL / name for name in ("window.sql", "known_label.sql", "statistics.sql")],
        settings={
            "examples": examples_settings(spec),
            "training": training_settings(spec),
            "bootstrap_samples": spec.evaluation.bootstrap_samples,
            "backtest": backtest,
        },
    )
