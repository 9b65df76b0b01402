"""What past evaluations found, on disk."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import polars as pl
import pytest

from mtl_pipeline.champions import Decision
from mtl_pipeline.errors import UserError
from mtl_pipeline.evaluation.facts import Facts
from mtl_pipeline.evaluation.studies.runs.history import (
    Difference,
    Record,
    append_record,
    make_record,
    read_records,
)
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.predictions import CHAMPION
from mtl_pipeline_tests.faults.flips import noticed

FACTS = Facts(
    rows_by_split={"train": 430_102, "validation": 53_000, "test": 53_000},
    split_boundaries={"test": ("1998-03-30T00:00:00", "1998-04-22T00:00:00")},
    label_rates={"train": {"watched": 0.3}, "test": {"watched": 0.2, "liked": None, "rating": 3.5}},
    rejected_rows={"ratings rating: outside 1 to 5": 3},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "evaluation_history.jsonl"


@pytest.fixture(scope="module")
def record(evaluation: Evaluation) -> Record:
    decision = Decision("a", "new", None, True, False, [], [])
    return make_record(evaluation, decision, FACTS, time="2026-11-24T02:00:00+00:00", examples="e1")


def test_a_record_holds_every_test_metric_and_every_interval(record: Record, evaluation: Evaluation) -> None:
    watched = record.task("watched")
    assert watched is not None
    assert set(watched.values) == set(evaluation.models("watched"))
    assert set(watched.values["linear"]) == set(evaluation.metric_names("watched"))
    assert watched.value("linear", "roc_auc") == evaluation.score("watched", "linear", "roc_auc").value
    against = watched.difference("single_task", "roc_auc")
    assert against is not None
    row = evaluation.comparisons.filter(task="watched", baseline="single_task", metric="roc_auc")
    assert (against.difference, against.low, against.high) == row.select("difference", "low", "high").row(0)
    assert (record.test_from[:10], record.test_until[:10]) == ("1998-03-30", "1998-04-22")
    assert record.label_means == {"watched": 0.2, "liked": None, "rating": 3.5}


def test_what_is_written_is_read_again(path: Path, record: Record) -> None:
    append_record(path, record)
    assert read_records(path) == [record]


def test_undefined_values_are_null_so_that_any_reader_of_json_can_read_them(
    path: Path, record: Record
) -> None:
    watched = record.tasks[0]
    assert math.isnan(replace(watched, values={}).value("linear", "roc_auc"))
    append_record(path, replace(record, tasks=[replace(watched, values={"linear": {"roc_auc": None}})]))
    assert "NaN" not in path.read_text()
    assert pl.read_ndjson(path)["model"].to_list() == ["new"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_record(path, replace(record, label_means={"watched": math.nan}))


def test_the_same_model_on_the_same_examples_is_one_point(path: Path, record: Record) -> None:
    append_record(path, record)
    append_record(path, replace(record, model="newer", champion="new", promoted=False))
    again = replace(record, time="2026-11-25T02:00:00+00:00", champion="new", promoted=False)
    records = append_record(path, again)
    assert [(found.model, found.time[:10]) for found in records] == [
        ("newer", "2026-11-24"),
        ("new", "2026-11-25"),
    ]
    assert records[-1].promoted, "that it was promoted then is still true"
    assert len(append_record(path, replace(again, examples="e2"))) == 3, "other examples are another point"


def test_a_promoted_model_that_is_evaluated_again_keeps_its_comparison_with_the_champion_before(
    path: Path, record: Record
) -> None:
    """Then it is the champion itself: there is nothing to compare it with."""
    watched = record.tasks[0]
    lost = Difference(-0.01, -0.02, -0.005, "worse")
    against_champion = replace(
        watched,
        values=watched.values | {CHAMPION: {"roc_auc": 0.7}},
        against=watched.against | {CHAMPION: {"roc_auc": lost}},
    )
    append_record(path, replace(record, champion="old", tasks=[against_champion, *record.tasks[1:]]))
    again = replace(record, time="2026-11-25T02:00:00+00:00", champion="new", promoted=False)
    for _ in range(2):
        (kept,) = append_record(path, again)
        assert (kept.time[:10], kept.champion, kept.promoted) == ("2026-11-25", "old", True)
        assert kept.tasks[0].value(CHAMPION, "roc_auc") == 0.7
        assert kept.tasks[0].difference(CHAMPION, "roc_auc") == lost
        assert kept.tasks[1:] == record.tasks[1:]


def test_a_newer_version_may_have_added_something(path: Path, record: Record) -> None:
    values = asdict(record)
    values["mood"] = values["tasks"][0]["mood"] = "sunny"
    for by_metric in values["tasks"][0]["against"].values():
        for difference in by_metric.values():
            difference["mood"] = "sunny"
    path.parent.mkdir()
    path.write_text(json.dumps(values) + "\n")
    assert read_records(path) == [record]


@pytest.mark.parametrize("line", ["{", "[]", '{"time": "2026"}', "null"])
def test_a_line_that_is_no_record_is_named_and_nothing_is_lost(path: Path, record: Record, line: str) -> None:
    append_record(path, record)
    path.write_text(before := path.read_text() + line + "\n")
    with pytest.raises(UserError, match=r"evaluation_history.jsonl, line 2: damaged, .*Remove the line"):
        append_record(path, record)
    assert path.read_text() == before


def test_whoever_is_killed_while_writing_leaves_a_history_that_can_be_read(
    path: Path, record: Record
) -> None:
    """Another process appends without pause until it is killed, at five moments."""
    append_record(path, record)
    code = (
        "import sys, itertools; from dataclasses import replace; from pathlib import Path;"
        "from mtl_pipeline.evaluation.studies.runs.history import append_record, read_records;"
        "path = Path(sys.argv[1]); record = read_records(path)[0];"
        "print('ready', flush=True);"
        "[append_record(path, replace(record, model=str(place))) for place in itertools.count()]"
    )
    before = 0
    for moment in range(5):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05 + 0.013 * moment)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        records = read_records(path)
        assert len(records) >= max(1, before)
        before = len(records)
    assert before > 1
    assert append_record(path, record)[-1] == record, "the lock was let go of"


def test_no_flipped_bit_is_believed(path: Path, record: Record) -> None:
    append_record(path, record)
    bits = range(0, path.stat().st_size * 8, 101)
    assert noticed(path, bits, lambda: read_records(path), "evaluation_history.jsonl, line")
