"""Text vectors of items or users, by a frozen pretrained encoder."""

from __future__ import annotations

from mtl_pipeline.embedding import EmbeddingSummary, embed_texts
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.progress import ProgressLog
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.tables import read_texts
from mtl_pipeline.workflows.log import Log


def embed_table(
    paths: PipelinePaths, spec: PipelineSpec, table: str, *, log: Log = print, warn: Log = print
) -> EmbeddingSummary:
    """A vector for each row of `table`. Vectors of the last file are taken over, unless it is damaged: `warn` says so.
    Raises UserError when there is no warehouse yet, or no encoder."""
    return embed_texts(
        read_texts(paths, spec, table),
        spec.encoder_of(table),
        paths.embeddings(table),
        exported=paths.encoders,
        progress=ProgressLog(log, f"{table}: texts embedded"),
        log=warn,
    )
