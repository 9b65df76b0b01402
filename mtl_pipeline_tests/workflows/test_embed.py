"""Users and items may have encoders of their own."""

from __future__ import annotations

import pytest

from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline.vectors import read_vectors
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.warehouse.tables import TABLES, build_table
from mtl_pipeline.workflows.embed import embed_table
from mtl_pipeline_tests.conftest import TinyPipeline


@pytest.mark.parametrize("text_dimension", [None, 4])
def test_users_may_have_an_encoder_of_their_own(
    tiny_pipeline: TinyPipeline, text_dimension: int | None
) -> None:
    spec = tiny_pipeline.spec.model_copy(
        update={
            "user_encoder": tiny_pipeline.spec.encoder.model_copy(update={"dimensions": 5, "pooling": "cls"}),
            "model": tiny_pipeline.spec.model.model_copy(update={"text_dimension": text_dimension}),
            "training": tiny_pipeline.spec.training.model_copy(update={"epochs": 1}),
        }
    )
    for table in TABLES:
        build_table(tiny_pipeline.paths, spec, table)
    for table, dimension in (("users", 5), ("items", 384)):
        summary = embed_table(tiny_pipeline.paths, spec, table, log=lambda line: None)
        assert summary.dimension == dimension
    users, items = (read_vectors(tiny_pipeline.paths.embeddings(table)) for table in ("users", "items"))
    assert users.metadata["encoder_fingerprint"] != items.metadata["encoder_fingerprint"]
    build_examples(tiny_pipeline.paths, spec)
    fit = fit_network(Dataset(tiny_pipeline.paths, spec), spec, spec.tasks, lambda line: None)
    assert fit.best["score"] < 1.1
