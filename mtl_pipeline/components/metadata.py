"""Metadata as the UI shows it best: Markdown tables, column types."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import dagster as dg
import polars as pl

from mtl_pipeline.escaping import markdown_text

LONGEST_CELL = 80


def markdown_table(frame: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """A small frame as a Markdown table; long cells are cut."""
    head, *rows = [[cell(value) for value in row] for row in (frame.columns, *frame.rows())]
    lines = [head, ["---"] * len(head), *rows]
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(line)} |" for line in lines))


def counts_table(counts: Mapping[Any, Any], what: str, number: str = "rows") -> dg.MarkdownMetadataValue:
    """A mapping of names to numbers as a Markdown table of two columns."""
    frame = pl.DataFrame(
        {what: [str(name) for name in counts], number: [str(value) for value in counts.values()]}
    )
    return markdown_table(frame)


def summary_metadata(summary: Any, *, leave_out: Collection[str] = ("fingerprint",)) -> dict[str, Any]:
    """The numbers and texts of a summary dataclass; its dictionaries as tables of two columns."""
    metadata: dict[str, Any] = {}
    for field in dataclasses.fields(summary):
        value, name = getattr(summary, field.name), field.name.replace("_", " ")
        if field.name in leave_out:
            continue
        if isinstance(value, bool | int | str):
            metadata[name] = value
        elif isinstance(value, float):
            metadata[name] = round(value, 4)
        elif isinstance(value, Mapping):
            metadata[name] = counts_table(value, "name", "value")
    return metadata


def column_schema(columns: Mapping[str, str]) -> dg.TableSchema:
    """SQL types by column name, for the UI's list of columns."""
    return dg.TableSchema(columns=[dg.TableColumn(name, type=type_) for name, type_ in columns.items()])


def cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = " ".join(str("" if value is None else value).split())
    return markdown_text(text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…")
