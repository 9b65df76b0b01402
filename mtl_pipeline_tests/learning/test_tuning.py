"""The search for settings on the tiny pipeline, with real trainings."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from multiprocessing.queues import SimpleQueue
from typing import Any

import optuna
import polars as pl
import pytest
import yaml

from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training import batches
from mtl_pipeline.learning.training.train import train_ranker
from mtl_pipeline.learning.tuning.search import (
    COMPLETE_FOR_IMPORTANCE,
    Search,
    importance_frame,
    one_at_a_time,
    search_fingerprint,
    tune,
)
from mtl_pipeline.learning.tuning.search_space import search_space, suggest_values
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.spec.tuning import Tuning
from mtl_pipeline_tests.conftest import TinyPipeline
from mtl_pipeline_tests.faults.processes import PROCESSES

SPACE: dict[str, Any] = {
    "architectures": ["shared_bottom", "mmoe"],
    "batch_size": [256, 512],
    "hidden": [[8], [16, 8]],
    "experts": [2, 3],
    "text_dimension": [4, 8],
    "id_dimension": None,
}
STEPS = 4
"""Between validation rounds, instead of 20."""
SETTINGS = Tuning.model_fields.keys() - {"trials", "architectures"}
TIMES = ("seconds",)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LEAST_STEPS_PER_ROUND", STEPS)


def declared(pipeline: TinyPipeline, **tuning: Any) -> PipelineSpec:
    attributes = pipeline.spec.model_dump(mode="json", exclude_unset=True)
    return PipelineSpec.model_validate(
        attributes | {"tuning": SPACE | tuning, "training": {"epochs": 1, "batch_size": 512}}
    )


def search(pipeline: TinyPipeline, spec: PipelineSpec, trials: int) -> Search:
    with one_at_a_time(pipeline.paths.tuning_study):
        return tune(pipeline.paths, spec, trials=trials, log=lambda line: None)


def settled(found: Search) -> pl.DataFrame:
    return found.trials.drop(TIMES)


def test_every_architecture_has_the_same_budget_and_begins_with_what_is_declared(
    prepared: TinyPipeline,
) -> None:
    spec = declared(prepared)
    found = search(prepared, spec, 3)
    counts = found.trials.group_by("architecture").len()
    assert dict(counts.iter_rows()) == {"mmoe": 3, "shared_bottom": 3}
    assert found.trials["rounds"].max() == 2 * spec.training.epochs
    present = found.trials.filter("present")
    assert present.select("architecture", "trial").rows() == [("mmoe", 0)]
    for first in found.trials.filter(trial=0).iter_rows(named=True):
        assert (first["learning_rate"], first["batch_size"]) == (1e-3, 512)
        assert first["hidden"] == "16", "which the space does not hold, but the declaration does"
    bottom = found.trials.filter(architecture="shared_bottom")
    assert bottom["experts"].null_count() == 3
    scores = [f"score/{task.name}" for task in spec.tasks]
    mean = found.trials.select(pl.mean_horizontal(scores)).to_series()
    assert mean.to_list() == pytest.approx(found.trials["score"].to_list(), rel=1e-6)
    # While settings are drawn at random, the architectures are compared on the same ones.
    drawn = found.trials.select("trial", *spec.tuning.space("shared_bottom"))
    assert drawn.n_unique() == 3


def test_every_value_lies_in_its_range_and_a_setting_without_one_is_left_alone(
    prepared: TinyPipeline,
) -> None:
    narrow = {"learning_rate": {"low": 0.004, "high": 0.0041}, "dropout": None, "weighting": ["static"]}
    narrow |= {"text_dropout": {"low": 0.0, "high": 0.1}}
    found = search(prepared, declared(prepared, architectures=["mmoe"], **narrow), 3)
    drawn = found.trials.filter(pl.col("trial") > 0)
    assert drawn["learning_rate"].is_between(0.004, 0.0041).all()
    assert drawn["weighting"].to_list() == ["static"] * 2
    assert drawn["text_dropout"].is_between(0.0, 0.1, closed="right").all()
    assert found.trials.filter("present").select("weighting", "text_dropout").row(0) == ("uncertainty", 0.0)
    assert not {"dropout", "id_dimension"} & set(found.trials.columns)


def test_the_best_settings_are_valid_and_train_to_their_score(prepared: TinyPipeline) -> None:
    spec = declared(prepared)
    found = search(prepared, spec, 3)
    best = yaml.safe_load(found.best)
    assert list(best) == ["model", "training"]
    adopted = PipelineSpec.model_validate(spec.model_dump(mode="json", exclude_unset=True) | best)
    summary = train_ranker(prepared.paths, adopted, target=prepared.paths.model, log=lambda line: None)
    lowest = found.trials.filter(state="complete")["score"].min()
    assert summary.best_validation_score == pytest.approx(lowest, rel=1e-6)


def test_test_rows_change_nothing(prepared: TinyPipeline) -> None:
    spec = declared(prepared)
    before = search(prepared, spec, 2)
    path = prepared.paths.examples / "examples.parquet"
    examples = pl.read_parquet(path)
    of_test = pl.col("split") == "test"
    labels = [task.name for task in spec.tasks]
    examples.with_columns(
        pl.when(of_test).then(1 - pl.col(name)).otherwise(pl.col(name)).alias(name) for name in labels
    ).filter(~of_test | (pl.col("example_id") % 2 == 0)).write_parquet(path)
    write_checksums(prepared.paths.examples)
    (prepared.paths.tuning_study / "study.db").unlink()
    after = search(prepared, spec, 2)
    assert after.fingerprint == before.fingerprint
    assert settled(after).equals(settled(before))
    assert after.best == before.best


def test_changed_training_rows_begin_a_new_search_and_the_old_one_is_kept(prepared: TinyPipeline) -> None:
    spec = declared(prepared, architectures=["mmoe"])
    before = search(prepared, spec, 2)
    path = prepared.paths.examples / "examples.parquet"
    examples = pl.read_parquet(path)
    of_train = pl.col("split") == "train"
    label = pl.when(of_train).then(1 - pl.col("watched")).otherwise("watched")
    changed = examples.with_columns(label.alias("watched"))
    changed.write_parquet(path)
    write_checksums(prepared.paths.examples)
    after = search(prepared, spec, 1)
    assert (after.resumed, after.trials.height) == (0, 1)
    assert after.fingerprint != before.fingerprint
    examples.write_parquet(path)
    write_checksums(prepared.paths.examples)
    again = search(prepared, spec, 2)
    assert again.resumed == 2
    assert again.trials.equals(before.trials)


def test_what_decides_the_trials_makes_another_search_and_their_number_does_not(
    prepared: TinyPipeline,
) -> None:
    spec = declared(prepared)
    dataset = Dataset(prepared.paths, spec)

    def fingerprint(**changes: Any) -> str:
        return search_fingerprint(dataset, spec.model_copy(update=changes))

    more = spec.tuning.model_copy(update={"trials": 50, "architectures": ["mmoe"]})
    assert fingerprint() == fingerprint(tuning=more)
    others = [
        fingerprint(seed=1),
        fingerprint(tuning=spec.tuning.model_copy(update={"experts": [4]})),
        fingerprint(training=spec.training.model_copy(update={"patience": 2})),
        fingerprint(model=spec.model.model_copy(update={"tower": [4]})),
        fingerprint(tasks=spec.tasks[:2]),
    ]
    assert len({fingerprint(), *others}) == 6


def test_a_diverging_trial_does_not_end_the_search(prepared: TinyPipeline) -> None:
    spec = declared(
        prepared, architectures=["mmoe"], learning_rate={"low": 1e17, "high": 1e18}, weight_decay=None
    )
    found = search(prepared, spec, 3)
    assert found.trials["state"].to_list() == ["complete", "diverged", "diverged"]
    assert "learning_rate: 0.001" in found.best
    hopeless = spec.model_copy(update={"training": spec.training.model_copy(update={"learning_rate": 1e18})})
    with pytest.raises(UserError, match="every trial diverged: lower the learning rates"):
        search(prepared, hopeless, 2)


def test_a_trial_far_above_the_others_is_stopped_early(prepared: TinyPipeline) -> None:
    """Rates at which nothing is learned, against the one declared. Nothing else is searched."""
    nothing_else = dict.fromkeys(SETTINGS) | {"learning_rate": {"low": 1e-5, "high": 1e-2}}
    spec = declared(prepared, architectures=["mmoe"], **nothing_else)
    slow = spec.training.model_copy(update={"epochs": 6, "patience": 12})
    spec = spec.model_copy(update={"training": slow})
    found = search(prepared, spec, 9)
    pruned = found.trials.filter(state="pruned")
    assert pruned.height > 0
    assert pruned["rounds"].is_between(8, 11).all()
    complete = found.trials.filter(state="complete")
    assert min(pruned["score"].to_list()) > min(complete["score"].to_list())
    assert found.trials.filter("present")["state"].item() == "complete"


def test_importance_finds_the_setting_that_decides_the_score() -> None:
    spec = PipelineSpec.model_validate({"tasks": [{"name": "click", "kind": "binary"}]})
    space = search_space(spec, "mmoe")

    def score(trial: optuna.Trial) -> float:
        return 0.7 + suggest_values(trial, space)["id_dropout"] / 10

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(score, n_trials=COMPLETE_FOR_IMPORTANCE - 1)
    assert importance_frame({"mmoe": study}, spec).is_empty()
    study.optimize(score, n_trials=15)
    found = importance_frame({"mmoe": study}, spec).sort("importance", descending=True)
    assert set(found["setting"]) == set(space)
    assert found["setting"][0] == "id_dropout"
    assert found["importance"].sum() == pytest.approx(1)


def test_importance_is_that_of_the_compared_trials(prepared: TinyPipeline) -> None:
    spec = declared(prepared, architectures=["mmoe"])
    few, more = (search(prepared, spec, trials) for trials in (COMPLETE_FOR_IMPORTANCE, 12))
    again = search(prepared, spec, COMPLETE_FOR_IMPORTANCE)
    assert not few.importance.equals(more.importance)
    assert again.importance.equals(few.importance)


def test_where_no_setting_changes_the_score_none_is_important(prepared: TinyPipeline) -> None:
    """Rates that move no weight, and a declared one that does but is not among them."""
    nothing = dict.fromkeys(SETTINGS)
    spec = declared(
        prepared, architectures=["mmoe"], **nothing | {"learning_rate": {"low": 1e-30, "high": 1e-29}}
    )
    found = search(prepared, spec, COMPLETE_FOR_IMPORTANCE + 1)
    drawn = found.trials.filter(pl.col("trial") > 0)
    assert drawn["learning_rate"].n_unique() == drawn.height
    assert drawn["score"].n_unique() == 1
    assert found.importance.is_empty()


def test_a_search_of_nothing_is_refused(prepared: TinyPipeline) -> None:
    nothing = dict.fromkeys(SETTINGS)
    with pytest.raises(UserError, match="nothing to search: give a setting below tuning"):
        search(prepared, declared(prepared, **nothing), 2)
    only_experts = declared(prepared, architectures=["mmoe"], **nothing | {"experts": [2, 3]})
    assert set(search(prepared, only_experts, 2).trials["experts"]) <= {2, 3}


def test_only_one_search_at_a_time(prepared: TinyPipeline) -> None:
    with (
        one_at_a_time(prepared.paths.tuning_study),
        pytest.raises(UserError, match="in use by another search"),
    ):
        search(prepared, declared(prepared), 1)


def search_on(paths: PipelinePaths, spec: PipelineSpec, lines: SimpleQueue) -> None:
    batches.LEAST_STEPS_PER_ROUND = STEPS
    with one_at_a_time(paths.tuning_study):
        tune(paths, spec, trials=9, log=lines.put)


def test_a_search_that_was_killed_goes_on_where_it_was(prepared: TinyPipeline) -> None:
    spec = declared(prepared)
    killed_in_its_fourth_trial(prepared.paths, spec)
    lines: list[str] = []
    with one_at_a_time(prepared.paths.tuning_study):
        resumed = tune(prepared.paths, spec, trials=3, log=lines.append)
    assert "RUNNING" not in trial_states(prepared.paths)
    assert 1 <= resumed.resumed < 6
    assert lines[0] == f"{resumed.resumed} trials are there already"
    assert len(lines) == 1 + 6 - resumed.resumed
    (prepared.paths.tuning_study / "study.db").unlink()
    in_one_go = search(prepared, spec, 3)
    assert in_one_go.resumed == 0
    assert settled(resumed).equals(settled(in_one_go))


def trial_states(paths: PipelinePaths) -> list[str]:
    with closing(sqlite3.connect(paths.tuning_study / "study.db")) as connection:
        return [state for (state,) in connection.execute("SELECT state FROM trials")]


def killed_in_its_fourth_trial(paths: PipelinePaths, spec: PipelineSpec) -> None:
    """The process dies as by power failure: nothing of it can clean up."""
    lines = PROCESSES.SimpleQueue()
    process = PROCESSES.Process(target=search_on, args=(paths, spec, lines))
    process.start()
    for _ in range(3):
        assert "trial" in lines.get()
    while "RUNNING" not in trial_states(paths):
        assert process.is_alive()
        time.sleep(0.02)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert "RUNNING" in trial_states(paths)
