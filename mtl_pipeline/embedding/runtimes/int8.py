"""int8: an exported encoder with weights and activations of 8 bits, scaled by what it gives for some of the texts
(post-training quantisation by NNCF, https://github.com/openvinotoolkit/nncf). Static, so that a text's vector does not
depend on the batch that it falls in."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import openvino as ov

from mtl_pipeline.embedding.errors import encoder_error
from mtl_pipeline.embedding.inputs.texts import DistinctTexts
from mtl_pipeline.embedding.runtimes.openvino import OpenVINORuntime
from mtl_pipeline.embedding.runtimes.openvino_export import GRAPH, export
from mtl_pipeline.embedding.runtimes.telemetry import no_telemetry
from mtl_pipeline.embedding.source import EncoderFiles, Settings
from mtl_pipeline.publishing import is_published, publish_folder, reading

TEXTS = 300
NAMES_ONLY = [GRAPH]
"""Numbers its nodes anew each time. The same weights and scales (encoder.bin) are the same encoder."""


def quantise(
    files: EncoderFiles, settings: Settings, texts: DistinctTexts, exported: Path, target: Path
) -> None:
    """Publish the encoder in int8 at `target`, unless it is there: what it was once scaled by stays, so that vectors
    stay alike. Of `texts` it takes a sample. Raises UserError as `export` does, and without NNCF."""
    if is_published(target):
        return
    try:
        with no_telemetry():
            import nncf
    except ModuleNotFoundError as error:
        raise encoder_error("precision: int8", "needs NNCF: pip install 'mtl_pipeline[int8]'") from error

    export(files, settings, exported)
    tokens = OpenVINORuntime(exported, settings, "float32").reader.prepare(texts.sample(TEXTS))
    batches = [tokens.padded(rows) for rows in tokens.batches(1)]
    with reading(exported) as version, publish_folder(target) as folder:
        with no_telemetry():
            quantised = nncf.quantize(
                ov.Core().read_model(version / GRAPH),
                nncf.Dataset([[token_ids, mask.astype(np.int64)] for token_ids, mask in batches]),
                model_type=nncf.ModelType.TRANSFORMER,
                subset_size=len(batches),
            )
        for file in version.iterdir():
            if file.suffix == ".json":
                shutil.copy(file, folder)
        ov.save_model(quantised, folder / GRAPH, compress_to_fp16=False)
