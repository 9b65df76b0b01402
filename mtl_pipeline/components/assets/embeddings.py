"""Vectors of the texts and pictures of items and users, by a frozen pretrained encoder."""

from typing import Any

import dagster as dg

from mtl_pipeline.components.context import PRIORITY, PipelineContext
from mtl_pipeline.components.metadata import markdown_table, published
from mtl_pipeline.spec.assets import code_version, embeddings_name, encoder_settings


def embedding_asset(pipeline: PipelineContext, table: str, kind: str) -> dg.AssetsDefinition:
    paths, spec, noun = pipeline.paths, pipeline.spec, "pictures" if kind == "image" else "texts"
    encoder, column = spec.encoder_of(table, kind), getattr(spec.features, table).embedded[kind]

    @pipeline.asset(
        name=embeddings_name(table, kind),
        reads=[table],
        op_tags={PRIORITY: "-1"},
        kinds={"huggingface", "pytorch", "parquet"},
        description=f"One vector per row of {table}: its `{column}`, read by the frozen encoder "
        f"`{encoder.package or encoder.hub or encoder.folder}`. "
        f"{noun.capitalize()} that the previous file already holds are not embedded again.",
        code_version=code_version(settings={"encoder": encoder_settings(encoder), kind: column}),
    )
    def embed(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        from mtl_pipeline.workflows.embed import embed_table

        summary = embed_table(paths, spec, table, kind, log=context.log.info, warn=context.log.warning)
        metadata = {
            "dagster/row_count": summary.rows,
            f"distinct {noun}": summary.distinct_texts,
            f"{noun} taken over": summary.reused_texts,
            f"rows without {noun.removesuffix('s')}": summary.rows_without_text,
            **(
                {"tokens read": summary.tokens}
                if noun == "texts"
                else {"rows with a missing picture": summary.rows_missing}
                | {"rows with a broken picture": summary.rows_unread}
            ),
            "dimension": summary.dimension,
            "device": summary.device,
            "runtime": summary.runtime,
            "precision": summary.precision,
            **(
                {
                    "mean cosine to float32": summary.fidelity.cosine,
                    "least cosine to float32": summary.fidelity.least_cosine,
                    "neighbours as in float32": summary.fidelity.neighbours,
                }
                if summary.fidelity
                else {}
            ),
            "seconds": round(summary.seconds, 1),
            "encoder fingerprint": summary.encoder_fingerprint,
        }
        metadata |= seen(pipeline) if (table, kind) == ("items", "text") else {}
        new = summary.distinct_texts - summary.reused_texts
        in_short = f"{summary.distinct_texts:,} {noun}, {new:,} of them embedded now"
        return published(summary.fingerprint, paths.embeddings(table, kind), metadata, in_short=in_short)

    return embed


def seen(pipeline: PipelineContext) -> dict[str, Any]:
    """What a few items are nearest to, and numbers that say whether the vectors mean something."""
    from mtl_pipeline.workflows.text_neighbours import show_text_vectors

    if not (frames := show_text_vectors(pipeline.paths, pipeline.spec)):
        return {}
    neighbours = frames["text_neighbours"]
    shown = neighbours.select(item="item_text", nearest="neighbour_text", cosine="cosine")
    figures = neighbours.select("neighbours_alike", "chance_alike").row(0, named=True)
    alike = {name.replace("_", " "): value for name, value in figures.items() if value is not None}
    return {"nearest by text": markdown_table(shown), **alike}
