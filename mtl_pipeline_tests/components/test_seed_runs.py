"""Seed runs as Dagster sees them: only when asked for, in every run where defs.yaml says so, and never stale."""

from __future__ import annotations

import shlex
import subprocess
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import polars as pl
import pyarrow as pa
import pytest

from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.components.pipeline import define_pipeline
from mtl_pipeline.definitions import defs
from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.ranker.provenance import refuse_other_examples
from mtl_pipeline.run.__main__ import parse
from mtl_pipeline.spec import Negatives, PipelineSpec
from mtl_pipeline.spec.assets import usual_seeds
from mtl_pipeline.vectors import read_vectors, write_vectors
from mtl_pipeline.workflows.predictions import wide_predictions
from mtl_pipeline.workflows.seed_runs import usable_seed_runs
from mtl_pipeline_tests.components.conftest import Project
from mtl_pipeline_tests.conftest import PIPELINE, REPOSITORY, TinyPipeline

KEY = dg.AssetKey([PIPELINE, "seed_runs"])


def with_seeds(spec: PipelineSpec, seeds: int) -> PipelineSpec:
    return spec.model_copy(update={"evaluation": spec.evaluation.model_copy(update={"seeds": seeds})})


def test_by_default_they_are_a_study_and_in_no_job(tiny_pipeline: TinyPipeline) -> None:
    repository = define_pipeline(PIPELINE, tiny_pipeline.spec).get_repository_def()
    assert repository.asset_graph.get(KEY).group_name == f"{PIPELINE}_studies"
    assert KEY not in repository.get_job(PIPELINE).asset_layer.executable_asset_keys


def test_with_several_seeds_they_belong_to_the_pipeline_and_its_job(tiny_pipeline: TinyPipeline) -> None:
    repository = define_pipeline(PIPELINE, with_seeds(tiny_pipeline.spec, 3)).get_repository_def()
    assert repository.asset_graph.get(KEY).group_name == PIPELINE
    assert KEY in repository.get_job(PIPELINE).asset_layer.executable_asset_keys


@pytest.mark.parametrize(("declared", "usual"), [(1, 5), (2, 2), (7, 7)])
def test_defs_yaml_says_how_many_seeds_and_a_study_has_five(
    tiny_pipeline: TinyPipeline, declared: int, usual: int
) -> None:
    assert usual_seeds(with_seeds(tiny_pipeline.spec, declared)) == usual


@pytest.fixture
def nightly(made_project: Project) -> Project:
    """A pipeline whose job has run, and that has no seed runs."""
    return made_project


def report(project: Project) -> str:
    return (project.pipeline.paths.evaluation / "report.html").read_text()


def frame(project: Project, name: str) -> pl.DataFrame:
    return pl.read_parquet(project.pipeline.paths.evaluation / f"{name}.parquet")


def materialize_seeds(project: Project, *assets: str, seeds: int) -> dg.ExecuteInProcessResult:
    """As `make report` does."""
    result = project.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=project.instance,
        asset_selection=[KEY, *(dg.AssetKey([PIPELINE, asset]) for asset in assets)],
        run_config={"ops": {f"{PIPELINE}__seed_runs": {"config": {"seeds": seeds}}}},
        raise_on_error=False,
    )
    assert result.success
    assert all(check.passed for check in result.get_asset_check_evaluations() if check.blocking)
    return result


@contextmanager
def other_content(path: Path) -> Iterator[Path]:
    """For what is done to the file meanwhile."""
    before = path.read_bytes()
    yield path
    path.write_bytes(before)


def why_left_out(pipeline: TinyPipeline, spec: PipelineSpec | None = None) -> str:
    """What the report would say of the seed runs that there are; nothing where it compares over them."""
    paths, spec = pipeline.paths, spec or pipeline.spec
    refuse_other_examples(paths)
    _, why = usable_seed_runs(paths, spec, wide_predictions(paths, spec, truth=paths.truth))
    return why.removeprefix("There are seed runs with 2 seeds, but ").partition(", so they")[0]


def test_the_nightly_run_does_without_and_nothing_is_out_of_sync(nightly: Project) -> None:
    assert nightly.instance.get_latest_materialization_event(KEY) is None
    assert not nightly.pipeline.paths.seed_runs.exists()
    assert nightly.out_of_sync() == {}
    assert "seeds" not in nightly.metadata("evaluation")
    assert frame(nightly, "seeds").is_empty()
    assert frame(nightly, "text").is_empty()
    assert frame(nightly, "comparisons")["seeds"].unique().to_list() == [1]
    nightly.run_or_fail("evaluation")
    assert nightly.out_of_sync() == {}


def test_two_seeds_from_run_config_reach_the_report(nightly: Project) -> None:
    materialize_seeds(nightly, "evaluation", seeds=2)
    assert nightly.out_of_sync() == {}
    metadata = nightly.metadata("seed_runs")
    # One for all tasks, three for one, one without text for each seed, and one more for each task that the guard took.
    assert metadata["seeds"] == "0, 1"
    assert metadata["networks"] in range(6, 6 + 2 * 3 + 1)
    comparisons = frame(nightly, "comparisons")
    assert comparisons["seeds"].unique().to_list() == [2]
    assert set(frame(nightly, "seeds")["model"]) == {"multi_task", "single_task", "without_text"}
    assert set(frame(nightly, "text")["part"]) == {"all test rows", "other items"}
    assert "against without_text, the same network" in report(nightly)
    assert "each difference is the mean over 2 seeds" in report(nightly)
    assert "| watched | all test rows |" in str(nightly.metadata("evaluation")["text vectors"])

    pipeline = nightly.pipeline
    training = pipeline.spec.training.model_copy(update={"learning_rate": 1e-7})
    slower = pipeline.spec.model_copy(update={"training": training})
    assert why_left_out(pipeline, slower) == "with other settings"
    baselines = pipeline.paths.baselines / "predictions.parquet"
    with other_content(baselines):
        pl.read_parquet(baselines).reverse().write_parquet(baselines)
        write_checksums(baselines.parent)
        assert why_left_out(pipeline) == "beside older baselines"
    write_checksums(baselines.parent)
    with other_content(pipeline.paths.embeddings("items")) as embeddings:
        found = read_vectors(embeddings)
        hashes = pa.array([bytes(16)] * len(found.ids), pa.binary(16))
        write_vectors(embeddings, found.ids, -found.vectors, hashes, found.metadata)
        assert why_left_out(pipeline) == "with other text vectors"
    assert why_left_out(pipeline, with_seeds(pipeline.spec, 3)) == ""

    # More negatives are other examples, for the same model.
    more = pipeline.spec.model_copy(update={"negatives": Negatives(per_positive=3)})
    rebuilt = Project(pipeline, define_pipeline(PIPELINE, more), nightly.instance)
    rebuilt.run_or_fail("examples")
    with pytest.raises(UserError, match=r"model was made from other examples .*, so materialize model again"):
        why_left_out(pipeline, more)
    nightly.run_or_fail("examples")
    assert why_left_out(pipeline) == ""

    # A model of another seed: what was trained_seeds is of the model before.
    other = nightly.pipeline.spec.model_copy(update={"seed": 9})
    changed = Project(nightly.pipeline, define_pipeline(PIPELINE, other), nightly.instance)
    changed.run_or_fail("model", "evaluation")
    why = "of an older model and with other settings"
    assert (
        f"There are seed runs with 2 seeds, but {why}, so they are left out: materialize seed_runs of "
        in report(changed)
    )
    assert "The baselines were not trained with the seed of the model, so a difference" in report(changed)
    assert "The baselines were not trained with the seed of the model" in str(
        changed.metadata("evaluation")["beware"]
    )
    assert "against without_text, the same network" not in report(changed)
    assert frame(changed, "comparisons")["seeds"].unique().to_list() == [1]
    assert frame(changed, "text").is_empty()

    declared = Project(nightly.pipeline, define_pipeline(PIPELINE, with_seeds(other, 2)), nightly.instance)
    (failure,) = declared.run("seed_runs").get_step_failure_events()
    assert "baselines was not trained with the present seed" in str(failure.step_failure_data.error)
    declared.run_or_fail("baselines", "seed_runs")
    assert declared.metadata("seed_runs")["seeds"] == "9, 10"

    materialize_seeds(changed, "evaluation", seeds=1)
    assert "so they are left out" not in report(changed)
    assert frame(changed, "comparisons")["seeds"].unique().to_list() == [1]


def test_without_a_model_they_say_what_to_do(project: Project) -> None:
    (failure,) = project.run("seed_runs").get_step_failure_events()
    assert failure.step_failure_data.user_failure_data is not None
    assert "materialize model first" in str(failure.step_failure_data.user_failure_data.description)


def make_report(*variables: str) -> Namespace:
    """What `make report` asks for."""
    shown = subprocess.run(
        ["make", "--dry-run", "--always-make", "report", "PIPELINE=movielens", *variables],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    commands = [shlex.split(line) for line in shown.replace("\\\n", " ").splitlines()]
    (words,) = [words for words in commands if "mtl_pipeline.run" in words]
    return parse(words[words.index("mtl_pipeline.run") + 1 :])


def test_make_report_leaves_the_seeds_to_the_pipeline_unless_told() -> None:
    assert make_report().config_json == {}


def test_make_report_makes_seed_runs_and_the_evaluation_with_its_seeds() -> None:
    options = make_report("SEEDS=4", "VERBOSE=1")
    assert (options.pipeline, options.assets) == ("movielens", ["seed_runs", "evaluation"])
    assert options.config_json == {"ops": {"movielens__seed_runs": {"config": {"seeds": 4}}}}
    keys = [dg.AssetKey([options.pipeline, asset]) for asset in options.assets]
    job = dg.define_asset_job("report", selection=dg.AssetSelection.assets(*keys))
    assert dg.validate_run_config(job.resolve(asset_graph=defs().resolve_asset_graph()), options.config_json)
