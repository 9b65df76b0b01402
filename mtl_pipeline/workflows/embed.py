"""Vectors of the texts or pictures of items or users, by a frozen pretrained encoder."""

from __future__ import annotations

from mtl_pipeline.embedding import EmbeddingSummary, embed_pictures, embed_texts
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.progress import ProgressLog
from mtl_pipeline.spec import ImageEncoder, PipelineSpec
from mtl_pipeline.warehouse.tables import read_texts
from mtl_pipeline.workflows.log import Log


def embed_table(
    paths: PipelinePaths,
    spec: PipelineSpec,
    table: str,
    kind: str = "text",
    *,
    log: Log = print,
    warn: Log = print,
) -> EmbeddingSummary:
    """A vector for each row of `table`: of its text, of a further one, or of its picture (see `spec.embedded`). Vectors
    of the last file are taken over, unless it is damaged: `warn` says so. Raises UserError when there is no warehouse
    yet, or no encoder."""
    rows, encoder = read_texts(paths, spec, table, kind), spec.encoder_of(table, kind)
    target, what = paths.embeddings(table, kind), kind.replace("_", " ")
    progress = ProgressLog(log, f"{table}: {what}s embedded")
    if isinstance(encoder, ImageEncoder):
        # All paths at once: to read the files may take hours, and an open warehouse would keep tables from being built.
        return embed_pictures(list(rows), paths.raw, encoder, target, progress=progress, log=warn)
    return embed_texts(rows, encoder, target, exported=paths.encoders, progress=progress, log=warn)
