"""A document as Markdown, for an asset's metadata and a terminal: all of the page but its figures."""

from __future__ import annotations

from collections.abc import Sequence

from mtl_pipeline.escaping import markdown_text as escape
from mtl_pipeline.evaluation.report.document import BEST, Cell, Section, Table


def to_markdown(sections: Sequence[Section], level: int = 2) -> str:
    """`level` is that of the headings."""
    return "\n\n".join(part for section in sections for part in section_parts(section, level)) + "\n"


def section_parts(section: Section, level: int) -> list[str]:
    """Nothing of a section that has but figures."""
    points = "\n".join(f"- {escape(point)}" for point in section.points)
    parts = [
        *map(escape, section.sentences),
        *([points] if points else []),
        *(part for table in section.tables for part in table_parts(table, level + 1)),
        *([f"```yaml\n{section.code}```"] if section.code else []),
        *(part for below in section.details for part in section_parts(below, level + 1)),
    ]
    return [f"{'#' * level} {escape(section.title)}", *parts] if parts else []


def table_parts(table: Table, level: int) -> list[str]:
    lines = [
        [escape(head) for head in table.heads],
        ["---"] * len(table.heads),
        *([cell_text(cell) for cell in row] for row in table.cells),
    ]
    grid = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return [
        *([f"{'#' * level} {escape(table.title)}"] if table.title else []),
        *([grid] if table.rows else []),
        *(f"– {escape(note)}" for note in table.notes),
    ]


def cell_text(cell: Cell) -> str:
    return f"**{escape(cell.text)}**" if cell.tone == BEST else escape(cell.text)
