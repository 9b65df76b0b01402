"""The pretrained transformer: loaded frozen, fed with texts, read as vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from mtl_pipeline.embedding.source import DTYPE, EncoderFiles, encoder_error, first_line
from mtl_pipeline.embedding.tokens import tokenize
from mtl_pipeline.spec import Encoder

Progress = Callable[[int, int], None]
"""Called after each batch with (texts done, texts in all)."""


def mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the tokens that are not padding, special tokens included (Reimers & Gurevych 2019)."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def cls(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The first token: the summary that BERT-like models learn (Devlin et al. 2019)."""
    return hidden[:, 0]


POOLINGS = {"mean": mean, "cls": cls}
"""(hidden [batch, tokens, dimension], mask [batch, tokens]) → [batch, dimension]"""


@dataclass(frozen=True)
class TextEncoder:
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    settings: Encoder

    @property
    def dimension(self) -> int:
        return self.model.config.hidden_size * len(self.settings.layers)

    def encode(self, texts: pa.Array, progress: Progress | None = None) -> tuple[np.ndarray, int]:
        """Vectors (float32 [n, dimension], not normalised) of `texts` (strings [n]); their token count."""
        tokens = tokenize(self.tokenizer, texts, self.settings.max_tokens)
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        pool = POOLINGS[self.settings.pooling]
        done = 0
        with torch.inference_mode():
            for rows in tokens.batches(self.settings.batch_size):
                token_ids, mask = (torch.from_numpy(a).to(self.model.device) for a in tokens.padded(rows))
                states = self.states(token_ids, mask)
                pooled = [pool(states[layer], mask) for layer in self.settings.layers]
                vectors[rows] = torch.cat(pooled, dim=1).cpu().numpy()
                done += len(rows)
                if progress:
                    progress(done, len(texts))
        return vectors, len(tokens.token_ids)

    def states(self, token_ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Token vectors [batch, tokens, hidden size] by layer: the embeddings of the words, then each layer's."""
        several = self.settings.layers != [-1]
        out = self.model(input_ids=token_ids, attention_mask=mask.long(), output_hidden_states=several)
        return (*(out.hidden_states[:-1] if several else ()), out.last_hidden_state)


def load_encoder(files: EncoderFiles, settings: Encoder, device: str | None = None) -> TextEncoder:
    """The encoder in float32 and evaluation mode, on `device`: by default the GPU where there is one.

    Raises UserError when the files are no text encoder that works with these settings.
    """
    source = files.source
    disable_progress_bar()  # of reading weights: a thousand updates for a second's work
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            files.folder, local_files_only=True, trust_remote_code=False
        )
        model, loading = AutoModel.from_pretrained(
            files.folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=getattr(torch, DTYPE),
            output_loading_info=True,
        )
    except Exception as error:  # OSError, ValueError, KeyError, ImportError, SafetensorError, …
        raise encoder_error(source, f"could not be loaded: {first_line(error)}") from error
    model.config.use_cache = False  # for generating text; here it would only take memory
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    encoder = TextEncoder(model.eval().to(device), tokenizer, settings)
    refuse_unfit(source, encoder, loading["missing_keys"])
    return encoder


def refuse_unfit(source: str, encoder: TextEncoder, missing: set[str]) -> None:
    """`missing`: parameters that transformers silently fills at random. Only the unused pooler may be missing."""
    model, tokenizer, settings = encoder.model, encoder.tokenizer, encoder.settings
    needed = sorted(name for name in missing if not name.startswith("pooler."))
    if needed:
        raise encoder_error(
            source,
            f"the weights lack {len(needed)} of the model's parameters ({needed[0]}, …), "
            "which would be random. Fetch or save the model again",
        )
    layers = model.config.num_hidden_layers + 1
    if beyond := [layer for layer in settings.layers if not -layers <= layer < layers]:
        raise encoder_error(
            source, f"has no layer {beyond[0]}. Name some from 0 to {layers - 1}, or -1, the last"
        )
    if model.config.is_encoder_decoder:
        raise encoder_error(
            source,
            f"a {model.config.model_type} model encodes and decodes. Name a plain encoder such as BERT",
        )
    if settings.pooling == "cls" and tokenizer.cls_token_id is None:
        raise encoder_error(source, "the model has no CLS token for pooling: cls. Use pooling: mean")
    positions = getattr(model.config, "max_position_embeddings", None) or settings.max_tokens
    limit = min(positions, tokenizer.model_max_length)
    if settings.max_tokens > limit:
        raise encoder_error(
            source, f"max_tokens: {settings.max_tokens} is more than the model reads. Use at most {limit}"
        )
