"""Runtimes and precisions: how near their vectors are to the exact ones, and which is taken when."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from mtl_pipeline.embedding import EmbeddingSummary, embed_texts
from mtl_pipeline.embedding.encoder import TextEncoder, load_encoder
from mtl_pipeline.embedding.fidelity import LEAST_COSINE, Fidelity
from mtl_pipeline.embedding.runtimes import Variant, of_name
from mtl_pipeline.embedding.runtimes.telemetry import no_telemetry
from mtl_pipeline.embedding.runtimes.torch import TorchRuntime
from mtl_pipeline.embedding.source import find_encoder_files
from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import Encoder
from mtl_pipeline.vectors import read_vectors

SUBJECTS = [
    "dogs",
    "trains",
    "the sea",
    "a war",
    "songs",
    "old castles",
    "the moon",
    "cooking",
    "chess",
    "rivers",
]
KINDS = ["A comedy about {}", "Documentary on {}, 1994", "{} and the people who love them", "Tales of {}"]
TEXTS = pa.array([kind.format(subject) for kind in KINDS for subject in SUBJECTS])
TABLE = pa.table({"id": pa.array(range(len(TEXTS))), "text": TEXTS})
OTHERS = [Variant("torch", "bfloat16"), Variant("openvino", "float32"), Variant("openvino", "bfloat16")]
PLAIN = {"runtime": "torch", "precision": "float32"}


def embed(encoder: Encoder, target: Path, table: pa.Table = TABLE, **settings: str | int) -> EmbeddingSummary:
    return embed_texts(
        table.to_batches(), encoder.model_copy(update=settings), target, device="cpu", log=lambda line: None
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported") / "minilm"


@pytest.mark.parametrize("variant", OTHERS, ids=" ".join)
def test_vectors_are_nearly_the_exact_ones(
    minilm: TextEncoder, minilm_settings: Encoder, exported: Path, variant: Variant
):
    encoder = load_encoder(find_encoder_files(minilm_settings), minilm_settings, "cpu", variant, exported)
    fidelity = Fidelity.of(encoder.encode(TEXTS)[0], minilm.encode(TEXTS)[0], variant.precision)
    assert fidelity.cosine > fidelity.wanted
    assert fidelity.neighbours > 0.95


@pytest.mark.parametrize("folder", ["tiny_bert", "tiny_gpt2"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("layers", [[-1], [0, -1]], ids=str)
def test_openvino_follows_other_models_layers_and_padding(
    request: pytest.FixtureRequest, tmp_path: Path, folder: str, layers: list[int], pooling: str
):
    settings = Encoder.model_validate(
        {
            "folder": str(request.getfixturevalue(folder)),
            "max_tokens": 16,
            "layers": layers,
            "pooling": pooling,
        }
    )
    files = find_encoder_files(settings)
    texts = pa.array(["red", "a tale of war and sea", "old train " * 20, "ice", "blue boat"])
    exact = load_encoder(files, settings, "cpu").encode(texts)
    found = load_encoder(files, settings, "cpu", Variant("openvino", "float32"), tmp_path / "it").encode(
        texts
    )
    np.testing.assert_allclose(found[0], exact[0], atol=1e-4)
    assert found[1] == exact[1]


def test_int8_keeps_its_scales_whatever_texts_come_later(minilm_settings: Encoder, tmp_path: Path):
    """So a night with new texts computes these only, and a text has one vector, in whatever batch."""
    target = tmp_path / "items.parquet"
    settings: dict[str, str | int] = {"runtime": "openvino", "precision": "int8"}
    half = embed(minilm_settings, target, TABLE.slice(0, 20), **settings)
    before = read_vectors(target).vectors
    whole = embed(minilm_settings, target, **{**settings, "batch_size": 1})
    assert (whole.reused_texts, whole.precision) == (20, "int8")
    np.testing.assert_array_equal(read_vectors(target).vectors[:20], before)
    assert half.fidelity is not None
    assert whole.fidelity == half.fidelity
    assert half.fidelity.cosine > half.fidelity.wanted == 0.99
    target.unlink()
    embed(minilm_settings, target, **{**settings, "batch_size": 7})
    np.testing.assert_allclose(read_vectors(target).vectors[:20], before, atol=0.02)


def test_what_is_there_already_is_computed_without_torch(minilm_settings: Encoder, tmp_path: Path):
    target = tmp_path / "items.parquet"
    settings = {"runtime": "openvino", "precision": "float32"}
    embed(minilm_settings, target, TABLE.slice(0, 20), **settings)
    encoder = minilm_settings.model_copy(update=settings)
    script = f"""
import sys
import pyarrow as pa
from pathlib import Path
from mtl_pipeline.embedding import embed_texts
from mtl_pipeline.spec import Encoder
texts = pa.table({TABLE.to_pydict()})
summary = embed_texts(texts.to_batches(), Encoder(**{encoder.model_dump()}), Path({str(target)!r}))
print(summary.reused_texts, summary.device, "torch" in sys.modules)
"""
    again = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert again.stdout.split() == ["20", "cpu", "False"], again.stderr


def test_auto_takes_openvino_and_keeps_what_the_vectors_that_are_there_were_made_by(
    minilm_settings: Encoder, tmp_path: Path
):
    target = tmp_path / "items.parquet"
    fast = of_name("openvino").precisions("cpu")[0]
    first = embed(minilm_settings, target, TABLE.slice(0, 20))
    assert (first.runtime, first.precision) == ("openvino", fast)
    exact = embed(minilm_settings, target, TABLE.slice(0, 20), **PLAIN)
    assert (exact.reused_texts, exact.fidelity) == (0, None)
    again = embed(minilm_settings, target)
    assert (again.runtime, again.precision, again.reused_texts) == ("torch", "float32", 20)
    made = read_vectors(target).metadata
    assert json.loads(made["encoder"])["precision"] == "float32"


def test_auto_takes_no_precision_that_loses_too_much(
    minilm_settings: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(LEAST_COSINE, "bfloat16", 1.1)
    monkeypatch.setattr(of_name("openvino"), "precisions", lambda device: ["bfloat16"])
    lines: list[str] = []
    summary = embed_texts(
        TABLE.to_batches(), minilm_settings, tmp_path / "items.parquet", device="cpu", log=lines.append
    )
    assert (summary.runtime, summary.precision) == ("torch", "float32")
    assert lines[0].startswith("bfloat16 loses too much (mean cosine ")


@pytest.mark.parametrize("runtime", ["auto", "torch", "openvino"])
def test_a_precision_that_loses_too_much_is_not_tried_again_every_night(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
):
    monkeypatch.setitem(LEAST_COSINE, "bfloat16", 1.1)
    for module in map(of_name, ("openvino", "torch")):
        monkeypatch.setattr(module, "precisions", lambda device: ["bfloat16"])
    encoder, target = Encoder(folder=str(tiny_bert), max_tokens=16), tmp_path / "items.parquet"
    first = embed(encoder, target, runtime=runtime)
    assert (first.runtime, first.precision) == ("torch" if runtime == "auto" else runtime, "float32")
    assert embed(encoder, target, runtime=runtime).reused_texts == len(TEXTS)


def test_auto_takes_torch_where_openvino_cannot_follow(tiny_bert: Path, tmp_path: Path):
    (tiny_bert / "tokenizer.json").unlink()
    (tiny_bert / "vocab.txt").write_text("\n".join(["<cls>", "<pad>", "<eos>", "<unk>", *"ACDEFG"]))
    (tiny_bert / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "EsmTokenizer"}))
    encoder, target = Encoder(folder=str(tiny_bert), max_tokens=16), tmp_path / "items.parquet"
    with pytest.raises(UserError, match="its tokenizer is written in Python"):
        embed(encoder, target, runtime="openvino")
    assert embed(encoder, target).runtime == "torch"
    assert embed(encoder, target).reused_texts == len(TEXTS)


def test_long_texts_are_cut_on_the_side_that_the_tokenizer_says(tiny_bert: Path, tmp_path: Path):
    config = tiny_bert / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "truncation_side": "left"}))
    settings = Encoder(folder=str(tiny_bert), max_tokens=5)
    files, texts = (
        find_encoder_files(settings),
        pa.array(["old boat red sea war tale", "a tale of ice and sea"]),
    )
    exact, found = (
        load_encoder(files, settings, "cpu", Variant(runtime, "float32"), tmp_path / "it").encode(texts)[0]
        for runtime in ("torch", "openvino")
    )
    np.testing.assert_allclose(found, exact, atol=1e-4)


@pytest.mark.parametrize("precision", ["auto", "int8"])
def test_a_night_without_texts(tiny_bert: Path, tmp_path: Path, precision: str):
    """What nothing could be measured on, or scaled by, is on the first night that has texts."""
    encoder, target = Encoder(folder=str(tiny_bert), max_tokens=16), tmp_path / "items.parquet"
    blank = pa.table({"id": [0, 1], "text": ["", None]})
    settings = {"runtime": "openvino", "precision": precision}
    assert embed(encoder, target, blank, **settings).fidelity is None
    assert embed(encoder, target, **settings).fidelity is not None
    assert embed(encoder, target, **settings).reused_texts == len(TEXTS)


def test_int8_that_is_made_again_of_the_same_texts_is_the_same(tiny_bert: Path, tmp_path: Path):
    encoder, settings = (
        Encoder(folder=str(tiny_bert), max_tokens=16),
        {"runtime": "openvino", "precision": "int8"},
    )
    made = [embed(encoder, tmp_path / night / "items.parquet", **settings) for night in ("one", "two")]
    assert made[0].encoder_fingerprint == made[1].encoder_fingerprint
    assert made[0].fingerprint == made[1].fingerprint


def test_fidelity_of_vectors_that_have_no_direction():
    """Zero: a text without a token. NaN is like nothing, and a number, so that the check sees it."""
    exact = np.array([[0, 0], [1, 2], [2, 1]], dtype=np.float32)
    assert Fidelity.of(exact, exact, "float32").cosine == pytest.approx(1)
    assert Fidelity.of(np.full_like(exact, np.nan), exact, "float32").cosine == 0
    assert Fidelity.of(exact[:1], exact[:1], "float32").neighbours == 1


def test_a_damaged_export_is_made_again(minilm_settings: Encoder, tmp_path: Path):
    target, settings = tmp_path / "items.parquet", {"runtime": "openvino", "precision": "float32"}
    embed(minilm_settings, target, TABLE.slice(0, 20), **settings)
    (weights,) = (tmp_path / "encoders").glob("[!.]*/encoder.bin")
    with weights.open("r+b") as file:
        file.seek(1_000_000)
        file.write(bytes(100))
    assert embed(minilm_settings, target, **settings).reused_texts == 20
    assert any(weights.read_bytes()[1_000_000:1_000_100])


def test_what_was_exported_and_is_not_used_for_a_month_is_deleted(tiny_bert: Path, tmp_path: Path):
    """But not the scales of another table."""
    encoder, target = (
        Encoder(folder=str(tiny_bert), max_tokens=16, runtime="openvino"),
        tmp_path / "a.parquet",
    )
    embed(encoder, target, precision="int8")
    embed(encoder, target.with_name("b.parquet"), precision="int8")
    embed(encoder, target, precision="float32", max_tokens=8)
    folder = tmp_path / "encoders"
    assert len(list(folder.glob("[!.]*"))) == 4
    for link in folder.glob("[!.]*"):
        os.utime(link, (0, 0), follow_symlinks=False)
    embed(encoder, target, precision="float32", max_tokens=8)
    kept = sorted(link.name[16:] for link in folder.glob("[!.]*"))
    assert kept == ["", "-int8-b"]
    assert len([version for version in folder.glob(".*") if version.is_dir()]) == 2


def test_what_is_not_installed_says_how_to_install_it(
    minilm_settings: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("mtl_pipeline.embedding.runtimes.find_spec", lambda name: name == "torch" or None)
    with pytest.raises(UserError, match=r"runtime: openvino .*pip install 'mtl_pipeline\[openvino\]'"):
        embed(minilm_settings, tmp_path / "items.parquet", runtime="openvino")
    with pytest.raises(UserError, match=r"precision: int8 .*needs OpenVINO"):
        embed(minilm_settings, tmp_path / "items.parquet", precision="int8")
    assert embed(minilm_settings, tmp_path / "items.parquet").runtime == "torch"


def test_a_damaged_installation_says_so(
    minilm_settings: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delitem(sys.modules, "mtl_pipeline.embedding.runtimes.openvino", raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)  # as if its import failed
    monkeypatch.setattr("mtl_pipeline.embedding.runtimes.find_spec", lambda name: name)
    with pytest.raises(UserError, match=r"runtime: openvino .*cannot be imported .*install it again"):
        embed(minilm_settings, tmp_path / "items.parquet", runtime="openvino")


def test_nobody_is_told_of_conversions(monkeypatch: pytest.MonkeyPatch):
    from openvino.tools.ovc.telemetry_utils import init_ovc_telemetry

    monkeypatch.delenv("CI", raising=False)
    with no_telemetry():
        assert not init_ovc_telemetry().consent


def test_a_batch_that_memory_is_too_small_for_is_halved(
    minilm: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = pa.array(["a", "a cat", "a cat and a dog", "old red hats", "the sea"])
    expected = minilm.encode(texts)[0]
    assert isinstance(minilm.runtime, TorchRuntime)
    network, sizes = minilm.runtime.network, []

    def with_little_memory(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        sizes.append(len(ids))
        if len(ids) > 2:
            raise torch.OutOfMemoryError
        return network(ids, mask)

    monkeypatch.setattr(minilm.runtime, "network", with_little_memory)
    assert minilm.encode(texts)[0] == pytest.approx(expected, abs=1e-6)
    assert sizes == [5, 3, 2, 1, 2]


def test_a_text_that_is_too_long_for_memory_is_an_error(
    minilm: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_no_memory(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(minilm.runtime, "network", with_no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        minilm.encode(pa.array(["a"]))
