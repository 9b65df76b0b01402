"""The tiny pipeline up to its text vectors, which are drawn at random here: no encoder is needed to learn."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mtl_pipeline.paths import ROOT_VARIABLE
from mtl_pipeline.vectors import write_vectors
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.warehouse.tables import TABLES, build_table
from mtl_pipeline_tests.conftest import MakeOnce, TinyPipeline, ids_of, write_tiny_pipeline


@pytest.fixture
def prepared(make_once: MakeOnce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyPipeline:
    """Tables, examples, and text vectors drawn at random: a copy of its own."""
    return copied(make_once("prepared", prepare), tmp_path, monkeypatch)


def copied(made: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> TinyPipeline:
    """A copy of its own of what was made once."""
    root = folder / "root"
    shutil.copytree(made, root, symlinks=True)
    monkeypatch.setenv(ROOT_VARIABLE, str(root))
    return TinyPipeline(root)


def prepare(root: Path) -> None:
    pipeline = write_tiny_pipeline(root)
    for table in TABLES:
        build_table(pipeline.paths, pipeline.spec, table)
    build_examples(pipeline.paths, pipeline.spec)
    for table in ("users", "items"):
        ids = ids_of(pipeline.paths, pipeline.spec, table)
        vectors = np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32)
        hashes = pa.array([bytes(16)] * len(ids), pa.binary(16))
        metadata = {"encoder_fingerprint": "random", "encoder": "{}"}
        write_vectors(pipeline.paths.embeddings(table), ids, vectors, hashes, metadata)
