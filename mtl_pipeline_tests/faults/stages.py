"""A tiny pipeline that has run, what it published in a form that can be compared, and its stages one by one.

Every stage is deterministic: run again on the same inputs it publishes the same. So whatever happens to a stage that is
run again, before and after it the outputs are the same, or something was torn.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import polars as pl

from mtl_pipeline.champions import champion_folder, model_fingerprint
from mtl_pipeline.embedding import embed_texts
from mtl_pipeline.learning.baselines.predict import predict_baselines
from mtl_pipeline.learning.recommending import recommend
from mtl_pipeline.paths import ROOT_VARIABLE
from mtl_pipeline.publishing import folder_fingerprint
from mtl_pipeline.vectors import file_fingerprint
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.features.candidates import build_candidates
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.warehouse.tables import build_rejected_rows, build_table, read_texts, table_fingerprint
from mtl_pipeline.workflows.train import train_model
from mtl_pipeline_tests.conftest import PIPELINE, REPOSITORY, TinyPipeline, write_tiny_pipeline
from mtl_pipeline_tests.faults.processes import PROCESSES

LOCATION = "mtl_pipeline_tests.components.tiny_location"
WHOLE_GROUP = f"group:{PIPELINE}"


def silent(line: str) -> None:
    """Where a stage would say how far it is."""


def run_table(pipeline: TinyPipeline, table: str) -> None:
    build_table(pipeline.paths, pipeline.spec, table)


def run_recommendations(pipeline: TinyPipeline) -> None:
    paths, spec = pipeline.paths, pipeline.spec
    _, folder = champion_folder(paths)
    with build_candidates(paths, spec) as candidates:
        recommend(paths, spec, candidates, model=folder, target=paths.recommendations, log=silent)


STAGES: dict[str, Callable[[TinyPipeline], object]] = {
    "users": lambda pipeline: run_table(pipeline, "users"),
    "items": lambda pipeline: run_table(pipeline, "items"),
    "interactions": lambda pipeline: run_table(pipeline, "interactions"),
    "rejected_rows": lambda pipeline: build_rejected_rows(pipeline.paths, pipeline.spec),
    "item_embeddings": lambda pipeline: embed_texts(
        read_texts(pipeline.paths, pipeline.spec, "items"),
        pipeline.spec.encoder,
        pipeline.paths.embeddings("items"),
    ),
    "examples": lambda pipeline: build_examples(pipeline.paths, pipeline.spec),
    "baselines": lambda pipeline: predict_baselines(
        pipeline.paths, pipeline.spec, target=pipeline.paths.baselines, log=silent
    ),
    "model": lambda pipeline: train_model(
        pipeline.paths, pipeline.spec, target=pipeline.paths.model, log=silent
    ),
    "recommendations": run_recommendations,
}


def run_stage(root: Path, name: str) -> None:
    """In a process of its own: its error is the process's end."""
    import torch

    torch.set_num_threads(1)
    STAGES[name](TinyPipeline(root))


def make_pipeline(root: Path) -> TinyPipeline:
    """Everything made once by `dagster asset materialize`, as CI does it."""
    pipeline = write_tiny_pipeline(root)
    home = root / "dagster_home"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(REPOSITORY / "dagster.yaml")
    finished = subprocess.run(
        materialize_command(WHOLE_GROUP), env=environment(root), capture_output=True, text=True
    )
    if finished.returncode:
        raise RuntimeError(
            f"the pipeline does not run at all:\n{finished.stdout[-2000:]}{finished.stderr[-4000:]}"
        )
    return pipeline


def materialize_command(selection: str) -> list[str]:
    dagster = str(Path(sys.executable).with_name("dagster"))
    return [dagster, "asset", "materialize", "-m", LOCATION, "--select", selection]


def environment(root: Path) -> dict[str, str]:
    return os.environ | {
        ROOT_VARIABLE: str(root),
        "DAGSTER_HOME": str(root / "dagster_home"),
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
    }


def published(pipeline: TinyPipeline) -> dict[str, str]:
    """A fingerprint of what each asset that was made published. Raises where something cannot be read whole."""
    paths = pipeline.paths
    with open_warehouse(paths.warehouse, read_only=True) as connection:
        made = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        tables = {
            name: table_fingerprint(connection, name)
            for name in (*pipeline.spec.tables, "rejected_rows")
            if name in made
        }
    readers: dict[str, tuple[Path, Callable[[Path], str]]] = {
        "user_embeddings": (paths.embeddings("users"), file_fingerprint),
        "item_embeddings": (paths.embeddings("items"), file_fingerprint),
        "examples": (paths.examples, folder_fingerprint),
        "model": (paths.model, model_fingerprint),
        "baselines": (paths.baselines / "predictions.parquet", frame_fingerprint),
        "evaluation": (paths.evaluation / "metrics.parquet", frame_fingerprint),
        "champion": (paths.champion_history, lambda _: champion_fingerprint(pipeline)),
        "recommendations": (paths.recommendations, frame_fingerprint),
    }
    return tables | {name: read(path) for name, (path, read) in readers.items() if path.exists()}


def champion_fingerprint(pipeline: TinyPipeline) -> str:
    """Which model is the champion, and which one its folder holds."""
    champion, folder = champion_folder(pipeline.paths)
    return f"{champion} {model_fingerprint(folder)}"


def frame_fingerprint(path: Path) -> str:
    return str(pl.read_parquet(path).hash_rows(seed=0).sum())


def published_apart(root: Path) -> dict[str, str] | str:
    """`published` in a process of its own; its error as text where there is one."""
    with ProcessPoolExecutor(1, mp_context=PROCESSES) as pool:
        try:
            return pool.submit(published, TinyPipeline(root)).result()
        except Exception as error:
            return f"{type(error).__name__}: {error}"


def leftovers(pipeline: TinyPipeline) -> list[str]:
    """Hidden files and folders that no link names: of killed runs, which the next publish has to sweep away."""
    data = pipeline.paths.data
    named = {path.resolve() for path in data.iterdir() if path.is_symlink()}
    return sorted(
        str(path.relative_to(data))
        for folder in (data, data / "embeddings", data / "champions")
        for path in folder.glob(".*")
        if path.resolve() not in named and not path.name.endswith(".lock")
    )


def copy_pipeline(made: TinyPipeline, root: Path) -> TinyPipeline:
    shutil.copytree(made.root, root, symlinks=True)
    return TinyPipeline(root)
