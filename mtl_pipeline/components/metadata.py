"""What an asset reports, as the UI shows it best."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from mtl_pipeline.escaping import markdown_text, printable

LONGEST_CELL = 80
IN_SHORT = "in short"
"""Metadata: what was made, in one line."""


def published(
    version: str, target: Path, metadata: Mapping[str, Any], *, in_short: str
) -> dg.MaterializeResult:
    """The result of an asset that published `target`; `version` changes with its content."""
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={IN_SHORT: in_short, **metadata, "dagster/uri": dg.MetadataValue.path(target)},
    )


def report_metadata(folder: Path) -> dict[str, dg.MetadataValue]:
    """The report in a published folder: to read in the UI, and as a page."""
    return {
        "report": dg.MetadataValue.md((folder / "report.md").read_text(encoding="utf-8")),
        "page": dg.MetadataValue.path(folder / "report.html"),
    }


def summary_metadata(summary: Any) -> dict[str, Any]:
    """The numbers and texts of a summary dataclass but its fingerprint, and its dictionaries as two-column tables."""
    metadata: dict[str, Any] = {}
    for field in dataclasses.fields(summary):
        value, name = getattr(summary, field.name), field.name.replace("_", " ")
        if isinstance(value, float):
            metadata[name] = round(value, 4)
        elif isinstance(value, Mapping):
            metadata[name] = counts_table(value, "name", "value")
        elif isinstance(value, int | str) and name != "fingerprint":
            metadata[name] = value
    return metadata


def counts_table(counts: Mapping[Any, Any], what: str, number: str = "rows") -> dg.MarkdownMetadataValue:
    """A mapping of names to numbers as a Markdown table of two columns."""
    return markdown_table(
        pl.DataFrame({what: list(map(str, counts)), number: list(map(str, counts.values()))})
    )


def markdown_table(frame: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """A small frame as a Markdown table; long cells are cut."""
    head, *rows = [[cell(value) for value in row] for row in (frame.columns, *frame.rows())]
    lines = [head, ["---"] * len(head), *rows]
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(line)} |" for line in lines))


def table(frame: pl.DataFrame) -> dg.TableMetadataValue:
    """A small frame with a row or more as a table of plain text, for the UI and for terminals; long cells are cut."""
    rows = [{name: plain_cell(value) for name, value in row.items()} for row in frame.to_dicts()]
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows])


def cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else markdown_text(plain_cell(value))


def plain_cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = printable(" ".join(str("" if value is None else value).split()))
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"
