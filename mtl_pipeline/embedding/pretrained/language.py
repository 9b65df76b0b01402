"""The pretrained transformer, as its files say: loaded frozen, with its tokenizer, read as one vector for each text."""

from __future__ import annotations

from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from mtl_pipeline.embedding.errors import encoder_error, first_line
from mtl_pipeline.embedding.sentence_modules import activation_of
from mtl_pipeline.embedding.source import EncoderFiles, Settings


def mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens that are not padding, special tokens included (Reimers & Gurevych 2019)."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def cls(hidden: Tensor, mask: Tensor) -> Tensor:
    """The first token: the summary that BERT-like models learn (Devlin et al. 2019)."""
    return hidden[:, 0]


def last(hidden: Tensor, mask: Tensor) -> Tensor:
    """The last token, the only one that has read the whole text in a decoder (Neelakantan et al. 2022,
    https://arxiv.org/abs/2201.10005). Padding is on the right."""
    places = mask.sum(dim=1).long().clamp(min=1) - 1
    return hidden.gather(1, places.view(-1, 1, 1).expand(-1, 1, hidden.shape[2]))[:, 0]


POOLINGS = {"mean": mean, "cls": cls, "last": last}
"""(hidden float32 [batch, tokens, hidden size], mask [batch, tokens]) → [batch, hidden size]"""


class Pooled(nn.Module):
    """Token ids and mask, int64 [batch, tokens], → float32 [batch, dimension]."""

    def __init__(self, model: PreTrainedModel, settings: Settings, dense: nn.Sequential) -> None:
        """`dense`: what follows the pooling."""
        super().__init__()
        self.model, self.layers, self.pool = model, settings.layers, POOLINGS[settings.pooling]
        self.dense = dense.float()
        widths = [layer.out_features for layer in dense if isinstance(layer, nn.Linear)]
        width = [model.config.hidden_size * len(settings.layers), *widths][-1]
        self.dimension = min(width, settings.dimensions or width)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        several = self.layers != [-1]
        read = self.model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=several)
        # By layer: the embeddings of the words, then each layer's vectors.
        states = (*(read.hidden_states[:-1] if several else ()), read.last_hidden_state)
        pooled = torch.cat([self.pool(states[layer].float(), attention_mask) for layer in self.layers], dim=1)
        return self.dense(pooled)[:, : self.dimension]


def load_pretrained(files: EncoderFiles, settings: Settings) -> tuple[Pooled, PreTrainedTokenizerBase]:
    """In float32 and evaluation mode. Raises UserError when the files are no text encoder that works with these
    settings."""
    tokenizer, model, _ = load_parts(files, AutoTokenizer)
    model.config.use_cache = False  # for generating text; here it would only take memory
    refuse_unfit(files, model, tokenizer, settings)
    pooled = Pooled(model, settings, dense_layers(files, model.config.hidden_size)).eval()
    if settings.dimensions and settings.dimensions > pooled.dimension:
        raise encoder_error(
            files.source, f"dimensions: {settings.dimensions} is more than it has, {pooled.dimension}"
        )
    return pooled, tokenizer


def load_parts(files: EncoderFiles, reader: Any, **options: Any) -> tuple[Any, PreTrainedModel, bool]:
    """What `reader` (AutoTokenizer, AutoImageProcessor) makes of the files, the model, and whether its pooler is a
    trained one. Raises UserError where they cannot be loaded, or weights are missing, which transformers would silently
    fill at random. Only the pooler may be."""
    disable_progress_bar()  # of reading weights: a thousand updates for a second's work
    safely: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        read = reader.from_pretrained(files.folder, **safely, **options)
        model, loading = AutoModel.from_pretrained(
            files.folder, **safely, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:  # OSError, ValueError, KeyError, ImportError, SafetensorError, …
        raise encoder_error(files.source, f"could not be loaded: {first_line(error)}") from error
    missing = loading["missing_keys"]
    needed = sorted(name for name in missing if not name.startswith("pooler."))
    if needed:
        raise encoder_error(
            files.source,
            f"the weights lack {len(needed)} of the model's parameters ({needed[0]}, …), "
            "which would be random. Fetch or save the model again",
        )
    return read, model, not missing


def dense_layers(files: EncoderFiles, width: int) -> nn.Sequential:
    """Of vectors of this width. Raises UserError where they cannot be loaded, or do not follow each other."""
    layers: list[nn.Module] = []
    for folder in files.modules.dense:
        try:
            weights = load_file(folder / "model.safetensors")
            linear = nn.Linear(width, len(weights["linear.weight"]), bias="linear.bias" in weights)
            linear.load_state_dict({name.removeprefix("linear."): value for name, value in weights.items()})
        except (OSError, KeyError, RuntimeError, SafetensorError) as error:
            raise encoder_error(files.source, f"{folder} could not be loaded: {first_line(error)}") from error
        layers += [linear, getattr(nn, activation_of(folder))()]
        width = linear.out_features
    return nn.Sequential(*layers)


def refuse_unfit(
    files: EncoderFiles,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: Settings,
) -> None:
    source = files.source
    layers = model.config.num_hidden_layers + 1
    if beyond := [layer for layer in settings.layers if not -layers <= layer < layers]:
        raise encoder_error(
            source, f"has no layer {beyond[0]}. Name some from 0 to {layers - 1}, or -1, the last"
        )
    if files.modules.dense and settings.layers != [-1]:
        raise encoder_error(
            source, "a Dense follows its pooling, which takes the last layer. Leave out layers"
        )
    if model.config.is_encoder_decoder:
        raise encoder_error(
            source,
            f"a {model.config.model_type} model encodes and decodes. Name a plain encoder such as BERT",
        )
    if settings.pooling == "cls" and tokenizer.cls_token_id is None:
        raise encoder_error(source, "the model has no CLS token for pooling: cls. Use pooling: mean")
    if settings.long_texts == "windows" and not tokenizer.is_fast:
        raise encoder_error(
            source, "its tokenizer is written in Python and knows no windows. Use long_texts: cut"
        )
    taken = len(tokenizer(settings.prompt)["input_ids"])
    if taken >= settings.max_tokens:
        raise encoder_error(
            source,
            f"max_tokens: {settings.max_tokens} leaves no room for texts: prompt and special tokens take {taken}",
        )
    positions = getattr(model.config, "max_position_embeddings", None) or settings.max_tokens
    limit = min(positions, tokenizer.model_max_length)
    if settings.max_tokens > limit:
        raise encoder_error(
            source, f"max_tokens: {settings.max_tokens} is more than the model reads. Use at most {limit}"
        )
