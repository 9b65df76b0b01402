"""The identity of an encoder: equal fingerprints promise equal vectors for equal texts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mtl_pipeline.embedding.source import EncoderFiles
from mtl_pipeline.spec import Encoder

DTYPE = "float32"
RECIPE = 1
"""Raise it when a change of this package gives other vectors for the same files and settings."""


def encoder_fingerprint(files: EncoderFiles, encoder: Encoder) -> str:
    """SHA-256 (hex) over the content of weights, config and tokenizer, and the settings that matter.

    Not in it, because they move a vector by rounding only: device, batch size, and the versions of torch
    and transformers. A library upgrade would otherwise embed everything again. Where a model comes from is
    not in it either: the same files from a package, the hub or a folder are the same encoder.
    """
    identity = {
        "files": {path.name: file_sha256(path) for path in (*files.weights, *files.definition)},
        "pooling": encoder.pooling,
        "max_tokens": encoder.max_tokens,
        "dtype": DTYPE,
        "recipe": RECIPE,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
