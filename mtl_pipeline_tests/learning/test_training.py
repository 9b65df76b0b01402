"""Training and its artifact on the tiny pipeline."""

import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.ranker import predict_examples
from mtl_pipeline.learning.training import train_ranker
from mtl_pipeline.vectors import write_vectors
from mtl_pipeline.warehouse.examples import build_examples
from mtl_pipeline.warehouse.tables import TABLES, build_table, read_texts
from mtl_pipeline_tests.conftest import TinyPipeline


@pytest.fixture
def prepared(tiny_pipeline: TinyPipeline) -> TinyPipeline:
    """Tables, examples, and text vectors drawn at random."""
    for table in TABLES:
        build_table(tiny_pipeline.paths, tiny_pipeline.spec, table)
    build_examples(tiny_pipeline.paths, tiny_pipeline.spec)
    for table, target in (
        ("users", tiny_pipeline.paths.user_embeddings),
        ("items", tiny_pipeline.paths.item_embeddings),
    ):
        ids = read_texts(tiny_pipeline.paths, table)["id"].combine_chunks()
        vectors = np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32)
        hashes = pa.array([bytes(16)] * len(ids), pa.binary(16))
        write_vectors(target, ids, vectors, hashes, {"encoder_fingerprint": "random", "encoder": "{}"})
    return tiny_pipeline


def predictions(pipeline: TinyPipeline, folder: str) -> pl.DataFrame:
    return predict_examples(pipeline.paths, pipeline.spec, pipeline.paths.data / folder)


def test_same_seed_same_model_and_it_reloads_the_same(prepared: TinyPipeline) -> None:
    for folder in ("first", "second"):
        train_ranker(
            prepared.paths, prepared.spec, target=prepared.paths.data / folder, log=lambda line: None
        )
    assert predictions(prepared, "first").equals(predictions(prepared, "second"))


def test_a_model_of_another_encoder_is_refused(prepared: TinyPipeline) -> None:
    train_ranker(prepared.paths, prepared.spec, target=prepared.paths.model, log=lambda line: None)
    config = prepared.paths.model / "config.json"
    changed = json.loads(config.read_text()) | {"text_encoders": {"users": "other", "items": "other"}}
    config.write_text(json.dumps(changed))
    with pytest.raises(UserError, match="another text encoder"):
        predictions(prepared, "model")
