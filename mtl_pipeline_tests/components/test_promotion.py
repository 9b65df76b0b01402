"""Nights of the tiny pipeline: which model recommends, and why."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from mtl_pipeline import rollback
from mtl_pipeline.champions import (
    Decision,
    append,
    current_champion,
    model_fingerprint,
    read_history,
    short,
)
from mtl_pipeline.components.assets.champion import rollback_config
from mtl_pipeline.components.pipeline import define_pipeline
from mtl_pipeline.errors import UserError
from mtl_pipeline.evaluation.studies.runs.history import read_records
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.workflows.stages import champion_stands
from mtl_pipeline_tests.components.conftest import Project, open_copy, record_runs
from mtl_pipeline_tests.conftest import PIPELINE, SMALL_SETTINGS, TinyPipeline

LAST_STAGES = ("model", "evaluation", "champion", "recommendations")
UNLEARNED = {"epochs": 1, "learning_rate": 1e-9, "calibration": "none", "guard": False}
"""A random network; calibrated, even it may be a little better than a constant answer."""
HASTY = {"epochs": 1, "learning_rate": 5e-4, "loss_normalisation": "tasks", "guard": False}
"""Enough to beat a constant answer, not enough to be as good as the first model."""
WIDE_MARGINS = {"margins": {"watched": 0.5, "liked": 0.5, "rating": 0.5}}
"""Nearly everything is promoted."""


UNGUARDED = SMALL_SETTINGS["training"] | {"guard": False}
"""With one network instead of four."""
SECOND_NIGHT: dict = {"seed": 1, "training": UNGUARDED, "promotion": WIDE_MARGINS}


@pytest.fixture
def nights(made_once: Path, tmp_path: Path, quick: None) -> Iterator[Project]:
    """A project of its own after one good night."""
    with open_copy(made_once, tmp_path / "root") as project:
        yield project


@pytest.fixture(scope="module")
def promoted_once(made_once: Path, tmp_path_factory: pytest.TempPathFactory, quick: None) -> Path:
    """What the second night left, whose challenger was promoted. Only to be copied."""
    folder = tmp_path_factory.mktemp("promoted")
    with open_copy(made_once, folder / "root") as project:
        assert night(project, **SECOND_NIGHT).success
        record_runs(project.instance, folder)
    return folder


@pytest.fixture
def two_nights(promoted_once: Path, tmp_path: Path) -> Iterator[Project]:
    """A project of its own after two nights, each of which promoted its model."""
    with open_copy(promoted_once, tmp_path / "root") as project:
        yield declared(project, **SECOND_NIGHT)


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


def made_by(result: dg.ExecuteInProcessResult) -> list[str]:
    return [key.path[-1] for event in result.get_asset_materialization_events() if (key := event.asset_key)]


def recommended_by(project: Project) -> object:
    return project.metadata("recommendations")["model"]


def test_the_first_model_is_promoted_if_it_beats_a_constant_answer(made_project: Project) -> None:
    (entry,) = [entry for entry in read_history(made_project.pipeline.paths) if entry.action == "promoted"]
    assert entry.champion == newest(made_project) == recommended_by(made_project)
    beaten = "There is no champion to compare with, and it beats the constant answer on watched"
    assert entry.reasons[0].startswith(beaten)


def test_a_first_model_that_is_no_better_than_a_constant_answer_blocks_recommendations(
    nights: Project,
) -> None:
    paths = nights.pipeline.paths
    paths.champion_history.unlink()
    result = night(nights, training=UNLEARNED)
    assert not result.success
    settled = check(result, "champion_settled")
    assert (settled.passed, settled.blocking) == (False, True)
    assert "does not show that it beats it" in str(settled.description)
    assert champion(nights) is None
    assert made_by(result) == ["model", "evaluation", "champion"]
    with pytest.raises(UserError, match="No model may recommend"):
        champion_stands(paths, nights.pipeline.spec, print)  # as the run without Dagster does


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


def test_a_challenger_that_is_not_shown_to_be_worse_is_promoted(
    made_project: Project, two_nights: Project
) -> None:
    before = champion(made_project)
    assert champion(two_nights) == newest(two_nights) == recommended_by(two_nights) != before
    promoted = dg.AssetCheckKey(dg.AssetKey([PIPELINE, "champion"]), "challenger_promoted")
    (record,) = two_nights.instance.event_log_storage.get_asset_check_execution_history(promoted, limit=1)
    assert record.status == AssetCheckExecutionRecordStatus.SUCCEEDED
    comparisons = pl.read_parquet(two_nights.pipeline.paths.evaluation / "comparisons.parquet")
    assert "champion" in comparisons["baseline"].to_list()
    first, second = read_records(two_nights.pipeline.paths.evaluation_history)
    assert [(record.champion, record.promoted) for record in (first, second)] == [
        (None, True),
        (before, True),
    ]
    assert second.tasks[0].difference("champion", "roc_auc") is not None


def test_a_challenger_no_worse_than_the_champion_has_to_stand_up_to_the_best_before_it(
    nights: Project,
) -> None:
    """The champion was let through with wide margins. Who is as bad is no worse than it, but than the one before."""
    first = str(champion(nights))
    night(nights, training=HASTY, promotion=WIDE_MARGINS)
    assert champion(nights) == newest(nights) != first
    result = night(nights, training=HASTY | {"learning_rate": 5.2e-4})
    assert result.success
    assert champion(nights) == recommended_by(nights) != newest(nights)
    decision = Decision.read(nights.pipeline.paths.evaluation / "decision.json")
    assert decision.references == [first]
    assert all(f"the earlier champion {short(first)}" in reason for reason in decision.reasons)
    report = (nights.pipeline.paths.evaluation / "report.html").read_text()
    assert f"earlier champion {short(first)}" in report

    reference = {"reference": short(str(champion(nights)))}
    pinned = declared(nights, training=HASTY | {"learning_rate": 5.2e-4}, promotion=reference)
    pinned.run_or_fail("evaluation")
    assert pinned.out_of_sync()["champion"] == ["evaluation"], "what is new is the decision"
    pinned.run_or_fail("champion")
    assert champion(nights) == newest(nights), "by that reference it is good enough"


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
    declared(nights, seed=1, training=UNGUARDED).run("model", "evaluation")
    decision = json.loads((paths.evaluation / "decision.json").read_text())
    left = test.filter(pl.col("timestamp") > middle).height
    assert decision["window"].endswith(f"here, both are compared on the other {left:,}.")


def roll_back(project: Project, to: str | None = None) -> dg.ExecuteInProcessResult:
    """The job, as it is launched from the UI: with its own config, or with one that names a fingerprint."""
    job = project.definitions.resolve_job_def(f"{PIPELINE}_rollback")
    return job.execute_in_process(
        instance=project.instance,
        run_config=rollback_config(PIPELINE, to) if to else None,
        raise_on_error=False,
    )


def test_rollback_from_the_ui_restores_champion_and_recommendations(
    made_project: Project, two_nights: Project
) -> None:
    before, bad = champion(made_project), champion(two_nights)
    result = roll_back(two_nights)
    assert result.success
    assert made_by(result) == ["champion", "recommendations"]
    assert champion(two_nights) == before == recommended_by(two_nights) != bad
    assert check(result, "champion_settled").passed
    assert not check(result, "challenger_promoted").passed

    again = two_nights.run("evaluation", "champion")
    assert champion(two_nights) == before, "a model that was rolled back from does not come back by itself"
    assert "rolled back from on" in str(check(again, "challenger_promoted").description)

    assert roll_back(two_nights, str(bad)[:8]).success
    assert champion(two_nights) == bad == recommended_by(two_nights), "unless somebody names it"
    roll_back(two_nights)

    night(two_nights, **SECOND_NIGHT | {"seed": 2})
    assert champion(two_nights) == newest(two_nights), (
        "the next challenger competes with the restored champion"
    )


def test_after_a_rollback_by_itself_recommendations_are_out_of_date(two_nights: Project) -> None:
    before = two_nights.out_of_sync()
    assert set(before) == {"examples", "baselines"}, "of another seed than the model"
    job = two_nights.definitions.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(
        instance=two_nights.instance,
        asset_selection=[dg.AssetKey([PIPELINE, "champion"])],
        run_config=rollback_config(PIPELINE),
    ).success
    assert two_nights.out_of_sync() == before | {"recommendations": ["champion"]}
    two_nights.run_or_fail("recommendations")
    assert two_nights.out_of_sync() == before


def test_checks_report_and_change_nothing(nights: Project) -> None:
    """A decision waits until champion is materialized, and after a rollback it is not carried out again."""
    before = champion(nights)
    declared(nights, **SECOND_NIGHT).run("model", "evaluation")
    history = read_history(nights.pipeline.paths)
    results = run_checks(nights, "evaluation") + run_checks(nights, "champion")
    assert {result.check_name for result in results} >= {"champion_settled", "challenger_promoted"}
    assert read_history(nights.pipeline.paths) == history
    assert champion(nights) == before

    nights.run_or_fail("champion")
    assert champion(nights) == newest(nights)
    roll_back(nights)
    history = read_history(nights.pipeline.paths)
    nights.run_or_fail("champion")
    run_checks(nights, "champion")
    assert read_history(nights.pipeline.paths) == history
    assert champion(nights) == before


def run_checks(project: Project, asset: str) -> list[dg.AssetCheckEvaluation]:
    """The checks of an asset alone, as the UI runs them by a click."""
    graph = project.definitions.resolve_asset_graph()
    keys = graph.get_check_keys_for_assets({dg.AssetKey([PIPELINE, asset])})
    selection = dg.AssetSelection.checks(*keys)
    job = dg.define_asset_job("checks_alone", selection)
    definitions = dg.Definitions.merge(project.definitions, dg.Definitions(jobs=[job]))
    result = definitions.resolve_job_def("checks_alone").execute_in_process(instance=project.instance)
    return [*result.get_asset_check_evaluations()]


def test_a_newest_model_that_is_gone_keeps_no_champion_from_recommending(nights: Project) -> None:
    nights.pipeline.paths.model.unlink()
    result = nights.run("champion", "recommendations")
    assert result.success
    assert check(result, "champion_settled").passed
    warned = check(result, "challenger_promoted")
    assert (warned.passed, warned.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "materialize model first" in str(warned.description)


def test_rollback_with_nothing_to_go_back_to_says_so(nights: Project) -> None:
    before = champion(nights)
    (failure,) = roll_back(nights).get_step_failure_events()
    assert failure.step_failure_data.user_failure_data is not None
    assert "nothing to go back to" in str(failure.step_failure_data.user_failure_data.description)
    assert champion(nights) == before


def test_rollback_from_the_command_line_with_nothing_to_go_back_to(
    tiny_pipeline: TinyPipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["rollback", PIPELINE])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(rollback.__file__, run_name="__main__")
    assert ended.value.code == 1
    assert "movielens has no champion yet: there is nothing to go back to" in capsys.readouterr().err
