"""What the files of an encoder say of its use: modules.json, as sentence-transformers writes it, and what it names
(https://sbert.net/docs/sentence_transformer/usage/custom_models.html).

Read here, without that library: what follows the transformer, prompt and lengths. What is not understood is refused,
since it would silently give other vectors than those that the encoder was trained for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl_pipeline.embedding.errors import encoder_error

MODULES, OF_TRANSFORMER, OF_ALL = (
    "modules.json",
    "sentence_*_config.json",
    "config_sentence_transformers.json",
)
UNDERSTOOD = {"max_seq_length", "transformer_task", "modality_config", "module_output_name"}
"""Of the transformer's own file, which is named after its kind."""
PATTERNS = (
    MODULES,
    OF_TRANSFORMER,
    OF_ALL,
    "*_Pooling/config.json",
    "*_Dense/config.json",
    "*_Dense/*.safetensors",
)
"""To be fetched from the hub."""
POOLINGS = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls", "lasttoken": "last"}
"""Ours, by what sentence-transformers calls them, in releases before 5.4 behind `pooling_mode_`."""
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU")
"""Of torch.nn, after a Dense."""


@dataclass(frozen=True)
class SentenceModules:
    """The defaults are those of files that say nothing."""

    pooling: str = "mean"
    max_tokens: int = 256
    prompt: str = ""
    dimensions: int | None = None
    dense: tuple[Path, ...] = ()
    """Folders of linear layers that follow the pooling."""
    normalised: bool = False
    """Whether vectors come out with a length of 1."""


def read_modules(folder: Path, source: str) -> SentenceModules:
    """Raises UserError for what is not understood."""
    if not (folder / MODULES).is_file():
        return SentenceModules()
    try:
        return understood(folder, source)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise encoder_error(
            source, f"{folder / MODULES} or a file that it names is damaged ({error!r})"
        ) from error


def understood(folder: Path, source: str) -> SentenceModules:
    declared = read_json(folder / MODULES)
    listed = [(one["type"].rpartition(".")[2], folder / one["path"]) for one in declared]
    kinds = [kind for kind, _ in listed]
    if foreign := [one["type"] for one in declared if not one["type"].startswith("sentence_transformers.")]:
        raise not_understood(source, folder / MODULES, ", ".join(foreign))
    dense = tuple(path for kind, path in listed if kind == "Dense")
    usual = ["Transformer", "Pooling", *["Dense"] * len(dense)]
    if kinds not in (usual, [*usual, "Normalize"]) or listed[0][1] != folder:
        raise not_understood(source, folder / MODULES, " → ".join(kinds))
    own = next(iter(sorted(folder.glob(OF_TRANSFORMER))), folder / OF_TRANSFORMER)
    transformer, all_of_it = read_json(own), read_json(folder / OF_ALL)
    asked = {name for name, value in transformer.items() if value and value != {}} - UNDERSTOOD
    if asked:
        raise not_understood(source, own, ", ".join(sorted(asked)))
    name = all_of_it.get("default_prompt_name")
    if name and name not in all_of_it.get("prompts", {}):
        raise not_understood(
            source, folder / OF_ALL, f"default_prompt_name {name}, which it has no prompt of"
        )
    prompt = all_of_it["prompts"][name] if name else ""
    for path in dense:
        check_dense(path, source)
    return SentenceModules(
        pooling_of(listed[1][1] / "config.json", source, prompt),
        transformer.get("max_seq_length") or most_tokens(folder),
        prompt,
        all_of_it.get("truncate_dim") or None,
        dense,
        kinds[-1] == "Normalize",
    )


def most_tokens(folder: Path) -> int:
    """What newer releases of sentence-transformers take: as many as tokenizer and model read."""
    limits = (
        read_json(folder / "tokenizer_config.json").get("model_max_length"),
        read_json(folder / "config.json").get("max_position_embeddings"),
    )
    return min([int(limit) for limit in limits if limit], default=SentenceModules.max_tokens)


def pooling_of(file: Path, source: str, prompt: str) -> str:
    declared = read_json(file)
    before = [name.removeprefix("pooling_mode_") for name, used in declared.items() if used is True]
    modes = declared.get("pooling_mode") or [name for name in before if name != "include_prompt"]
    mode = modes if isinstance(modes, str) else "+".join(modes)
    if mode not in POOLINGS:
        raise not_understood(source, file, f"pooling {mode}")
    if prompt and not declared.get("include_prompt", True):
        raise not_understood(source, file, "include_prompt: false")
    return POOLINGS[mode]


def check_dense(folder: Path, source: str) -> None:
    declared = read_json(folder / "config.json")
    inputs = {declared.get(f"module_{side}_name", "sentence_embedding") for side in ("input", "output")}
    if activation_of(folder) not in ACTIVATIONS or declared.get("use_residual") or len(inputs) > 1:
        raise not_understood(source, folder / "config.json", json.dumps(declared))
    if not (folder / "model.safetensors").is_file():
        raise encoder_error(source, f"{folder} holds no model.safetensors. Save the model again")


def activation_of(dense: Path) -> str:
    return read_json(dense / "config.json").get("activation_function", "Tanh").rpartition(".")[2]


def read_json(file: Path) -> Any:
    """Empty where there is none."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def not_understood(source: str, file: Path, what: str) -> Exception:
    return encoder_error(
        source,
        f"{file} asks for what is not understood here: {what}. Name another model, or a copy of its folder "
        f"without {MODULES}, to have it read by the settings of `encoder` alone",
    )
