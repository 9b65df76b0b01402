"""An encoder as OpenVINO reads it: exported once, through PyTorch, into a folder of its own.

Later runs read that: neither PyTorch nor transformers is imported, which saves most of the start and half the memory.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import openvino as ov

from mtl_pipeline.embedding.errors import encoder_error, first_line
from mtl_pipeline.embedding.inputs.tokens import Tokenizer
from mtl_pipeline.embedding.runtimes.telemetry import no_telemetry
from mtl_pipeline.embedding.source import EncoderFiles, Settings
from mtl_pipeline.publishing import is_published, locked, publish_folder

GRAPH, TOKENIZER, FACTS = "encoder.xml", "tokenizer.json", "facts.json"
ALIKE = 1e-3
"""The most by which a number of the exported encoder may differ from PyTorch's, where vectors are about 1 long."""


def export(files: EncoderFiles, settings: Settings, target: Path) -> None:
    """Publish the encoder at `target`, unless it is there. Users and items, embedded at once, wait for one export.
    Raises UserError where OpenVINO gives other vectors than PyTorch, or cannot follow."""
    with locked(target):
        if not is_published(target):
            convert(files, settings, target)


def convert(files: EncoderFiles, settings: Settings, target: Path) -> None:
    import torch

    from mtl_pipeline.embedding.pretrained.language import load_pretrained

    pooled, tokenizer = load_pretrained(files, settings)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise encoder_error(files.source, "its tokenizer is written in Python. Use runtime: torch")
    generator = torch.Generator().manual_seed(0)
    traced, probe = (
        (torch.randint(len(tokenizer), shape, generator=generator), torch.ones(shape, dtype=torch.int64))
        for shape in ((2, 5), (3, min(9, settings.max_tokens)))
    )
    probe[1][0, 2:] = 0
    try:
        with no_telemetry(), warnings.catch_warnings(action="ignore"):  # torch's on tracing
            graph = ov.convert_model(pooled, example_input=traced)
        found = ov.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(probe)[0]
    except Exception as error:  # of tracing and of OpenVINO's front end: no common base
        raise encoder_error(
            files.source, f"OpenVINO cannot follow it ({first_line(error)}). Use runtime: torch"
        ) from error
    with torch.inference_mode():
        expected = pooled(*probe).numpy()
    if not np.abs(found - expected).max() < ALIKE * max(1.0, np.abs(expected).max()):
        raise encoder_error(files.source, "OpenVINO gives other vectors than PyTorch. Use runtime: torch")
    facts = {"dimension": pooled.dimension, "pad_id": Tokenizer.of(tokenizer, settings).pad_id}
    with publish_folder(target) as folder:
        ov.save_model(graph, folder / GRAPH, compress_to_fp16=False)
        backend.enable_truncation(settings.max_tokens, direction=tokenizer.truncation_side)
        backend.save(str(folder / TOKENIZER))
        (folder / FACTS).write_text(json.dumps(facts))
