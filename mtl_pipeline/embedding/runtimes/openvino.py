"""OpenVINO (https://docs.openvino.ai): the fastest on CPUs.

An encoder is exported once, through PyTorch, into a folder of its own. Later runs read that: neither PyTorch nor
transformers is imported, which saves most of the start and half of the memory.
"""

from __future__ import annotations

import json
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import openvino as ov

from mtl_pipeline.embedding.runtimes.base import Batch, Runtime, has_cuda
from mtl_pipeline.embedding.runtimes.telemetry import no_telemetry
from mtl_pipeline.embedding.source import EncoderFiles, encoder_error, first_line
from mtl_pipeline.embedding.tokens import Tokenizer
from mtl_pipeline.publishing import is_published, locked, publish_folder, reading
from mtl_pipeline.spec import Encoder

GRAPH, TOKENIZER, FACTS = "encoder.xml", "tokenizer.json", "facts.json"
PRECISIONS = ("float32", "bfloat16", "int8")
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}
"""By precision that it takes, that of what is not int8. By itself OpenVINO would follow the hardware."""
ALIKE = 1e-3
"""The most by which a number of the exported encoder may differ from PyTorch's, where vectors are about 1 long."""


def precisions(device: str | None) -> list[str]:
    """Those that `precision: auto` may take here, the fastest first; none where there is a GPU, which it cannot use."""
    if device == "cuda" or (device is None and has_cuda()):
        return []
    return ["bfloat16", "float32"] if has_bfloat16() else ["float32"]


def load(
    files: EncoderFiles, settings: Encoder, precision: str, device: str | None, exported: Path
) -> OpenVINORuntime:
    """`exported`: where the encoder is, or is to be, published. Raises UserError as `export` does."""
    if precision != "int8":  # which has been made of it already
        export(files, settings, exported)
    return OpenVINORuntime(exported, settings, precision)


def has_bfloat16() -> bool:
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVINORuntime(Runtime):
    """Batches overlap: while one is computed, the next is padded and the last one's vectors are taken."""

    device = "cpu"

    def __init__(self, exported: Path, settings: Encoder, precision: str) -> None:
        """`exported`: the folder of `export`, or of the same encoder in int8. Raises UserError when it is damaged."""
        with reading(exported) as version:
            facts = json.loads((version / FACTS).read_text())
            self.dimension = facts["dimension"]
            self.tokenizer = Tokenizer.from_file(version / TOKENIZER, settings, facts["pad_id"])
            hint = HINTS[precision] if has_bfloat16() else "f32"
            self.graph = ov.Core().compile_model(
                version / GRAPH, "CPU", {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "THROUGHPUT"}
            )
            self.at_once = self.graph.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        # Waited for one after the other: callbacks of OpenVINO's own queue have been seen to wait for each other.
        idle = [self.graph.create_infer_request() for _ in range(self.at_once)]
        computing: deque[tuple[np.ndarray, ov.InferRequest]] = deque()

        def oldest() -> tuple[np.ndarray, np.ndarray]:
            rows, request = computing.popleft()
            request.wait()
            idle.append(request)
            return rows, request.get_output_tensor(0).data.copy()

        for rows, token_ids, mask in batches:
            if not idle:
                yield oldest()
            request = idle.pop()
            request.start_async([token_ids, mask.astype(np.int64)])
            computing.append((rows, request))
        while computing:
            yield oldest()


def export(files: EncoderFiles, settings: Encoder, target: Path) -> None:
    """Publish the encoder at `target`, unless it is there. Users and items, embedded at once, wait for one export.
    Raises UserError where OpenVINO gives other vectors than PyTorch, or cannot follow."""
    with locked(target):
        if not is_published(target):
            convert(files, settings, target)


def convert(files: EncoderFiles, settings: Encoder, target: Path) -> None:
    import torch

    from mtl_pipeline.embedding.pretrained import load_pretrained

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
