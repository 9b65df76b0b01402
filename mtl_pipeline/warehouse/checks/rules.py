"""A check is a rule about an output, written as SQL that selects the rows that break it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from mtl_pipeline.checksums import verify_file
from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import one_version_each, reading
from mtl_pipeline.warehouse.connection import fetch_one, open_warehouse
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literal

SAMPLE_ROWS = 5
PUBLISHED = re.compile(r"'((?:[^']|'')+\.(?:parquet|json))'")
"""The literal of a published path in a check's SQL."""


@dataclass(frozen=True)
class Check:
    """One rule about an output. It holds where `offences` selects nothing."""

    name: str
    explanation: str
    """What must hold, and what goes wrong where it does not."""
    offences: str
    """SQL over the warehouse and the published files that selects a row for each offence."""
    blocking: bool = True
    """Whether anything made from an output that breaks the rule would be wrong."""
    stops_training: bool = False
    """Of a rule that does not block: whether training, where it is broken, is in vain all the same."""


@dataclass(frozen=True)
class CheckResult:
    check: Check
    offences: int
    sample: pl.DataFrame
    """The first offences, at most SAMPLE_ROWS."""

    @property
    def passed(self) -> bool:
        return self.offences == 0


def run_checks(
    paths: PipelinePaths, checks: Sequence[Check], variables: Mapping[str, int] | None = None
) -> list[CheckResult]:
    """Run each check's query; it may call getvariable() for a name in `variables`.

    Raises UserError when an output that a check reads is missing or damaged.
    """
    with open_warehouse(paths.warehouse, read_only=True) as connection, one_version_each():
        for name, value in (variables or {}).items():
            connection.execute(f"SET VARIABLE {quote_identifier(name)} = {int(value)}")
        return [run_check(connection, check, paths) for check in checks]


def run_check(connection: duckdb.DuckDBPyConnection, check: Check, paths: PipelinePaths) -> CheckResult:
    with ExitStack() as stack:
        offences = PUBLISHED.sub(lambda path: stack.enter_context(version_of(path, paths)), check.offences)
        return count_offences(connection, check, offences)


@contextmanager
def version_of(literal: re.Match, paths: PipelinePaths) -> Iterator[str]:
    """Turn the SQL literal of a published path into that of the version that is read, once it is verified."""
    path = Path(literal[1].replace("''", "'"))
    if path.parent in (paths.data, paths.embeddings("users").parent):
        verify_file(path)
        yield literal[0]
    else:
        with reading(path.parent) as folder:
            yield quote_literal(folder / path.name)


def count_offences(connection: duckdb.DuckDBPyConnection, check: Check, offences: str) -> CheckResult:
    try:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE offences AS {offences}")
    except duckdb.CatalogException as error:
        raise UserError(
            f"check {check.name}: an output that it reads is missing; materialize it again ({error})"
        ) from error
    (count,) = fetch_one(connection, "SELECT count(*) FROM offences")
    return CheckResult(check, count, connection.sql(f"FROM offences LIMIT {SAMPLE_ROWS}").pl())


def parquet(path: object) -> str:
    return f"read_parquet({quote_literal(path)}, file_row_number = true)"


def not_finite(value: str, is_list: bool) -> str:
    """SQL that is true of NaN and infinity, and NULL of what is missing."""
    if is_list:
        return f"list_bool_or(list_transform({value}::DOUBLE[], lambda x: x IS NULL OR NOT isfinite(x)))"
    return f"NOT isfinite({value}::DOUBLE)"
