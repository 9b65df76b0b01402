"""Folders of sentence-transformers: read as that library reads them, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from mtl_pipeline.embedding.encoder import load_encoder
from mtl_pipeline.embedding.source import completed, encoder_identity, find_encoder_files
from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import Encoder

TEXTS = pa.array(["old red hat", "a tale of the sea and the train", "ice"])
OLD, NEW = "sentence_transformers.models", "sentence_transformers.base.modules"


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))


def write_modules(folder: Path, *kinds: str, prefix: str = OLD) -> None:
    paths = ["", *(f"{number}_{kind}" for number, kind in enumerate(kinds[1:], start=1))]
    listed = [{"path": path, "type": f"{prefix}.{kind}"} for path, kind in zip(paths, kinds, strict=True)]
    write(folder / "modules.json", listed)


@pytest.fixture
def folder(tiny_bert: Path) -> Path:
    """CLS pooling, a layer from 16 to 4 with tanh, of which 3 numbers count, normalised, with a prompt."""
    write_modules(tiny_bert, "Transformer", "Pooling", "Dense", "Normalize")
    write(tiny_bert / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True, "include_prompt": True})
    activation = "torch.nn.modules.activation.Tanh"
    write(tiny_bert / "2_Dense" / "config.json", {"in_features": 16, "activation_function": activation})
    torch.manual_seed(1)
    weights = {"linear.weight": torch.randn(4, 16), "linear.bias": torch.randn(4)}
    save_file(weights, tiny_bert / "2_Dense" / "model.safetensors")
    write(tiny_bert / "sentence_bert_config.json", {"max_seq_length": 8, "do_lower_case": False})
    prompts = {"prompts": {"query": "ask ", "document": "tale "}, "default_prompt_name": "document"}
    write(tiny_bert / "config_sentence_transformers.json", prompts | {"truncate_dim": 3})
    return tiny_bert


def encoded(encoder: Encoder, texts: pa.Array = TEXTS) -> np.ndarray:
    return load_encoder(find_encoder_files(encoder), encoder, device="cpu").encode(texts)[0]


def test_a_folder_says_how_it_is_used(folder: Path) -> None:
    encoder = Encoder(folder=str(folder))
    settings = completed(encoder, find_encoder_files(encoder))
    assert (settings.pooling, settings.max_tokens, settings.prompt) == ("cls", 8, "tale ")
    assert settings.dimensions == 3


def test_what_the_pipeline_declares_comes_first(folder: Path) -> None:
    declared: dict[str, Any] = {"pooling": "mean", "max_tokens": 4, "prompt": "", "dimensions": 2}
    encoder = Encoder(folder=str(folder), **declared)
    assert completed(encoder, find_encoder_files(encoder)).model_dump(include=set(declared)) == declared
    assert encoded(encoder).shape == (3, 2)


def test_a_dense_layer_follows_the_pooling(folder: Path) -> None:
    found = encoded(Encoder(folder=str(folder)))
    weights = load_file(folder / "2_Dense" / "model.safetensors")
    (folder / "modules.json").unlink()
    alone = Encoder(folder=str(folder), pooling="cls", prompt="tale ", max_tokens=8)
    pooled = torch.from_numpy(encoded(alone))
    expected = torch.tanh(pooled @ weights["linear.weight"].T + weights["linear.bias"])[:, :3]
    assert found == pytest.approx(expected.numpy(), abs=1e-6)


def test_vectors_have_a_length_of_one_on_demand(folder: Path) -> None:
    as_is = encoded(Encoder(folder=str(folder)))
    unit = encoded(Encoder(folder=str(folder), normalised=True))
    assert unit == pytest.approx(as_is / np.linalg.norm(as_is, axis=1, keepdims=True), abs=1e-6)


@pytest.mark.parametrize(
    ("pooling", "ours"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}, "mean"),
        ({"pooling_mode": "mean", "embedding_dimension": 16}, "mean"),
        ({"pooling_mode": ["cls"]}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
    ],
)
def test_poolings_of_old_and_new_releases(tiny_bert: Path, pooling: dict, ours: str) -> None:
    write_modules(tiny_bert, "transformer.Transformer", "pooling.Pooling", prefix=NEW)
    write(tiny_bert / "1_pooling.Pooling" / "config.json", pooling)
    encoder = Encoder(folder=str(tiny_bert))
    assert completed(encoder, find_encoder_files(encoder)).pooling == ours


def in_json(file: str, **changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        write(folder / file, json.loads((folder / file).read_text()) | changes)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: write_modules(folder, "Transformer", "LSTM", "Pooling"),
            "Transformer → LSTM → Pooling",
        ),
        (lambda folder: write_modules(folder, "CLIPModel"), "not understood here: CLIPModel"),
        (
            lambda folder: write_modules(folder, "Transformer", "Pooling", prefix="custom_module"),
            "custom_module.Transformer",
        ),
        (in_json("1_Pooling/config.json", pooling_mode="weightedmean"), "pooling weightedmean"),
        (in_json("1_Pooling/config.json", pooling_mode_max_tokens=True), r"pooling cls_token\+max_tokens"),
        (in_json("1_Pooling/config.json", include_prompt=False), "include_prompt"),
        (in_json("2_Dense/config.json", activation_function="my.own.Thing"), "my.own.Thing"),
        (in_json("2_Dense/config.json", use_residual=True), "use_residual"),
        (in_json("sentence_bert_config.json", do_lower_case=True), "do_lower_case"),
        (in_json("sentence_bert_config.json", config_args={"num_hidden_layers": 1}), "config_args"),
        (
            in_json("config_sentence_transformers.json", default_prompt_name="none"),
            "default_prompt_name none",
        ),
        (lambda folder: (folder / "2_Dense" / "model.safetensors").unlink(), "holds no model.safetensors"),
        (lambda folder: (folder / "modules.json").write_text("[{]"), "is damaged"),
        (lambda folder: write(folder / "modules.json", []), "not understood here"),
    ],
)
def test_what_is_not_understood_is_refused(
    folder: Path, change: Callable[[Path], None], message: str
) -> None:
    change(folder)
    with pytest.raises(UserError, match=message):
        find_encoder_files(Encoder(folder=str(folder)))


def test_other_layers_do_not_go_with_a_dense(folder: Path) -> None:
    encoder = Encoder(folder=str(folder), layers=[0, -1])
    with pytest.raises(UserError, match="Leave out layers"):
        load_encoder(find_encoder_files(encoder), encoder, device="cpu")


def test_the_fingerprint_follows_what_decides_a_vector(folder: Path) -> None:
    def identity(**settings: Any) -> dict[str, object]:
        encoder = Encoder(folder=str(folder), **settings)
        return encoder_identity(find_encoder_files(encoder), encoder)

    before = identity()
    assert identity(pooling="cls", max_tokens=8, dimensions=3) == before
    assert all(identity(**one) != before for one in ({"normalised": True}, {"dimensions": 2}, {"prompt": ""}))
    save_file({"linear.weight": torch.zeros(4, 16)}, folder / "2_Dense" / "model.safetensors")
    assert identity() != before


@pytest.mark.parametrize(
    ("name", "length", "most"),
    [
        ("sentence_bert_config.json", {"max_seq_length": 8}, 8),
        ("sentence_roberta_config.json", {"max_seq_length": 7}, 7),
        ("sentence_bert_config.json", {"max_seq_length": None}, 20),
        (None, {}, 20),
    ],
)
def test_lengths_of_old_and_new_releases(
    folder: Path, name: str | None, length: dict[str, object], most: int
) -> None:
    """Newer ones leave it to the tokenizer."""
    (folder / "sentence_bert_config.json").unlink()
    in_json("tokenizer_config.json", model_max_length=20)(folder)
    if name:
        write(folder / name, length)
    encoder = Encoder(folder=str(folder))
    assert completed(encoder, find_encoder_files(encoder)).max_tokens == most
    assert encoded(encoder).shape == (3, 3)


def test_the_order_of_dense_layers_is_in_the_fingerprint(folder: Path) -> None:
    encoder = Encoder(folder=str(folder))
    shutil.copytree(folder / "2_Dense", folder / "3_Dense")
    save_file({"linear.weight": torch.ones(4, 4)}, folder / "3_Dense" / "model.safetensors")
    write_modules(folder, "Transformer", "Pooling", "Dense", "Dense")
    listed = json.loads((folder / "modules.json").read_text())
    before = encoder_identity(find_encoder_files(encoder), encoder)
    write(folder / "modules.json", [listed[place] for place in (0, 1, 3, 2)])
    assert encoder_identity(find_encoder_files(encoder), encoder) != before
    with pytest.raises(UserError, match="3_Dense could not be loaded"):  # 4 numbers do not follow 16
        encoded(encoder)


@pytest.mark.parametrize(
    ("content", "message"), [(b"junk", "2_Dense could not be loaded"), (None, "holds no model.safetensors")]
)
def test_damaged_dense_layers_are_named(folder: Path, content: bytes | None, message: str) -> None:
    weights = folder / "2_Dense" / "model.safetensors"
    weights.unlink()
    if content:
        weights.write_bytes(content)
    with pytest.raises(UserError, match=message):
        encoded(Encoder(folder=str(folder)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt": "a tale of the old red hat"}, "leaves no room for texts: .* take 9"),
        ({"max_tokens": 2, "prompt": "", "long_texts": "windows"}, "leaves no room for texts: .* take 2"),
        ({"dimensions": 5}, "dimensions: 5 is more than it has, 4"),
    ],
)
def test_settings_that_no_vector_can_follow_are_refused(
    folder: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        encoded(Encoder(folder=str(folder), **settings))
