"""A first look (`make run QUICK=1`): faster, marked as such wherever its numbers are read, and never promoted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from mtl_pipeline import summary
from mtl_pipeline.champions import Decision
from mtl_pipeline.components.assets.baselines import baselines_asset
from mtl_pipeline.components.assets.evaluation import evaluation_asset
from mtl_pipeline.components.assets.examples import examples_asset
from mtl_pipeline.components.assets.model import model_asset
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.pipeline import define_assets
from mtl_pipeline.errors import UserError
from mtl_pipeline.evaluation.studies.runs.history import read_records
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.paths import ROOT_VARIABLE, PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.spec.quick import MOST, QUICK_VARIABLE, quick
from mtl_pipeline.workflows.__main__ import declared
from mtl_pipeline.workflows.evaluate import evaluate_models
from mtl_pipeline.workflows.stages import run_stage, stages_of
from mtl_pipeline_tests.conftest import PIPELINE, quick_evaluations, tiny_spec, write_tiny_pipeline

REFUSED = "It was made for a first look (QUICK=1), which is never promoted: run it without QUICK."
FULL = tiny_spec().model_copy(update={"training": tiny_spec().training.model_copy(update={"epochs": 5})})
QUICK = quick(FULL)


def run(paths: PipelinePaths, spec: PipelineSpec, *names: str) -> None:
    for stage in stages_of(paths, spec):
        if stage.name in names or (stage.nightly and not names):
            run_stage(stage, paths, [], lambda line: None)


@pytest.fixture(scope="module", autouse=True)
def without_figures() -> Iterator[None]:
    with quick_evaluations():
        yield


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> PipelinePaths:
    """A pipeline that had nothing but a first look. Only to be read."""
    paths = write_tiny_pipeline(tmp_path_factory.mktemp("quick") / "root").paths
    run(paths, QUICK)
    return paths


@pytest.fixture
def paths(looked_at: PipelinePaths, tmp_path: Path) -> PipelinePaths:
    """The same, to be changed."""
    shutil.copytree(looked_at.root, tmp_path / "root", symlinks=True)
    return PipelinePaths(tmp_path / "root", PIPELINE)


def test_the_variable_reaches_whatever_reads_a_declaration(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, is_quick in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv(QUICK_VARIABLE, value)
        assert declared(PIPELINE).is_quick == is_quick


def test_it_learns_less_and_is_measured_against_less() -> None:
    assert QUICK.training.epochs == MOST["training"]["epochs"]
    assert quick(tiny_spec()).training.epochs == tiny_spec().training.epochs == 1
    assert QUICK.baselines.models == ["popularity", "linear", "boosted_trees"]
    assert not QUICK.guards
    assert QUICK.features == FULL.features


def test_fewer_rows_train_and_the_same_are_tested(looked_at: PipelinePaths) -> None:
    few = FULL.model_copy(update={"training": FULL.training.model_copy(update={"rows": 100})})
    thin, whole = Dataset(looked_at, few), Dataset(looked_at, FULL)
    assert len(thin.train) == 100
    assert set(thin.split("train")["example_id"]) < set(whole.split("train")["example_id"])
    assert thin.split("test").equals(whole.split("test"))


def test_report_history_and_summary_say_so(
    looked_at: PipelinePaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert "This is a first look (QUICK=1)" in (looked_at.evaluation / "report.md").read_text()
    (record,) = read_records(looked_at.evaluation_history)
    assert record.quick
    monkeypatch.setenv(ROOT_VARIABLE, str(looked_at.root))
    monkeypatch.setattr("sys.argv", ["summary", PIPELINE])
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert summary.main() == 0
    printed = capsys.readouterr().out
    assert "Beware: This is a first look (QUICK=1)" in printed
    assert "single_task left out" in printed
    assert REFUSED in printed


def test_it_is_never_promoted_whoever_evaluates_it(paths: PipelinePaths) -> None:
    assert not paths.champion_history.exists()
    assert not paths.recommendations.exists()
    decision = evaluate_models(paths, FULL, log=lambda line: None).decision
    assert not decision.promote
    assert decision.reasons[0] == REFUSED


def test_a_full_model_is_promoted_by_no_first_look(paths: PipelinePaths) -> None:
    few = FULL.model_copy(update={"training": FULL.training.model_copy(update={"rows": 100})})
    run(paths, few, "baselines", "model")
    evaluated = evaluate_models(paths, quick(few), log=lambda line: None)
    assert evaluated.decision.reasons[0] == REFUSED
    assert evaluated.caveats[0].startswith("This is a first look")
    examples = pl.read_parquet(paths.examples / "examples.parquet")
    rows = examples.filter(split="train").height
    assert (
        f"All models learned from at most 100 of {rows:,} training rows (training.rows of defs.yaml)."
        in evaluated.caveats
    )


@pytest.mark.parametrize("study", ["backtest", "tuning", "seed_runs"])
def test_there_are_no_quick_studies(looked_at: PipelinePaths, study: str) -> None:
    """Their results would pass for those of a full run."""
    with pytest.raises(UserError, match="QUICK=1 has no studies"):
        run(looked_at, QUICK, study)


def test_the_next_full_run_is_as_if_it_had_never_been(paths: PipelinePaths) -> None:
    run(paths, FULL, "baselines", "model", "evaluation", "champion")
    assert "first look" not in (paths.evaluation / "report.md").read_text()
    assert REFUSED not in Decision.read(paths.evaluation / "decision.json").reasons
    models = set(pl.read_parquet(paths.evaluation / "metrics.parquet")["model"])
    assert "single_task" in models
    assert [record.quick for record in read_records(paths.evaluation_history)] == [True, False]


def test_dagster_makes_again_what_differs(looked_at: PipelinePaths) -> None:
    first, full = (PipelineContext(PIPELINE, spec, looked_at) for spec in (QUICK, FULL))
    for asset, same in (
        (examples_asset, True),
        (baselines_asset, False),
        (model_asset, False),
        (evaluation_asset, False),
    ):
        assert (asset(first).code_versions_by_key == asset(full).code_versions_by_key) == same


def test_it_ends_with_the_report(looked_at: PipelinePaths) -> None:
    """Champion and recommendations stay as they are, unless somebody asks for them."""
    definitions = define_assets(PipelineContext(PIPELINE, QUICK, looked_at))
    graph = definitions.resolve_asset_graph()
    nightly = {key.path[-1] for key in graph.get_all_asset_keys() if graph.get(key).group_name == PIPELINE}
    assert "evaluation" in nightly
    assert not {"champion", "recommendations"} & nightly
    made = definitions.resolve_job_def(PIPELINE).asset_layer.executable_asset_keys
    assert {key.path[-1] for key in made} == nightly
