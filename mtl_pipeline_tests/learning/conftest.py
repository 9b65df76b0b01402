"""The tiny pipeline up to its text vectors, which are drawn at random here: no encoder is needed to learn."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mtl_pipeline.vectors import write_vectors
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.warehouse.tables import TABLES, build_table, read_texts
from mtl_pipeline_tests.conftest import TinyPipeline


@pytest.fixture
def prepared(tiny_pipeline: TinyPipeline) -> TinyPipeline:
    """Tables, examples, and text vectors drawn at random."""
    for table in TABLES:
        build_table(tiny_pipeline.paths, tiny_pipeline.spec, table)
    build_examples(tiny_pipeline.paths, tiny_pipeline.spec)
    for table in ("users", "items"):
        ids = read_texts(tiny_pipeline.paths, tiny_pipeline.spec, table)["id"].combine_chunks()
        vectors = np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32)
        hashes = pa.array([bytes(16)] * len(ids), pa.binary(16))
        metadata = {"encoder_fingerprint": "random", "encoder": "{}"}
        write_vectors(tiny_pipeline.paths.embeddings(table), ids, vectors, hashes, metadata)
    return tiny_pipeline
