"""The encoder's files, in an installed package, on the Hugging Face hub or in a folder, and its fingerprint.

Only safetensors weights count: pickled ones (`pytorch_model.bin`) can run code when they are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple, overload

from mtl_pipeline.embedding.errors import encoder_error, first_line
from mtl_pipeline.embedding.sentence_modules import PATTERNS, SentenceModules, read_modules
from mtl_pipeline.paths import project_root
from mtl_pipeline.spec import Encoder, ImageEncoder, Pretrained

WEIGHTS_FILE = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
WEIGHTS_SHARDS = "model-*-of-*.safetensors"
DEFINITION_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
)
"""What else decides the vectors: the architecture and the tokenizer."""
VOCABULARY_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
"""A tokenizer has one of these. Without any, transformers makes up an empty vocabulary."""
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""What pictures are made before they are read: size, colours."""
RECIPE = 1
"""Raise it when a change in this package gives other vectors for the same files and settings."""


@dataclass(frozen=True)
class EncoderFiles:
    source: str
    """The line of `encoder:` that names them, for messages."""
    folder: Path
    weights: tuple[Path, ...]
    definition: tuple[Path, ...]
    modules: SentenceModules
    """What they say of their use."""
    commit: str | None = None
    """The hub's commit, which tells what a branch or tag meant."""


class Wanted(NamedTuple):
    """Besides weights."""

    definition: tuple[str, ...]
    one_of: tuple[str, ...]
    written_by: str


WANTED = {
    "encoder": Wanted(DEFINITION_FILES, VOCABULARY_FILES, "tokenizer"),
    "image_encoder": Wanted(("config.json", *PROCESSOR_FILES), PROCESSOR_FILES, "image_processor"),
}


def find_encoder_files(encoder: Pretrained) -> EncoderFiles:
    """The files of the encoder, downloaded if it is a hub id that is not in the cache.

    Raises UserError when there is no such package, folder or hub id, or no weights in it.
    """
    wanted = WANTED[encoder.section]
    if encoder.package:
        return files_in(package_folder(encoder.package), f"package: {encoder.package}", wanted)
    if encoder.folder:
        return files_in(local_folder(encoder.folder), f"folder: {encoder.folder}", wanted)
    assert encoder.hub is not None
    folder = hub_folder(encoder.hub, encoder.revision)
    return files_in(folder, f"hub: {encoder.hub}", wanted, commit=folder.name)


def package_folder(package: str) -> Path:
    """The package's `model/` folder. The package is not imported: it may drag in much that is not needed."""
    source = f"package: {package}"
    try:
        installed = find_spec(package)
    except (ModuleNotFoundError, ValueError):
        installed = None
    if installed is None:
        raise encoder_error(
            source,
            "no Python package of this name is installed. Install it (pip install "
            f"{package.replace('_', '-')}), correct the name, or name a hub id or folder instead",
        )
    for location in installed.submodule_search_locations or []:
        if (folder := Path(location) / "model").is_dir():
            return folder
    raise encoder_error(
        source, "the package carries no model/ folder. Name a package that does, a hub id or a folder"
    )


def local_folder(name: str) -> Path:
    """A relative folder starts at the project's root: Dagster's working directory varies."""
    folder = project_root() / Path(name).expanduser()
    if not folder.is_dir():
        raise encoder_error(
            f"folder: {name}",
            f"there is no folder {folder}. Write one with model.save_pretrained and "
            "tokenizer.save_pretrained, or correct the path",
        )
    return folder


def hub_folder(hub_id: str, revision: str | None) -> Path:
    """The hub's snapshot in the local cache. `HF_HUB_OFFLINE=1` uses what the cache holds."""
    from huggingface_hub import snapshot_download

    wanted = [WEIGHTS_FILE, WEIGHTS_INDEX, WEIGHTS_SHARDS, *DEFINITION_FILES, *PROCESSOR_FILES, *PATTERNS]
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=wanted))
    except Exception as error:  # errors of the hub, of HTTP and of its storage share no other base
        at_revision = f" at revision {revision}" if revision else ""
        raise encoder_error(
            f"hub: {hub_id}",
            f"{hub_id}{at_revision} is not in the local cache and could not be fetched: {first_line(error)} "
            "Check the id and revision, the network and HF_HUB_OFFLINE, or name a package or a folder",
        ) from error


def files_in(folder: Path, source: str, wanted: Wanted, commit: str | None = None) -> EncoderFiles:
    def matching(patterns: tuple[str, ...]) -> tuple[Path, ...]:
        return tuple(sorted({path for pattern in patterns for path in folder.glob(pattern)}))

    if not (folder / "config.json").is_file():
        raise encoder_error(source, f"{folder} holds no config.json. Name a model written by save_pretrained")
    if not matching(wanted.one_of):
        raise encoder_error(
            source,
            f"{folder} holds no {wanted.one_of[0]}. Write it there with {wanted.written_by}.save_pretrained",
        )
    modules = read_modules(folder, source)
    return EncoderFiles(
        source, folder, weights_in(folder, source), matching(wanted.definition), modules, commit
    )


def weights_in(folder: Path, source: str) -> tuple[Path, ...]:
    if (folder / WEIGHTS_FILE).is_file():
        return (folder / WEIGHTS_FILE,)
    if not (folder / WEIGHTS_INDEX).is_file():
        raise encoder_error(
            source,
            f"{folder} holds no {WEIGHTS_FILE}. Pickled weights such as pytorch_model.bin are not read: "
            "convert them once with save_pretrained, or name another model",
        )
    shard_of = json.loads((folder / WEIGHTS_INDEX).read_text())["weight_map"]
    shards = tuple(folder / name for name in sorted(set(shard_of.values())))
    if missing := [shard.name for shard in shards if not shard.is_file()]:
        raise encoder_error(
            source, f"{folder} lacks weights file(s) {', '.join(missing)}. Fetch or copy the model again"
        )
    return shards


class Settings(Encoder):
    """Of an encoder, with nothing left to its files."""

    pooling: Literal["mean", "cls", "last"]
    prompt: str
    max_tokens: int


@overload
def completed(encoder: Encoder, files: EncoderFiles) -> Settings: ...
@overload
def completed(encoder: ImageEncoder, files: EncoderFiles) -> ImageEncoder: ...
def completed(encoder: Encoder | ImageEncoder, files: EncoderFiles) -> Settings | ImageEncoder:
    """`Settings` of an encoder of texts; one of pictures leaves nothing open."""
    if isinstance(encoder, ImageEncoder):
        return encoder
    said = encoder.model_dump(exclude_none=True)
    own = {name: getattr(files.modules, name) for name in ("pooling", "prompt", "max_tokens", "dimensions")}
    return Settings.model_validate(own | said)


def encoder_identity(files: EncoderFiles, encoder: Encoder | ImageEncoder) -> dict[str, object]:
    """The content of weights, config and tokenizer, and the settings that matter.

    Not in it, because they move a vector by rounding only: device, batch size, and the versions of torch
    and transformers. A library upgrade would otherwise embed everything again. Where a model comes from is
    not in it either: the same files from a package, the hub or a folder are the same encoder.
    """
    contents = {path.name: file_sha256(path) for path in (*files.weights, *files.definition)}
    identity: dict[str, object] = {"files": contents, "recipe": RECIPE}
    dense = [path / name for path in files.modules.dense for name in ("config.json", "model.safetensors")]
    if dense:  # in their order
        identity["dense"] = [file_sha256(path) for path in dense]
    settings = completed(encoder, files)
    return identity | (how_read(settings) if isinstance(settings, Settings) else {})


def how_read(settings: Settings) -> dict[str, object]:
    # Only where they say something, so that vectors of earlier releases stay valid.
    names = ("layers", "prompt", "dimensions", "normalised", "long_texts")
    further = {name: getattr(settings, name) for name in names}
    usual = ([-1], "", None, False, "cut")
    said = {name: value for name, value in further.items() if value not in usual}
    return {"pooling": settings.pooling, "max_tokens": settings.max_tokens} | said


def encoder_fingerprint(
    identity: Mapping[str, object], runtime: str, precision: str, quantised: str | None = None
) -> str:
    """SHA-256 (hex) over what the vectors come from. `quantised`: the fingerprint of weights that were made of the
    encoder's."""
    made = {"dtype": precision} | ({"runtime": runtime} if runtime != "torch" else {})
    made |= {"quantised": quantised} if quantised else {}
    return hashlib.sha256(json.dumps({**identity, **made}, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
