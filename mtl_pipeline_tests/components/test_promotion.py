"""Nights of the tiny pipeline: which model recommends, and why."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from mtl_pipeline.champions import append, current_champion, model_fingerprint, read_history
from mtl_pipeline.components.pipeline import define_pipeline
from mtl_pipeline.evaluation.history import read_records
from mtl_pipeline.paths import ROOT_VARIABLE
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline_tests.components.conftest import Project
from mtl_pipeline_tests.conftest import PIPELINE, TinyPipeline

LAST_STAGES = ("model", "evaluation", "recommendations")
UNLEARNED = {"epochs": 1, "learning_rate": 1e-9}
HASTY = {"epochs": 1, "learning_rate": 2e-4, "balance": "tasks"}
"""Enough to beat a constant answer, not enough to be as good as the first model."""


@pytest.fixture
def nights(made_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project of its own after one good night."""
    root = tmp_path / "root"
    shutil.copytree(made_project.pipeline.root, root, symlinks=True)
    monkeypatch.setenv(ROOT_VARIABLE, str(root))
    with dg.DagsterInstance.ephemeral() as instance:
        pipeline = TinyPipeline(root)
        yield Project(pipeline, define_pipeline(PIPELINE, pipeline.spec), instance)


def declared(project: Project, **changes: object) -> Project:
    """The project with other settings in its defs.yaml."""
    spec = PipelineSpec.model_validate(
        project.pipeline.spec.model_dump(mode="json", exclude_unset=True) | changes
    )
    return replace(project, definitions=define_pipeline(PIPELINE, spec))


def night(project: Project, **changes: object) -> dg.ExecuteInProcessResult:
    return declared(project, **changes).run(*LAST_STAGES)


def champion(project: Project) -> str | None:
    return current_champion(read_history(project.pipeline.paths))


def newest(project: Project) -> str:
    return model_fingerprint(project.pipeline.paths.model)


def check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    (found,) = [check for check in result.get_asset_check_evaluations() if check.check_name == name]
    return found


def recommended_by(project: Project) -> object:
    return project.metadata("recommendations")["model"]


def test_the_first_model_is_promoted_if_it_beats_a_constant_answer(made_project: Project) -> None:
    (entry,) = [entry for entry in read_history(made_project.pipeline.paths) if entry.action == "promoted"]
    assert entry.champion == newest(made_project) == recommended_by(made_project)
    assert entry.reasons == [
        "There is no champion to compare with, and it beats the constant answer on every task."
    ]


def test_a_first_model_that_is_no_better_than_a_constant_answer_blocks_recommendations(
    nights: Project,
) -> None:
    paths = nights.pipeline.paths
    paths.champion_history.unlink()
    result = night(nights, training=UNLEARNED)
    assert not result.success
    settled = check(result, "champion_settled")
    assert (settled.passed, settled.blocking) == (False, True)
    assert "not below that of a constant answer" in str(settled.description)
    assert champion(nights) is None
    made = {key.path[-1] for event in result.get_asset_materialization_events() if (key := event.asset_key)}
    assert made == {"model", "evaluation"}


@pytest.mark.parametrize("training", [UNLEARNED, HASTY], ids=["unlearned", "hasty"])
def test_a_worse_challenger_is_refused_and_the_champion_recommends(nights: Project, training: dict) -> None:
    before = champion(nights)
    result = night(nights, training=training)
    assert result.success
    assert champion(nights) == before == recommended_by(nights) != newest(nights)
    assert check(result, "champion_settled").passed
    refused = check(result, "challenger_promoted")
    assert (refused.passed, refused.severity) == (False, dg.AssetCheckSeverity.WARN)
    entry = read_history(nights.pipeline.paths)[-1]
    assert (entry.action, entry.model) == ("kept", newest(nights))
    assert any("is surely more than the" in reason for reason in entry.reasons), entry.reasons
    assert any("constant answer" in reason for reason in entry.reasons) == (training == UNLEARNED)
    report = (nights.pipeline.paths.evaluation / "report.html").read_text()
    assert "The challenger is not promoted; the champion stays." in report
    assert "test rows are newer than what the champion was trained on." in report


def test_a_challenger_that_is_not_shown_to_be_worse_is_promoted(nights: Project) -> None:
    before = champion(nights)
    result = night(nights, seed=1, promotion={"margins": {"watched": 0.5, "liked": 0.5, "rating": 0.5}})
    assert result.success
    assert champion(nights) == newest(nights) == recommended_by(nights) != before
    assert check(result, "challenger_promoted").passed
    comparisons = pl.read_parquet(nights.pipeline.paths.evaluation / "comparisons.parquet")
    assert "champion" in comparisons["baseline"].to_list()
    first, second = read_records(nights.pipeline.paths.evaluation_history)
    assert [(record.champion, record.promoted) for record in (first, second)] == [
        (None, True),
        (before, True),
    ]
    assert second.tasks[0].difference("champion", "roc_auc") is not None


def test_the_same_model_again_stays_champion(nights: Project) -> None:
    before = champion(nights)
    result = night(nights)
    assert champion(nights) == before == newest(nights)
    assert check(result, "challenger_promoted").passed
    assert read_history(nights.pipeline.paths)[-1].reasons == ["It was promoted before."]


def test_a_champion_of_other_tasks_gives_way_to_the_first_model_of_the_new_ones(nights: Project) -> None:
    before = champion(nights)
    tasks = [task.model_dump(mode="json", exclude_unset=True) for task in nights.pipeline.spec.tasks]
    changed = declared(nights, tasks=[*tasks[:2], tasks[2] | {"name": "stars", "label": "rating"}])
    assert changed.run("examples", "baselines", *LAST_STAGES).success
    entry = read_history(nights.pipeline.paths)[-1]
    assert (entry.action, entry.champion) == ("promoted", newest(nights))
    assert f"The champion {str(before)[:12]} cannot be compared" in entry.reasons[0]


def test_rows_that_the_champion_was_trained_on_take_no_part_in_the_decision(nights: Project) -> None:
    paths = nights.pipeline.paths
    test = pl.read_parquet(paths.examples / "examples.parquet").filter(pl.col("split") == "test")
    middle = test["timestamp"].sort()[len(test) // 2]
    history = read_history(paths)
    folder = paths.champions / str(champion(nights))
    seen = folder / "seen.json"
    seen.write_text(json.dumps(json.loads(seen.read_text()) | {"until": middle.isoformat()}))
    renamed = model_fingerprint(folder)
    folder.rename(paths.champions / renamed)
    append(paths, history, replace(history[-1], champion=renamed))
    night(nights, seed=1)
    decision = json.loads((paths.evaluation / "decision.json").read_text())
    left = test.filter(pl.col("timestamp") > middle).height
    assert decision["window"].endswith(f"here, both are compared on the other {left:,}.")


def test_rollback_from_the_ui_restores_champion_and_recommendations(nights: Project) -> None:
    before = champion(nights)
    margins = {"margins": {"watched": 0.5, "liked": 0.5, "rating": 0.5}}
    night(nights, seed=1, promotion=margins)
    bad = champion(nights)
    job = nights.definitions.resolve_job_def(f"{PIPELINE}_rollback")
    assert job.execute_in_process(instance=nights.instance).success
    assert champion(nights) == before == recommended_by(nights) != bad

    again = nights.run("evaluation")
    assert champion(nights) == before, "a model that was rolled back from does not come back by itself"
    assert "rolled back from on" in str(check(again, "challenger_promoted").description)

    night(nights, seed=2, promotion=margins)
    assert champion(nights) == newest(nights), "the next challenger competes with the restored champion"


def test_rollback_with_nothing_to_go_back_to_says_so(nights: Project) -> None:
    before = champion(nights)
    job = nights.definitions.resolve_job_def(f"{PIPELINE}_rollback")
    result = job.execute_in_process(instance=nights.instance, raise_on_error=False)
    (failure,) = result.get_step_failure_events()
    assert failure.step_failure_data.user_failure_data is not None
    assert "nothing to go back to" in str(failure.step_failure_data.user_failure_data.description)
    assert champion(nights) == before


def test_rollback_from_the_command_line_with_nothing_to_go_back_to(tiny_pipeline: TinyPipeline) -> None:
    command = [sys.executable, "-m", "mtl_pipeline.rollback", PIPELINE]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "movielens has no champion yet: there is nothing to go back to" in result.stderr
