"""The page about the recommendations: do they make sense?"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from mtl_pipeline.evaluation.formatting import counted, format_value
from mtl_pipeline.evaluation.inference.intervals import WORSE
from mtl_pipeline.evaluation.report.document import Cell, Document, Section, Table


def recommendations_report(
    pipeline: str, at: datetime, figures: pl.DataFrame, first: pl.DataFrame, champion: str, score: str
) -> Document:
    """`figures`: as the warehouse judges them; `first`: the first items of some users."""
    warned = warnings_of(figures)
    verdict = (
        f"{counted(len(warned), 'figure')} out of bounds." if warned else "Every figure is within its bounds."
    )
    rows = [
        [
            row["figure"],
            Cell(format_value(row["value"]), WORSE if row["warns"] else ""),
            row["limit"],
            row["meaning"],
        ]
        for row in figures.iter_rows(named=True)
    ]
    lists = [
        [format_value(one) if isinstance(one, float) else str(one) for one in row]
        for row in first.iter_rows()
    ]
    sections = [
        Section("Verdict", [verdict, f"Scored by the champion {champion} as: {score}"], warned),
        Section("Figures", tables=[Table(["figure", "value", "warned unless", "meaning"], rows)]),
        Section("For the first users", tables=[Table(first.columns, lists)]),
    ]
    return Document("Recommendations", pipeline, at.isoformat(timespec="seconds"), {"report": sections})


def warnings_of(figures: pl.DataFrame) -> list[str]:
    return [
        f"{row['figure']} is {row['value']:.3g} and should be {row['limit']}: {row['meaning']}"
        for row in figures.filter("warns").iter_rows(named=True)
    ]
