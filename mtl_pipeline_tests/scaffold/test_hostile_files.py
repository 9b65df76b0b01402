"""Whatever the columns, values and files are called, the scaffold writes SQL and YAML in which they are only text."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import yaml

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.declaration import check_declaration
from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.scaffold import scaffold_pipeline
from mtl_pipeline.scaffold.profile import reference
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.tables import build_table
from mtl_pipeline.warehouse.templates import quote_identifier, render_sql
from mtl_pipeline_tests.scaffold.conftest import Scaffold, write_csv

RUNS = "{{ cycler.__init__.__globals__.os.system('touch EVIDENCE') }}"
PIECES = [
    "{% endraw %}",
    "{% raw %}",
    "{{ 7 * 7 }}",
    "{%- include 'users.sql' -%}",
    "{#",
    "#}",
    "{",
    "}}",
    "{{",
    "%}",
    "'",
    '"',
    "''; COPY (SELECT 1) TO 'EVIDENCE'; --",
    '"; DROP TABLE users; --',
    "*/ /*",
    "--",
    ";",
    ")",
    "$$",
    "\\",
    "\x1b[31m",
    "\x07",
    "\u202e",
    "\u2028",
    "\x85",
    "\x0b",
    "# x",
    ": ",
    "- ",
    "&a *a",
    "!!python/object",
    "<script>",
    "![](http://evil.example)",
    "Größe",
    "日本",
    " ",
    "a",
]
ROUNDS = int(os.environ.get("HOSTILE_ROUNDS", "8"))
"""Seeds to try: a few in the test suite, hundreds by hand."""


def hostile(chance: random.Random) -> str:
    """A name that is not blank, and has letters so that no two are the same."""
    pieces = chance.choices(PIECES, k=chance.randint(1, 4))
    return f"{''.join(pieces)}{chance.randrange(10**9)}".strip()


def test_a_header_runs_no_code(scaffold: Scaffold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was rendered when definitions loaded: `{% endraw %}` ended what was to keep it from acting."""
    monkeypatch.chdir(tmp_path)
    name = "{% endraw %}" + RUNS
    rows: list[list[object]] = [["user_id", "item_id", "timestamp", "click", name]]
    rows += [[n % 20, n % 10, f"2026-01-01 10:{n % 60:02}", n % 2, n % 5] for n in range(100)]
    pipeline = scaffold(interactions=rows)
    check_declaration(pipeline.defs, PipelineContext("shop", pipeline.spec, pipeline.paths))
    for table in pipeline.spec.tables:
        build_table(pipeline.paths, pipeline.spec, table)
    assert quote_identifier(name) in "".join(map(render_sql, pipeline.paths.sql.iterdir()))
    assert not (tmp_path / "EVIDENCE").exists()


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_hostile_names_and_values_are_only_text(
    scaffold: Scaffold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Columns of every sort, event types, categories and lists, made at random of pieces that act somewhere."""
    monkeypatch.chdir(tmp_path)
    chance = random.Random(seed)
    number, category, flag, listed, text = (hostile(chance) for _ in range(5))
    events = [hostile(chance) for _ in range(4)]
    values = [hostile(chance).replace("|", "") for _ in range(3)]
    items: list[list[object]] = [["item_id", number, category, flag, listed, text]]
    items += [
        [
            f"A{n}",
            n / 2,
            values[n % 3],
            n % 2,
            f"{values[n % 3]}|{values[n % 2]}",
            f"{hostile(chance)} {n} long text",
        ]
        for n in range(60)
    ]
    log: list[list[object]] = [["user_id", "item_id", "event", "time", hostile(chance)]]
    log += [[n % 20, f"A{n % 60}", events[n % 4], 1_767_225_600 + n, values[n % 3]] for n in range(200)]
    try:
        pipeline = scaffold(items=items, interactions=log)
    except UserError:  # a header with more semicolons than commas, say, is read as another one
        return
    check_declaration(pipeline.defs, PipelineContext("shop", pipeline.spec, pipeline.paths))
    for table in pipeline.spec.tables:
        summary = build_table(pipeline.paths, pipeline.spec, table)
        assert summary.rows_rejected == 0, summary.rejected_by_reason
        sql = (pipeline.paths.sql / f"{table}.sql").read_text()
        assert all(character.isprintable() or character == "\n" for character in comments(sql))
    assert reference(number) in render_sql(pipeline.paths.sql / "items.sql")
    assert not (tmp_path / "EVIDENCE").exists()


def comments(sql: str) -> str:
    return "\n".join(line for line in sql.split("\n") if line.startswith("--"))


@pytest.mark.parametrize(
    "name", ["{{ 7 * 7 }}.csv", "log[1].csv", "log*.csv", "{date}.csv", "a\x1b[2J.csv", "a\nb.csv"]
)
def test_files_whose_names_would_act_are_refused(root: Path, tmp_path: Path, name: str) -> None:
    """Dagster renders defs.yaml, where a name with *, ? or [ is a pattern."""
    file = write_csv(tmp_path / name, [["user_id", "item_id", "click"], [1, 2, 1]])
    with pytest.raises(UserError, match=r"rename the file: in defs\.yaml, its name would be") as error:
        scaffold_pipeline(PipelinePaths(root, "shop"), root / "defs/shop", {"interactions": file})
    assert "\x1b" not in str(error.value)
    assert not (root / "defs/shop").exists()


@pytest.mark.parametrize(
    "name", ['it\'s #1: a "log".csv', "- x.csv", "%TAG.csv", "Größe 日本.csv", "null", "1e3", "😀.csv"]
)
def test_other_file_names_are_only_text(root: Path, tmp_path: Path, name: str) -> None:
    rows: list[list[object]] = [["user_id", "item_id", "time", "click"]]
    rows += [[n % 20, n % 10, 1_767_225_600 + n, n % 2] for n in range(100)]
    paths, defs = PipelinePaths(root, "shop"), root / "defs/shop"
    scaffold_pipeline(paths, defs, {"interactions": write_csv(tmp_path / name, rows)})
    spec = PipelineSpec.model_validate(yaml.safe_load((defs / "defs.yaml").read_text())["attributes"])
    assert spec.raw.interactions == name
    check_declaration(defs / "defs.yaml", PipelineContext("shop", spec, paths))
    assert build_table(paths, spec, "interactions").rows_rejected == 0
