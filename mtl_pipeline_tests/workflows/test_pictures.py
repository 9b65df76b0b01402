"""Pipelines whose items have pictures, with or without texts, from files to recommendations."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTModel
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from mtl_pipeline.learning.data.dataset import TextVectors
from mtl_pipeline.spec import ImageEncoder, PipelineSpec
from mtl_pipeline.vectors import read_vectors
from mtl_pipeline.warehouse.checks import checks_by_asset
from mtl_pipeline.workflows.recommend import first_recommendations
from mtl_pipeline.workflows.stages import run_stage, stages_of
from mtl_pipeline_tests.conftest import ITEMS, TinyPipeline

LEFT_OUT = {"seed_runs", "backtest", "tuning"}
WIDTH = 16


def with_pictures(pipeline: TinyPipeline, *, text: str | None) -> PipelineSpec:
    """Items whose pictures are of one colour, as their SQL now says; one has none, one a broken one."""
    vit = ViTConfig(hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    vit.image_size, vit.patch_size = 32, 16
    torch.manual_seed(0)
    encoder = pipeline.root / "vit"
    ViTModel(vit).save_pretrained(encoder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(encoder)
    folder = pipeline.paths.raw / "pictures"
    folder.mkdir()
    colours = np.random.default_rng(0).integers(0, 256, (ITEMS, 3)).tolist()
    for number, colour in enumerate(colours[1:], start=2):
        Image.new("RGB", (20, 20), tuple(colour)).save(folder / f"{number}.png")
    (folder / "2.png").write_bytes(b"broken")

    sql = pipeline.paths.sql / "items.sql"
    sql.write_text(
        sql.read_text().replace("AS item_id,", "AS item_id, format('pictures/{}.png', movie_id) AS photo,")
    )
    items = pipeline.spec.features.items.model_copy(update={"image": "photo", "text": text})
    users = pipeline.spec.features.users.model_copy(update={"text": text})
    features = pipeline.spec.features.model_copy(update={"items": items, "users": users})
    settings = {"features": features, "image_encoder": ImageEncoder(folder=str(encoder))}
    return PipelineSpec.model_validate(pipeline.spec.model_copy(update=settings).model_dump())


@pytest.mark.parametrize("text", ["text", None])
def test_a_pipeline_with_pictures_trains_and_recommends(tiny_pipeline: TinyPipeline, text: str | None):
    spec, paths = with_pictures(tiny_pipeline, text=text), tiny_pipeline.paths
    stages = {stage.name: stage for stage in stages_of(paths, spec)}
    embeddings = [name for name in stages if name.endswith("_embeddings")]
    of_texts = ["user_embeddings", "item_embeddings"] if text else []
    assert sorted(embeddings) == sorted([*of_texts, "item_image_embeddings"])

    lines: list[str] = []
    checks = checks_by_asset(paths, spec)
    for name, stage in stages.items():
        if name not in LEFT_OUT:
            run_stage(stage, paths, checks.get(name, []), lines.append)
    assert any("1 rows have a picture that is missing: pictures/1.png" in line for line in lines)
    assert any("1 rows have a picture that is broken" in line for line in lines)
    assert any("beware, pictures_present: 2 offences" in line for line in lines)

    found = TextVectors.read(paths, spec)
    assert found.tables["items"].vectors.shape == (ITEMS, WIDTH + (384 if text else 0))
    assert not found.tables["items"].vectors[:2, -WIDTH:].any()
    assert found.tables["items"].vectors[2:, -WIDTH:].any(axis=1).all()
    recommended = pl.read_parquet(paths.recommendations)
    assert recommended["item_id"].n_unique() > 5
    assert ("item" in first_recommendations(paths, spec).columns) == bool(text)


def test_text_and_picture_stand_side_by_side_and_are_about_as_long(tiny_pipeline: TinyPipeline):
    spec, paths = with_pictures(tiny_pipeline, text="text"), tiny_pipeline.paths
    stages = {stage.name: stage for stage in stages_of(paths, spec)}
    for name in ("users", "items", "user_embeddings", "item_embeddings", "item_image_embeddings"):
        stages[name].make(lambda line: None)
    texts, pictures = (read_vectors(paths.embeddings("items", kind)) for kind in ("text", "image"))
    both = TextVectors.read(paths, spec).tables["items"]
    np.testing.assert_array_equal(both.vectors[:, :-WIDTH], texts.vectors)
    ratio = both.vectors[2:, -WIDTH:] / pictures.vectors[2:]
    assert np.log2(ratio.max()) == np.log2(ratio.min()) == np.round(np.log2(ratio.max()))
    lengths = [np.linalg.norm(part, axis=1)[2:].mean() for part in np.split(both.vectors, [-WIDTH], axis=1)]
    assert 2**-0.51 < lengths[0] / lengths[1] < 2**0.51
    alone = spec.model_copy(update={"features": tiny_pipeline.spec.features})
    assert TextVectors.read(paths, alone).fingerprints["items"] == texts.metadata["encoder_fingerprint"]
    assert TextVectors.read(paths, spec).fingerprints["items"] != texts.metadata["encoder_fingerprint"]
