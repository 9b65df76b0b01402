"""Pictures as a feature: each read once, by tiny random encoders; what cannot be read is a row without a picture."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModel,
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedModel,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from mtl_pipeline.embedding import EmbeddingSummary, embed_pictures
from mtl_pipeline.embedding.inputs import pictures
from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import ImageEncoder
from mtl_pipeline.vectors import read_vectors

VISION: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
VISION |= {"image_size": 32, "patch_size": 8}
WORDS: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
WORDS |= {"vocab_size": 50, "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2}
CROPPED = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
STRETCHED = ViTImageProcessorPil(size={"height": 32, "width": 32})

MODELS: dict[str, tuple[Callable[[], PreTrainedModel], Any, int]] = {
    "clip": (
        lambda: CLIPModel(CLIPConfig(text_config=WORDS, vision_config=VISION, projection_dim=12)),
        CROPPED,
        12,
    ),
    "clip_vision": (lambda: CLIPVisionModel(CLIPVisionConfig(**VISION)), CROPPED, 16),
    "siglip": (lambda: SiglipModel(SiglipConfig(text_config=WORDS, vision_config=VISION)), STRETCHED, 16),
    "vit": (lambda: ViTModel(ViTConfig(**VISION)), STRETCHED, 16),
    "vit_classifier": (lambda: ViTForImageClassification(ViTConfig(**VISION)), STRETCHED, 16),
}
"""Model, image processor, and the width of its vectors."""


def saved(folder: Path, name: str = "clip") -> ImageEncoder:
    model, processor, _ = MODELS[name]
    torch.manual_seed(0)
    model().save_pretrained(folder)
    processor.save_pretrained(folder)
    return ImageEncoder(folder=str(folder), precision="float32")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Four pictures of noise."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(4):
        save_noise(folder / f"{number}.png", number)
    return folder


def save_noise(file: Path, seed: int, size: tuple[int, int] = (40, 60)) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)


def embed(
    raw: Path, encoder: ImageEncoder, paths: list[str | None], lines: list[str] | None = None
) -> tuple[EmbeddingSummary, np.ndarray]:
    """The summary, and the vectors in order of `paths`."""
    table = pa.table({"id": pa.array(range(len(paths)), pa.int64()), "text": pa.array(paths, pa.string())})
    target = raw.parent / "embeddings" / "item_images.parquet"
    log = [] if lines is None else lines
    summary = embed_pictures(table.to_batches(), raw, encoder, target, device="cpu", log=log.append)
    return summary, read_vectors(target).vectors


@pytest.mark.parametrize("name", MODELS)
def test_vectors_are_those_that_transformers_gives(name: str, raw: Path):
    encoder = saved(raw.parent / name, name)
    summary, vectors = embed(raw, encoder, ["0.png", "1.png", "2.png"])
    assert (summary.dimension, summary.runtime, summary.precision) == (MODELS[name][2], "torch", "float32")

    processor = AutoImageProcessor.from_pretrained(str(encoder.folder), backend="pil")
    model = AutoModel.from_pretrained(str(encoder.folder)).eval()
    inputs = processor(images=[Image.open(raw / f"{n}.png") for n in range(3)], return_tensors="pt")
    with torch.inference_mode():
        if name in ("clip", "siglip"):
            expected = model.get_image_features(**inputs).pooler_output
        elif name == "vit_classifier":  # whose pooler nobody has trained: that of AutoModel is random
            expected = model(**inputs).last_hidden_state[:, 0]
        else:
            expected = model(**inputs).pooler_output
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4


def test_the_same_picture_under_two_names_is_computed_once_and_stays_known_when_it_moves(raw: Path):
    encoder = saved(raw.parent / "clip")
    shutil.copy(raw / "0.png", raw / "copy.png")
    first, vectors = embed(raw, encoder, ["0.png", "1.png", "copy.png"])
    assert (first.distinct_texts, first.reused_texts, first.tokens) == (2, 0, 2)
    np.testing.assert_array_equal(vectors[0], vectors[2])

    (raw / "moved").mkdir()
    (raw / "1.png").rename(raw / "moved" / "1.png")
    again, moved = embed(raw, encoder, ["0.png", "moved/1.png", str(raw / "copy.png")])
    assert (again.reused_texts, again.tokens, again.device) == (2, 0, "none")
    np.testing.assert_array_equal(moved, vectors)


def test_a_picture_that_changes_under_its_name_is_computed_again(raw: Path):
    encoder = saved(raw.parent / "clip")
    _, before = embed(raw, encoder, ["0.png", "1.png"])
    save_noise(raw / "1.png", 99)
    summary, after = embed(raw, encoder, ["0.png", "1.png"])
    assert summary.reused_texts == 1
    np.testing.assert_array_equal(after[0], before[0])
    assert np.abs(after[1] - before[1]).max() > 1e-4


def test_what_cannot_be_read_is_a_row_without_a_picture_and_counted(
    raw: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 40_000)
    (raw / "truncated.png").write_bytes((raw / "0.png").read_bytes()[:900])
    (raw / "words.jpg").write_text("no picture")
    (raw / "empty.png").touch()
    save_noise(raw / "huge.png", 5, (300, 300))
    save_noise(raw / "endless.png", 6, (1, 2000))
    (raw / "folder.png").mkdir()
    (raw / "program.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    broken = ["truncated.png", "words.jpg", "empty.png", "huge.png", "endless.png", "program.eps"]
    missing = ["nowhere.png", "folder.png", "/dev/zero", "a\0b", "x" * 5000]
    paths = [*broken, *missing, None, "", "  ", "1.png"]
    encoder = saved(raw.parent / "clip")
    for night in range(2):
        lines: list[str] = []
        summary, vectors = embed(raw, encoder, paths, lines)
        assert not vectors[:-1].any()
        assert vectors[-1].any()
        assert (summary.rows_unread, summary.rows_missing, summary.rows_without_text) == (6, 5, 8)
        assert summary.device == ("cpu", "none")[night], "what is broken is not tried again"
        assert lines[0].startswith(
            "5 rows have a picture that is missing: nowhere.png, folder.png, /dev/zero"
        )
        assert lines[1].startswith(f"6 rows have a picture that is broken: {raw / 'truncated.png'}, ")


def test_a_file_that_changes_while_it_is_read_has_no_vector_until_the_next_run(
    raw: Path, monkeypatch: pytest.MonkeyPatch
):
    encoder = saved(raw.parent / "clip").model_copy(update={"store": str(raw.parent / "store")})

    def late(lines: pa.Array) -> pa.Array:
        (raw / "0.png").unlink()
        save_noise(raw / "1.png", 77)
        return pictures.line_hashes(lines)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("mtl_pipeline.embedding.embed.line_hashes", late)
        summary, vectors = embed(raw, encoder, ["0.png", "1.png", "2.png"])
    assert (summary.rows_missing, summary.rows_unread) == (2, 0)
    assert vectors.any(axis=1).tolist() == [False, False, True]

    save_noise(raw / "0.png", 0)
    summary, vectors = embed(raw, encoder, ["0.png", "1.png", "2.png"])
    assert (summary.rows_missing, summary.reused_texts) == (0, 1)
    assert vectors.any(axis=1).all()


def test_pictures_are_read_as_their_camera_was_held(raw: Path):
    upright = Image.open(raw / "0.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    upright.rotate(90, expand=True).save(raw / "turned.png", exif=exif)
    _, vectors = embed(raw, saved(raw.parent / "clip"), ["0.png", "turned.png"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


def test_bfloat16_is_measured_and_is_another_encoder(raw: Path):
    encoder = saved(raw.parent / "clip")
    paths: list[str | None] = [f"{number}.png" for number in range(4)]
    exact, _ = embed(raw, encoder, paths)
    fast, _ = embed(raw, encoder.model_copy(update={"precision": "bfloat16"}), paths)
    assert fast.precision == "bfloat16"
    assert fast.reused_texts == 0
    assert fast.encoder_fingerprint != exact.encoder_fingerprint
    assert fast.fidelity
    assert fast.fidelity.cosine > 0.99


def test_a_store_is_shared_and_a_processor_is_part_of_the_encoder(raw: Path):
    encoder = saved(raw.parent / "clip").model_copy(update={"store": str(raw.parent / "store")})
    embed(raw, encoder, ["0.png", "1.png"])
    (raw.parent / "embeddings" / "item_images.parquet").unlink()
    assert embed(raw, encoder, ["1.png", "2.png"])[0].reused_texts == 1

    brighter = CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_mean=[0.1, 0.1, 0.1]
    )
    brighter.save_pretrained(str(encoder.folder))
    assert embed(raw, encoder, ["1.png", "2.png"])[0].reused_texts == 0


def test_an_address_is_refused(raw: Path):
    with pytest.raises(UserError, match=r"https://shop/1\.png is an address.*fetch pictures first"):
        embed(raw, saved(raw.parent / "clip"), ["0.png", "https://shop/1.png"])


def test_folders_that_hold_no_encoder_of_pictures_are_refused(raw: Path, tiny_bert: Path):
    with pytest.raises(UserError, match=r"preprocessor_config\.json\. Write it there with image_processor"):
        embed(raw, ImageEncoder(folder=str(tiny_bert)), ["0.png"])
    STRETCHED.save_pretrained(tiny_bert)
    with pytest.raises(UserError, match="it makes no vector of a picture"):
        embed(raw, ImageEncoder(folder=str(tiny_bert)), ["0.png"])
    uneven = saved(raw.parent / "uneven")
    CLIPImageProcessorPil(size={"shortest_edge": 32}, do_center_crop=False).save_pretrained(
        str(uneven.folder)
    )
    with pytest.raises(UserError, match="pictures of different sizes"):
        embed(raw, uneven, ["0.png"])
