"""What must hold of users, items, interactions and rejected rows."""

from __future__ import annotations

from collections.abc import Iterator

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.checks.rules import Check
from mtl_pipeline.warehouse.features.point_in_time import id_column
from mtl_pipeline.warehouse.tables import table_key
from mtl_pipeline.warehouse.templates import (
    quote_identifier,
    quote_identifiers,
    quote_literal,
    quote_literals,
)

MOST_REJECTED = 0.1


def table_checks(spec: PipelineSpec, table: str) -> Iterator[Check]:
    """Checks of users, items or interactions. Needs the variable `rows_read`."""
    key = table_key(spec, table)
    columns = quote_identifiers(key)
    yield Check(
        "keys_present",
        f"{', '.join(key)} is never NULL: a row without its key cannot be joined.",
        f"FROM {table} WHERE {' OR '.join(f'{quote_identifier(column)} IS NULL' for column in key)}",
    )
    yield Check(
        "keys_unique",
        f"{', '.join(key)} identifies a row: a repeated key would multiply rows in every join.",
        f"SELECT {columns}, count(*) AS rows FROM {table} GROUP BY {columns} HAVING count(*) > 1",
    )
    yield Check(
        "every_row_accounted_for",
        "Records counted in the raw file's bytes = rows kept (or merged) + rows rejected: no row gets lost. In sql/, "
        "reject a row, never filter it out; where rows belong together, declare that they are merged instead of "
        "writing GROUP BY (docs/sql-contract.md).",
        "SELECT * FROM (SELECT getvariable('rows_read') AS rows_read, "
        f"(SELECT {lines_kept(spec, table)} FROM {table}) AS kept, "
        f"(SELECT count(*) FROM {table}_rejected) AS rejected) "
        "WHERE rows_read IS DISTINCT FROM kept + rejected",
    )
    if table == "interactions":
        yield from interactions_checks(spec)
    elif (table, "text") in spec.embedded:
        texts = ", ".join(map(quote_identifier, getattr(spec.features, table).texts))
        yield Check(
            "texts_present",
            "Every row has a text: one without gets a vector of zeros, which tells the model nothing. In sql/, put "
            "other words in its place, such as the name or the category.",
            f"SELECT {columns}, {texts} FROM {table} WHERE trim(concat_ws('', {texts})) = ''",
            blocking=False,
        )


def lines_kept(spec: PipelineSpec, table: str) -> str:
    """SQL that counts the lines from which a table was made."""
    return "coalesce(sum(source_rows), 0)" if spec.merges(table) else "count(*)"


def interactions_checks(spec: PipelineSpec) -> Iterator[Check]:
    for table in spec.entities:
        yield Check(
            f"{table}_known",
            f"Every {id_column(table)} is in {table}: an orphan would vanish in a join.",
            f"FROM interactions ANTI JOIN {table} USING ({id_column(table)})",
        )
    for task in spec.tasks:
        label = quote_identifier(task.column)
        rule = KINDS[task.kind].label_rule
        domain = rule.domain.format(names=", ".join(task.classes))
        holds = rule.holds.format(label=label, classes=quote_literals(task.classes))
        yield Check(
            f"{task.name}_labels_valid",
            f"{task.column} is {domain} or NULL (not observed): {rule.why}. Mend it in sql/, where it is made.",
            f"FROM interactions WHERE {label} IS NOT NULL AND NOT ({holds})",
        )
        if task.given and KINDS[task.kind].counts_events:
            # Rows that contradict the chain of tasks are left out of the task's loss.
            yield Check(
                f"{task.name}_follows_{task.given}",
                f"Where {task.name} happened, {task.given} happened: else the log or sql/ is wrong.",
                f"FROM interactions WHERE {label} > 0 "
                f"AND {quote_identifier(spec.task(task.given).column)} IS DISTINCT FROM 1",
                blocking=False,
            )


def rejected_rows_checks(spec: PipelineSpec) -> Iterator[Check]:
    kept = " UNION ALL ".join(
        f"SELECT {quote_literal(table)} AS source_table, {lines_kept(spec, table)} AS kept FROM {table}"
        for table in spec.tables
    )
    yield Check(
        "rejections_explained",
        "Every rejected row names its file, line and reason: otherwise nobody can fix it.",
        "FROM rejected_rows WHERE file IS NULL OR line IS NULL OR reason IS NULL",
        blocking=False,
    )
    yield Check(
        "rejections_rare",
        f"At most {MOST_REJECTED:.0%} of each table's lines are rejected: more means that a file changed "
        "its layout or that a rule in sql/ is too strict.",
        f"""
        WITH reasons AS (
            SELECT source_table, "column", reason, sum(lines) AS lines, min_by(file || ':' || line, line) AS first
            FROM rejected_rows GROUP BY ALL
        ), counted AS (SELECT *, sum(lines) OVER (PARTITION BY source_table) AS rejected FROM reasons)
        SELECT source_table, "column", reason, lines::BIGINT AS lines,
            format('{{:.1f}} %', 100 * lines / (kept + rejected)) AS share, first
        FROM counted JOIN ({kept}) USING (source_table)
        WHERE rejected > {MOST_REJECTED} * (kept + rejected) ORDER BY lines DESC, source_table, "column", reason
        """,
        blocking=False,
    )
