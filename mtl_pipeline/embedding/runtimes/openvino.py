"""OpenVINO (https://docs.openvino.ai): the fastest on CPUs. It reads what `openvino_export` made of an encoder."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import openvino as ov

from mtl_pipeline.embedding.inputs.tokens import Tokenizer
from mtl_pipeline.embedding.runtimes.base import Batch, Runtime, has_cuda
from mtl_pipeline.embedding.runtimes.openvino_export import FACTS, GRAPH, TOKENIZER, export
from mtl_pipeline.embedding.source import EncoderFiles, Settings
from mtl_pipeline.publishing import reading

PRECISIONS = ("float32", "bfloat16", "int8")
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}
"""By precision that it takes, that of what is not int8. By itself OpenVINO would follow the hardware."""


def precisions(device: str | None) -> list[str]:
    """Those that `precision: auto` may take here, the fastest first; none where there is a GPU, which it cannot use."""
    if device == "cuda" or (device is None and has_cuda()):
        return []
    return ["bfloat16", "float32"] if has_bfloat16() else ["float32"]


def load(
    files: EncoderFiles, settings: Settings, precision: str, device: str | None, exported: Path
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

    def __init__(self, exported: Path, settings: Settings, precision: str) -> None:
        """`exported`: the folder of `export`, or of the same encoder in int8. Raises UserError when it is damaged."""
        with reading(exported) as version:
            facts = json.loads((version / FACTS).read_text())
            self.dimension = facts["dimension"]
            self.reader = Tokenizer.from_file(version / TOKENIZER, settings, facts["pad_id"])
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
