"""The guard, on tasks made to conflict and trained for real: it finds the harm, mends it, and leaves alone the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, logit

from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.errors import UserError
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.sections import joint_training
from mtl_pipeline.evaluation.studies.runs.guard import judge_members, measure_guard
from mtl_pipeline.evaluation.studies.scoring import evaluate
from mtl_pipeline.learning.baselines.predict import predict_baselines
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.ranker.provenance import refuse_other_training, unequal_training
from mtl_pipeline.learning.ranker.ranker import predict_examples
from mtl_pipeline.learning.training.guard import joint_predictions, read_guard
from mtl_pipeline.learning.training.seed_runs import read_seed_runs, train_seeds
from mtl_pipeline.learning.training.train import TrainingSummary, train_ranker
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec, Task
from mtl_pipeline.workflows.train import judge_of, train_model
from mtl_pipeline_tests.conflict import CONFLICT, NARROW, WIDE, write_conflict


def declared(model: dict, **training: object) -> PipelineSpec:
    spec = PipelineSpec.model_validate(CONFLICT | {"model": model})
    return spec.model_copy(update={"training": spec.training.model_copy(update=training)})


def train(paths: PipelinePaths, spec: PipelineSpec) -> tuple[TrainingSummary, list[str]]:
    """With the lines that were logged."""
    lines: list[str] = []
    return train_model(paths, spec, target=paths.model, log=lines.append), lines


def trained_by_baselines(paths: PipelinePaths, spec: PipelineSpec) -> bool:
    """Whether the baselines, made now, train the networks for single tasks themselves."""
    lines: list[str] = []
    predict_baselines(paths, spec, target=paths.baselines, log=lines.append)
    return trains_alone(lines)


def trains_alone(lines: list[str]) -> bool:
    return any("alone, epoch" in line for line in lines)


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> PipelinePaths:
    """A guarded model, and baselines, of tasks that conflict. Only to be read."""
    paths, spec = write_conflict(tmp_path_factory.mktemp("mended")), declared(NARROW)
    summary, _ = train(paths, spec)
    assert summary.predicted_by == {"loud": "own", "quiet": "own"}
    assert not trained_by_baselines(paths, spec)
    return paths


@pytest.fixture
def paths(mended: PipelinePaths, tmp_path: Path) -> PipelinePaths:
    """The same, to be changed."""
    shutil.copytree(mended.root, tmp_path / "root", symlinks=True)
    return PipelinePaths(tmp_path / "root", mended.pipeline)


def test_a_task_that_joint_training_hurts_is_predicted_by_its_own_network(
    mended: PipelinePaths,
) -> None:
    found = predict_examples(mended, declared(NARROW), mended.model)
    own = pl.read_parquet(mended.baselines / "predictions.parquet")["prediction/single_task/quiet"]
    assert np.array_equal(found["prediction/multi_task/quiet"].to_numpy(), own.to_numpy())


def test_the_report_says_what_the_guard_did_and_hides_no_harm(mended: PipelinePaths) -> None:
    spec = declared(NARROW)
    baselines = pl.read_parquet(mended.baselines / "predictions.parquet")
    predictions = predict_examples(mended, spec, mended.model).join(baselines, on="example_id")
    joint, judged = joint_predictions(mended, spec, mended.model), read_guard(mended.model)
    assert judged is not None
    guard = measure_guard(
        predictions.join(joint, on="example_id"), judged, spec.tasks, bootstrap_samples=200, seed=0
    )
    harm = guard.filter(split="test", baseline="single_task", task="quiet", metric="roc_auc")
    assert harm.select("predicted_by", "verdict").row(0) == ("own", "worse")
    assert harm["difference"].item() < -0.1

    evaluation = evaluate(predictions, spec.tasks, bootstrap_samples=200)
    context = ReportContext("conflict", predictions, parts={"guard": guard})
    (section,) = joint_training.sections(evaluation, context)
    assert section.points[1] == (
        "quiet: joint training hurts in ROC-AUC and log-loss on validation rows; its own network, better there, "
        "predicts."
    )
    (table,) = section.tables
    quiet = [cell.text for cell in table.cells[1]]
    assert quiet[:3] == ["quiet", "its own network", "ROC-AUC ↑"]
    assert ["✗" in cell for cell in quiet[3:]] == [True, True, False]


def test_a_task_left_to_its_own_network_is_no_better_nor_worse_than_that_network(
    paths: PipelinePaths,
) -> None:
    """Not even by a rounding error of its calibration: a network may round otherwise in a batch that ends elsewhere."""
    examples = paths.examples / "examples.parquet"
    mood = pl.sum_horizontal(pl.col("other") > limit for limit in (-1, 1)).cast(pl.Int8)
    rows = pl.read_parquet(examples).with_columns(mood=mood)
    rows.remove(example_id=rows.filter(split="validation")["example_id"][0]).write_parquet(examples)
    write_checksums(paths.examples)
    classes = Task(name="mood", kind="ordinal", classes=["low", "middle", "high"])
    spec = declared(NARROW, epochs=1).model_copy(
        update={"tasks": [Task(name="loud", kind="binary"), classes]}
    )
    own = pl.DataFrame({"task": ["loud", "mood"], "predicted_by": ["own", "own"]})
    train_ranker(paths, spec, target=paths.model, judge=lambda rows: own, log=lambda line: None)
    predict_baselines(paths, spec, target=paths.baselines, log=lambda line: None)
    baselines = pl.read_parquet(paths.baselines / "predictions.parquet")
    predictions = predict_examples(paths, spec, paths.model).join(baselines, on="example_id")
    assert "uncalibrated/multi_task/mood" in predictions.columns
    assert predictions["prediction/multi_task/mood"].equals(predictions["prediction/single_task/mood"])
    compared = evaluate(predictions, spec.tasks, bootstrap_samples=50).comparisons
    assert set(compared.filter(baseline="single_task")["verdict"]) == {"no difference shown"}


def test_where_both_tasks_have_room_the_guard_changes_nothing(paths: PipelinePaths) -> None:
    guarded, _ = train(paths, declared(WIDE, hedge=False))
    assert guarded.predicted_by == {"loud": "joint", "quiet": "joint"}
    predictions = predict_examples(paths, declared(WIDE), paths.model)
    unguarded, _ = train(paths, declared(WIDE, guard=False))
    assert unguarded.predicted_by == {}
    assert read_guard(paths.model) is None
    assert predict_examples(paths, declared(WIDE), paths.model).equals(predictions)


def test_the_baselines_train_the_same_networks_where_the_model_left_none_of_use(paths: PipelinePaths) -> None:
    def predicted() -> pl.DataFrame:
        return pl.read_parquet(paths.baselines / "predictions.parquet")

    before, spec = predicted(), declared(NARROW)
    (paths.single_task / "trained_with.json").unlink()
    write_checksums(paths.single_task)
    assert trained_by_baselines(paths, spec)
    assert predicted().equals(before)
    assert trains_alone(train(paths, spec)[1])
    assert not trained_by_baselines(paths, spec)
    train(paths, declared(NARROW, epochs=1))
    assert trained_by_baselines(paths, spec)
    assert predicted().equals(before)
    shutil.rmtree(paths.single_task.resolve())
    paths.single_task.unlink()
    assert trained_by_baselines(paths, spec)
    assert predicted().equals(before)


def test_another_guard_needs_no_other_baselines(paths: PipelinePaths) -> None:
    spec = declared(NARROW, hedge=False)
    _, lines = train(paths, spec)
    assert not trains_alone(lines), "nor other networks for single tasks"
    assert not trained_by_baselines(paths, declared(NARROW))
    assert not trained_by_baselines(paths, declared(NARROW, guard=False))
    assert unequal_training(paths) == []
    refuse_other_training(paths, Dataset(paths, spec), spec)
    with pytest.raises(UserError, match="model was not trained with the present hedge, so"):
        refuse_other_training(paths, Dataset(paths, spec), declared(NARROW))


def test_a_model_of_an_earlier_release_is_one_network(paths: PipelinePaths) -> None:
    spec = declared(NARROW, guard=False)
    train(paths, spec)
    before = predict_examples(paths, spec, paths.model)
    config = paths.model / "config.json"
    known = json.loads(config.read_text())
    del known["members"]
    config.write_text(json.dumps(known))
    write_checksums(paths.model)
    assert predict_examples(paths, spec, paths.model).equals(before)


def test_members_predict_by_the_mean_of_their_log_odds(paths: PipelinePaths) -> None:
    def predicted(**changes: object) -> np.ndarray:
        spec = declared(WIDE, guard=False, calibration="none", epochs=2, members=changes.pop("members", 1))
        spec = spec.model_copy(update=changes)
        train(paths, spec)
        return (
            predict_examples(paths, spec, paths.model)["prediction/multi_task/quiet"]
            .to_numpy()
            .astype(np.float64)
        )

    first, second = (logit(predicted(seed=seed)) for seed in (2, 3))
    assert np.abs(first - second).max() > 0.01
    assert predicted(seed=1, members=2) == pytest.approx(expit((first + second) / 2), abs=1e-6)


def test_further_seeds_are_guarded_as_the_model_is(paths: PipelinePaths) -> None:
    spec = declared(NARROW)
    train_seeds(
        paths,
        spec,
        seeds=2,
        made_from={},
        target=paths.seed_runs,
        judge=judge_of(spec),
        log=lambda line: None,
    )
    summary, found = read_seed_runs(paths.seed_runs)
    assert summary.networks == 3, "each network is trained once"
    by_model = {name: found.filter(model=name)["prediction/quiet"] for name in ("multi_task", "single_task")}
    assert by_model["multi_task"].equals(by_model["single_task"])


TASK = Task(name="click", kind="binary")


@pytest.mark.parametrize(
    ("joint", "own", "hedge", "predicted_by"),
    [
        (0.2, 2.0, True, "joint"),
        (1.0, 1.0, False, "joint"),
        (1.0, 1.0, True, "mean"),
        (1.4, 1.0, False, "mean"),
        (4.0, 0.5, True, "own"),
    ],
)
def test_a_task_leaves_the_joint_network_for_proof_and_hedges_for_less(
    joint: float, own: float, hedge: bool, predicted_by: str
) -> None:
    """The noise of each network's log odds; independent, so that their mean has less than either unless one has much
    more than the other."""
    random = np.random.default_rng(0)
    truth = 2 * random.normal(size=4_000)
    noises = {"joint": joint * random.normal(size=4_000), "own": own * random.normal(size=4_000)}
    noises["mean"] = (noises["joint"] + noises["own"]) / 2
    rows = pl.DataFrame(
        {
            "example_id": np.arange(4_000),
            "split": "validation",
            "label/click": (random.random(4_000) < expit(truth)).astype(np.float64),
        }
        | {f"prediction/{name}/click": expit(truth + noise) for name, noise in noises.items()}
    )
    judged = judge_members(rows, [TASK], hedge=hedge, seed=0)
    assert set(judged["predicted_by"]) == {predicted_by}


def test_without_a_validation_label_nothing_is_shown_and_nothing_is_changed() -> None:
    rows = pl.DataFrame(
        {"example_id": [1], "split": ["validation"], "label/click": [None]}
        | {f"prediction/{name}/click": [0.5] for name in ("joint", "own", "mean")},
        schema_overrides={"label/click": pl.Float64},
    )
    judged = judge_members(rows, [TASK], hedge=True, seed=0)
    assert set(judged["predicted_by"]) == {"joint"}


@pytest.mark.parametrize(("rows", "predicted_by"), [(9, "joint"), (40, "mean")])
def test_nothing_is_hedged_on_rows_too_few_for_an_interval(rows: int, predicted_by: str) -> None:
    labels = np.arange(rows) % 2
    told = {"joint": 0.4 + 0.2 * labels, "own": 0.4 + 0.2 * labels, "mean": 0.3 + 0.4 * labels}
    for predictions in told.values():
        predictions[:2] = 0.5
    told["mean"][:2] = 0.4, 0.6
    frame = pl.DataFrame(
        {"example_id": np.arange(rows), "split": "validation", "label/click": labels.astype(np.float64)}
        | {f"prediction/{name}/click": predictions for name, predictions in told.items()}
    )
    judged = judge_members(frame, [TASK], hedge=True, seed=0)
    assert set(judged["predicted_by"]) == {predicted_by}
