"""When each label was known: labels that arrive, or change, after the time of their row.

Such a label has steps, a list of structs with `since` and `value`, oldest first: from `since` on the label is `value`;
before the first step it is not observed. A label without steps is known at the time of its row.
"""

from __future__ import annotations

import duckdb

from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import KNOWN_AT, LAST_TIMESTAMP, PipelineSpec
from mtl_pipeline.warehouse.connection import column_types
from mtl_pipeline.warehouse.templates import quote_identifier

SECONDS_PER_DAY = 86_400


def steps_column(label: str) -> str:
    """The column that holds the steps of a label or of a task; no name in defs.yaml contains a space."""
    return f"{label} over time"


def time_known(spec: PipelineSpec, label: str, has_known_at: bool) -> str:
    """SQL over a row of the log: when its value of a label was known, never before the row itself."""
    column = spec.label_task(label).known_at or (KNOWN_AT if has_known_at else None)
    if column is None:
        return "timestamp"
    return f"greatest(coalesce({quote_identifier(column)}, timestamp), timestamp)"


def label_steps(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec) -> dict[str, str]:
    """For each label that may be known later than its row: SQL over interactions that gives its steps.

    Raises UserError where merged interactions lack the times of their events.
    """
    if not spec.timed:
        return {}
    columns = column_types(connection, "interactions")
    if spec.merges("interactions") and LAST_TIMESTAMP not in columns:
        raise UserError("interactions was made by an earlier version of this project: materialize it again")
    steps = {label: steps_of(spec, label, KNOWN_AT in columns) for label in spec.labels}
    return {label: sql for label, sql in steps.items() if sql}


def steps_of(spec: PipelineSpec, label: str, has_known_at: bool) -> str | None:
    merged = quote_identifier(steps_column(label)) if spec.merges("interactions") else None
    known = time_known(spec, label, has_known_at)
    if days := spec.label_task(label).known_after_days:
        known = f"timestamp + INTERVAL {round(days * SECONDS_PER_DAY)} SECOND"
        within = f"list_filter({merged}, lambda _step: _step.since <= {known})[-1].value"
        return f"[{{'since': {known}, 'value': {within if merged else quote_identifier(label)}}}]"
    if merged or known == "timestamp":
        return merged
    return f"[{{'since': {known}, 'value': {quote_identifier(label)}}}]"


def end_of_log(spec: PipelineSpec) -> str:
    """SQL over interactions: the time of the last event of a row."""
    return LAST_TIMESTAMP if spec.merges("interactions") and spec.timed else "timestamp"
