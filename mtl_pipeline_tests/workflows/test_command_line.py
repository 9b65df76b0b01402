"""A pipeline without Dagster, from the command line."""

from __future__ import annotations

import pytest

from mtl_pipeline.errors import UserError
from mtl_pipeline.warehouse.checks import Check
from mtl_pipeline.workflows.__main__ import main
from mtl_pipeline.workflows.stages import Stage, run_stage
from mtl_pipeline_tests.conftest import PIPELINE, TinyPipeline

TABLES = ["users", "items", "interactions", "rejected_rows"]


def test_stages_run_in_lineage_order_and_say_how_long_they_took(
    tiny_pipeline: TinyPipeline, capsys: pytest.CaptureFixture
) -> None:
    assert main([PIPELINE, "examples", "item_embeddings", *TABLES[::-1]]) == 0
    printed = capsys.readouterr().out.splitlines()
    made = [line.partition(":")[0] for line in printed if ": made in " in line]
    assert made == [*TABLES, "item_embeddings", "examples"]
    assert (tiny_pipeline.paths.examples / "examples.parquet").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["moovie"], "the pipelines are: "),
        (["shop"], "shop is an example without raw files: `make demo PIPELINE=shop` brings them"),
        ([PIPELINE, "modell"], f"{PIPELINE} has no stage modell; its stages are: users, items, interactions"),
        (
            [PIPELINE, "examples"],
            "warehouse.duckdb does not exist yet: materialize users, items and interactions",
        ),
    ],
)
def test_what_went_wrong_is_said_in_a_line(
    tiny_pipeline: TinyPipeline, capsys: pytest.CaptureFixture, arguments: list[str], message: str
) -> None:
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_broken_rule_stops_the_run_only_where_it_blocks(tiny_pipeline: TinyPipeline) -> None:
    assert main([PIPELINE, "users"]) == 0
    said: list[str] = []

    def run(*, blocking: bool) -> None:
        rule = Check("nobody", "There are no users.", "SELECT * FROM users", blocking)
        run_stage(Stage("users", lambda log: None), tiny_pipeline.paths, [rule], said.append)

    run(blocking=False)
    assert said == ["beware, nobody: 60 offences. There are no users."]
    with pytest.raises(UserError, match="users breaks the rule nobody: 60 offences"):
        run(blocking=True)
