"""What data were evaluated, by what, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtl_pipeline.evaluation.facts import Facts
from mtl_pipeline.evaluation.formatting import MISSING
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Section, Table
from mtl_pipeline.evaluation.studies.scoring import Evaluation

FACTS = {
    "Data": {
        "rows_by_split": ("Rows by split", "split", "rows"),
        "split_boundaries": ("Split boundaries", "boundary", "time"),
        "label_rates": ("Label means", "label", "mean"),
        "late_labels": ("Labels later than their split", "split and task", "labels"),
        "rejected_rows": ("Rejected rows", "reason", "rows"),
    },
    "Versions and fingerprints": {
        "versions": ("Versions", "package", "version"),
        "fingerprints": ("Fingerprints", "artifact", "fingerprint"),
    },
}
"""Section → fact → title and heads of its table."""


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    parts = [Section(title, tables=fact_tables(context.facts, words)) for title, words in FACTS.items()]
    parts.append(Section("Configuration", code=context.configuration))
    shown = [part for part in parts if part.tables or part.code]
    return [Section("Data and run", details=shown)] if shown else []


def fact_tables(facts: Facts, words: Mapping[str, tuple[str, str, str]]) -> list[Table]:
    """Of the facts that are known; where no row was rejected, that is said."""
    known = [(*words[name], facts[name]) for name in words if name in facts]  # type: ignore[literal-required]
    return [fact_table(*fact) for fact in known if fact[-1] or fact[0] == "Rejected rows"]


def fact_table(title: str, key: str, value: str, facts: Mapping[str, Any]) -> Table:
    """Two columns, or, for a mapping of mappings, one column per outer key and one row per inner key."""
    if not facts:
        return Table([key, value], [], title, notes=["No row was rejected."])
    if all(isinstance(column, Mapping) for column in facts.values()):
        names = dict.fromkeys(name for column in facts.values() for name in column)
        rows = [[name, *(fact_text(column.get(name)) for column in facts.values())] for name in names]
        return Table([key, *facts], rows, title)
    return Table([key, value], [[name, fact_text(fact)] for name, fact in facts.items()], title)


def fact_text(fact: Any) -> str:
    match fact:
        case None:
            return MISSING
        case int():
            return f"{fact:,}"
        case float():
            return f"{fact:,.3f}"
        case list() | tuple():
            return " to ".join(map(fact_text, fact))
        case _:
            return str(fact)
