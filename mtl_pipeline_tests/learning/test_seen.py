"""Which rows took no part in the training of a model."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import polars as pl

from mtl_pipeline.learning.ranker.provenance import leak, read_seen, unseen, write_seen
from mtl_pipeline.learning.training.train import train_ranker
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline_tests.conftest import TinyPipeline

DAYS = pl.DataFrame({"timestamp": [datetime(2026, 1, 1), datetime(2026, 1, 2), datetime(2026, 1, 3)]})
NO_TIMES = DAYS.with_columns(timestamp=pl.lit(None, pl.Datetime))


def spec(**split: object) -> PipelineSpec:
    return PipelineSpec.model_validate(
        {
            "tasks": [{"name": "click", "kind": "binary"}],
            "split": split,
            "interaction_key": ["user_id", "item_id"],
        }
    )


def unseen_rows(folder: Path, pipeline: PipelineSpec, rows: pl.DataFrame) -> list[bool]:
    return rows.select(pl.repeat(True, pl.len()) & unseen(folder, pipeline)).to_series().to_list()


def test_later_rows_are_unseen(tmp_path: Path) -> None:
    write_seen(tmp_path, spec(), DAYS[:2])
    assert unseen_rows(tmp_path, spec(train=0.5), DAYS) == [False, False, True]


def test_a_hash_keeps_rows_in_their_split_while_it_stays_the_same(tmp_path: Path) -> None:
    write_seen(tmp_path, spec(hash_by=["user_id"]), NO_TIMES)
    assert unseen_rows(tmp_path, spec(hash_by=["user_id"]), NO_TIMES) == [True] * 3
    assert unseen_rows(tmp_path, spec(hash_by=["item_id"]), NO_TIMES) == [False] * 3


def test_so_does_a_column_that_names_the_test(tmp_path: Path) -> None:
    write_seen(tmp_path, spec(column="part"), NO_TIMES)
    assert unseen_rows(tmp_path, spec(column="part"), NO_TIMES) == [True] * 3
    assert unseen_rows(tmp_path, spec(column="fold"), NO_TIMES) == [False] * 3


def test_a_model_may_be_older_than_a_key_of_split(tmp_path: Path) -> None:
    write_seen(tmp_path, spec(hash_by=["user_id"]), NO_TIMES)
    seen = json.loads((tmp_path / "seen.json").read_text())
    del seen["split"]["column"], seen["split"]["values"]
    (tmp_path / "seen.json").write_text(json.dumps(seen))
    assert unseen_rows(tmp_path, spec(hash_by=["user_id"]), NO_TIMES) == [True] * 3


def held_out(validation: int, test: int) -> pl.DataFrame:
    """A row that validates and one that tests, each of one of the days."""
    return pl.concat([DAYS[[validation]], DAYS[[test]]]).with_columns(split=pl.Series(["validation", "test"]))


def test_training_may_go_on_from_a_model_that_did_not_learn_from_what_is_held_out_now(tmp_path: Path) -> None:
    """It learned from the first day, and was chosen by the second."""
    rows = DAYS[:2].with_columns(split=pl.Series(["train", "validation"]))
    write_seen(tmp_path, spec(), rows)
    seen = read_seen(tmp_path)
    assert leak(seen, spec(), held_out(1, 2)) == ""
    assert leak(seen, spec(), held_out(0, 2)) == "has seen rows that are validation rows now"
    assert leak(seen, spec(), held_out(2, 1)) == "has seen rows that are test rows now"
    assert leak(seen, spec(train=0.5), held_out(2, 2)) == "was trained when rows were split otherwise"


def test_a_hash_that_stays_the_same_leaks_nothing(tmp_path: Path) -> None:
    write_seen(tmp_path, spec(hash_by=["user_id"]), NO_TIMES)
    assert leak(read_seen(tmp_path), spec(hash_by=["user_id"]), held_out(0, 0)) == ""
    assert leak(read_seen(tmp_path), spec(hash_by=["item_id"]), held_out(2, 2))


def test_what_the_model_saw_that_training_went_on_from_is_seen_too(tmp_path: Path) -> None:
    write_seen(
        tmp_path, spec(), DAYS[:1], {"until": "2026-01-02T00:00:00", "trained_until": None, "champion": "a"}
    )
    assert unseen_rows(tmp_path, spec(), DAYS) == [False, False, True]
    seen = read_seen(tmp_path)
    assert seen["started_from"] == "a"
    assert leak(seen, spec(), held_out(2, 2)), "what it learned from is not known"


def test_of_a_model_that_says_less_every_row_that_it_saw_may_have_trained_it(tmp_path: Path) -> None:
    write_seen(tmp_path, spec(), DAYS[:2])
    seen = json.loads((tmp_path / "seen.json").read_text())
    del seen["trained_until"], seen["started_from"]
    (tmp_path / "seen.json").write_text(json.dumps(seen))
    assert leak(read_seen(tmp_path), spec(), held_out(1, 2)) == "has seen rows that are validation rows now"


def test_no_model_has_seen_the_test_rows_of_its_own_night(prepared: TinyPipeline) -> None:
    train_ranker(prepared.paths, prepared.spec, target=prepared.paths.model, log=lambda line: None)
    examples = pl.read_parquet(prepared.paths.examples / "examples.parquet")
    known = examples.with_columns(unseen=unseen(prepared.paths.model, prepared.spec))
    assert known.filter(pl.col("split") == "test")["unseen"].all()
    assert not known.filter(pl.col("split") != "test")["unseen"].any()
