"""The encoder itself: what its vectors mean, and which models and settings it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from mtl_pipeline.embedding.encoder import TextEncoder, load_encoder
from mtl_pipeline.embedding.pretrained.language import cls, last, load_pretrained, mean
from mtl_pipeline.embedding.source import completed, find_encoder_files
from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import Encoder
from mtl_pipeline_tests.embedding.conftest import WORDS

TEXTS = [
    "Toy Story (1995). Animation, children's, comedy",
    "war",
    "A young lion prince flees his kingdom only to learn the true meaning of responsibility and bravery.",
    "Film noir, 1944",
    "tale " * 300,
]


def load(folder: Path, **settings) -> TextEncoder:
    encoder = Encoder(folder=str(folder), **{"max_tokens": 32, **settings})
    return load_encoder(find_encoder_files(encoder), encoder, device="cpu")


def encode(encoder: TextEncoder, *texts: str) -> np.ndarray:
    return encoder.encode(pa.array(texts))[0]


def tokens(folder: Path, text: str) -> dict[str, torch.Tensor]:
    return AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def test_a_paraphrase_is_nearer_than_another_subject(minilm: TextEncoder):
    text, paraphrase, other = encode(
        minilm,
        "A comedy about two dogs that get lost in the city",
        "Funny film: a pair of puppies cannot find their way home through town",
        "Documentary on the construction of nuclear submarines",
    )
    assert cosines(text, paraphrase) > cosines(text, other) + 0.3


def test_vectors_are_those_of_sentence_transformers(minilm: TextEncoder, minilm_settings: Encoder):
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(find_encoder_files(minilm_settings).folder), device="cpu")
    assert cosines(encode(minilm, *TEXTS), reference.encode(TEXTS)).min() > 0.9999


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_a_vector_does_not_depend_on_its_batch(minilm: TextEncoder, batch_size: int):
    together = encode(TextEncoder(minilm.runtime, batch_size), *TEXTS)
    alone = np.concatenate([encode(minilm, text) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_vectors_are_finite_float32_and_not_normalised(minilm: TextEncoder):
    vectors = encode(minilm, *TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 384)
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors[0]) > 2


def test_what_is_beyond_max_tokens_is_not_read(tiny_bert: Path):
    encoder = load(tiny_bert, max_tokens=4)
    cut, short = encode(encoder, "red cat " + "sea " * 50, "red cat")
    np.testing.assert_array_equal(cut, short)


def test_token_count(tiny_bert: Path):
    _, tokens = load(tiny_bert).encode(pa.array(["red cat", "sea"]))
    assert tokens == (1 + 2 + 1) + (1 + 1 + 1)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_bert_by_folder_gives_the_hidden_states_of_transformers(tiny_bert: Path, pooling: str):
    encoder = load(tiny_bert, pooling=pooling)
    model = AutoModel.from_pretrained(tiny_bert).eval()
    with torch.no_grad():
        hidden = model(**tokens(tiny_bert, "old blue boat")).last_hidden_state[0]
    expected = hidden.mean(0) if pooling == "mean" else hidden[0]
    np.testing.assert_allclose(encode(encoder, "old blue boat")[0], expected, atol=1e-6)


def test_layers_lie_side_by_side_and_the_first_are_the_words_themselves(tiny_bert: Path):
    encoder = load(tiny_bert, layers=[0, -1])
    model = AutoModel.from_pretrained(tiny_bert).eval()
    with torch.no_grad():
        read = model(**tokens(tiny_bert, "old blue boat"), output_hidden_states=True)
    expected = torch.cat([read.hidden_states[0][0].mean(0), read.last_hidden_state[0].mean(0)])
    np.testing.assert_allclose(encode(encoder, "old blue boat")[0], expected, atol=1e-6)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_the_model_has_not(tiny_bert: Path, layer: int):
    with pytest.raises(UserError, match=rf"has no layer {layer}\. Name some from 0 to 2"):
        load(tiny_bert, layers=[0, layer])


def test_gpt2_without_a_padding_token(tiny_gpt2: Path):
    encoder = load(tiny_gpt2)
    assert AutoTokenizer.from_pretrained(tiny_gpt2).pad_token is None
    texts = ["red", "a tale of war and sea", "old train " * 10]
    alone = np.concatenate([encode(encoder, text) for text in texts])
    np.testing.assert_allclose(encode(encoder, *texts), alone, atol=1e-5)
    assert cosines(alone[0], alone[1]) < 0.999


def test_half_precision_files_are_computed_in_float32(tiny_bert: Path):
    AutoModel.from_pretrained(tiny_bert).to(torch.bfloat16).save_pretrained(tiny_bert)
    settings = Encoder(folder=str(tiny_bert), max_tokens=32)
    files = find_encoder_files(settings)
    pooled, _ = load_pretrained(files, completed(settings, files))
    assert {parameter.dtype for parameter in pooled.parameters()} == {torch.float32}
    assert not any(module.training for module in pooled.modules())


def test_the_same_text_has_the_same_vector(tiny_bert: Path):
    encoder = load(tiny_bert)
    np.testing.assert_array_equal(encode(encoder, "old blue boat"), encode(encoder, "old blue boat"))


def test_weights_with_a_missing_parameter_are_refused_rather_than_made_up(tiny_bert: Path):
    weights = load_file(tiny_bert / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, tiny_bert / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack 1 of .*encoder\.layer\.1\.output\.dense\.weight"):
        load(tiny_bert)


def test_a_missing_pooler_does_not_matter(tiny_bert: Path):
    before = encode(load(tiny_bert), "red cat", "sea")
    weights = load_file(tiny_bert / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("pooler.")}
    assert len(kept) < len(weights)
    save_file(kept, tiny_bert / "model.safetensors", metadata={"format": "pt"})
    np.testing.assert_array_equal(encode(load(tiny_bert), "red cat", "sea"), before)


def test_a_damaged_weights_file(tiny_bert: Path):
    weights = tiny_bert / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"encoder: folder: .*tiny_bert in defs\.yaml: could not be loaded"):
        load(tiny_bert)


def test_a_model_that_also_decodes_is_refused(tiny_t5: Path):
    with pytest.raises(UserError, match="t5 model encodes and decodes"):
        load(tiny_t5)


def test_cls_pooling_needs_a_cls_token(tiny_gpt2: Path):
    with pytest.raises(UserError, match="Use pooling: mean"):
        load(tiny_gpt2, pooling="cls")


def test_more_tokens_than_the_model_has_positions(tiny_bert: Path):
    with pytest.raises(UserError, match=r"max_tokens: 33 is more than the model reads\. Use at most 32"):
        load(tiny_bert, max_tokens=33)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_is_used_where_there_is_one(minilm: TextEncoder, minilm_settings: Encoder):
    on_gpu = load_encoder(find_encoder_files(minilm_settings), minilm_settings)
    assert on_gpu.runtime.device == "cuda"
    np.testing.assert_allclose(encode(on_gpu, *TEXTS), encode(minilm, *TEXTS), atol=1e-4)


HIDDEN = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [99.0, 99.0]], [[4.0, 0.0], [5.0, 0.0], [6.0, 3.0]]])
MASK = torch.tensor([[True, True, False], [True, True, True]])


def test_mean_leaves_padding_out():
    assert mean(HIDDEN, MASK).tolist() == [[2.0, 4.0], [5.0, 1.0]]


def test_mean_of_nothing_is_zero():
    assert mean(HIDDEN, torch.zeros_like(MASK)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_last_is_the_last_token_that_is_not_padding():
    assert last(HIDDEN, MASK).tolist() == [[3.0, 6.0], [6.0, 3.0]]


def test_cls_is_the_first_token():
    assert cls(HIDDEN, MASK).tolist() == [[1.0, 2.0], [4.0, 0.0]]


@pytest.mark.parametrize("normalised", [False, True])
def test_a_long_text_in_windows_is_the_mean_of_them(tiny_bert: Path, normalised: bool):
    words = WORDS[:14]
    whole = load(tiny_bert, max_tokens=10, normalised=normalised, long_texts="windows")
    texts = [" ".join(words), "old red hat"]
    # 8 words in each, and the first repeats the last of the window before.
    cut = load(tiny_bert, max_tokens=10)
    parts = encode(cut, " ".join(words[:8]), " ".join(words[7:]), texts[1])
    mean = (parts[0] * 10 + parts[1] * 9) / 19
    expected = np.stack([mean, parts[2]])
    if normalised:
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert encode(whole, *texts) == pytest.approx(expected, abs=1e-6)
    assert encode(cut, *texts)[0] == pytest.approx(parts[0], abs=1e-6)
