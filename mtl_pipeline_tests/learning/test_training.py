"""Training and its artifact on the tiny pipeline."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.architectures import ARCHITECTURES
from mtl_pipeline.learning.calibration.calibrator import Calibrator, load_calibration, save_calibration
from mtl_pipeline.learning.data.dataset import Dataset, TextVectors
from mtl_pipeline.learning.ranker.ranker import load_ranker, predict_examples, save_ranker
from mtl_pipeline.learning.training.batches import passes_per_epoch
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline.learning.training.train import train_ranker
from mtl_pipeline.publishing import publish_folder
from mtl_pipeline.spec import Model, PipelineSpec, Sequence
from mtl_pipeline.spec.features import Features
from mtl_pipeline.warehouse.checks import run_checks
from mtl_pipeline.warehouse.checks.outputs import model_checks
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline_tests.conftest import TinyPipeline


def predictions(pipeline: TinyPipeline, folder: str) -> pl.DataFrame:
    return predict_examples(pipeline.paths, pipeline.spec, pipeline.paths.data / folder)


def test_same_seed_same_model_and_it_reloads_the_same(prepared: TinyPipeline) -> None:
    for folder in ("first", "second"):
        train_ranker(
            prepared.paths, prepared.spec, target=prepared.paths.data / folder, log=lambda line: None
        )
    assert predictions(prepared, "first").equals(predictions(prepared, "second"))


def test_bins_of_numbers_are_those_of_training_and_saved_with_the_model(prepared: TinyPipeline) -> None:
    spec = prepared.spec.model_copy(update={"model": Model(numbers="piecewise", hidden=[8], tower=[])})
    dataset = Dataset(prepared.paths, spec)
    train_ranker(prepared.paths, spec, target=prepared.paths.model, log=lambda line: None)
    ranker, _ = load_ranker(prepared.paths.model, spec, dataset.text)
    numbers = ranker.network.representation.numbers
    assert numbers is not None
    train = dataset.encode(dataset.split("train"))
    assert torch.equal(numbers.edges.cpu()[:, 0], train.numeric.amin(0))
    assert torch.equal(numbers.edges.cpu()[:, -1], train.numeric.amax(0))


@pytest.mark.parametrize("clip", [True, False])
def test_a_number_beyond_those_of_training_counts_as_the_nearest_of_them(
    prepared: TinyPipeline, clip: bool
) -> None:
    """A video as long as no other came first for everybody: nothing in training said what that means."""
    features = prepared.spec.features.model_copy(update={"clip": clip})
    spec = prepared.spec.model_copy(update={"features": features})
    build_examples(prepared.paths, spec)
    dataset = Dataset(prepared.paths, spec)
    place = dataset.encoder.numeric_names.index("release_year")
    known, unheard_of = dataset.split("train"), dataset.split("test").with_columns(release_year=9_999)
    (found,) = dataset.encode(unheard_of).numeric[:, place].unique().tolist()
    largest = float(dataset.encode(known).numeric[:, place].max())
    assert (found == pytest.approx(largest)) == clip


@pytest.mark.parametrize(("epochs", "said"), [(1, "ran out before watched"), (30, "no task improves")])
def test_it_is_said_why_training_stopped(prepared: TinyPipeline, epochs: int, said: str) -> None:
    training = prepared.spec.training.model_copy(update={"epochs": epochs, "patience": 2})
    spec = prepared.spec.model_copy(update={"training": training})
    lines: list[str] = []
    summary = train_ranker(prepared.paths, spec, target=prepared.paths.model, log=lines.append)
    assert any(said in line for line in lines)
    assert said in summary.stopped_because
    results = run_checks(prepared.paths, list(model_checks(prepared.paths, prepared.spec)))
    assert {result.check.name for result in results if not result.passed} == (
        {"stopped_improving"} if epochs == 1 else set()
    )


def test_the_model_s_calibration_is_saved_with_it_and_used(prepared: TinyPipeline) -> None:
    paths, spec = prepared.paths, prepared.spec
    summary = train_ranker(paths, spec, target=paths.model, log=lambda line: None)
    calibration = load_calibration(paths.model)
    assert summary.calibration == {task: str(found) for task, found in calibration.items()}
    assert list(calibration) == [task.name for task in spec.tasks]

    calibration["watched"] = Calibrator("platt", slope=0.5, intercept=1.0)
    save_calibration(paths.model, calibration)
    write_checksums(paths.model)
    calibrated = predictions(prepared, "model")
    after, before = calibrated["prediction/multi_task/watched"], calibrated["uncalibrated/multi_task/watched"]
    assert np.array_equal(after.to_numpy(), calibration["watched"].apply(before.to_numpy()))
    ranker, encoder = load_ranker(paths.model, spec, TextVectors.read(paths, spec))
    assert ranker.calibration == calibration
    examples = pl.read_parquet(paths.examples / "examples.parquet").filter(pl.col("split") != "train")
    recommended = ranker.predict(encoder.encode(examples))["watched"]  # as for recommendations
    assert np.array_equal(recommended, after.to_numpy())


def test_how_a_task_is_learned_is_no_reason_to_refuse_a_model(prepared: TinyPipeline) -> None:
    train_ranker(prepared.paths, prepared.spec, target=prepared.paths.model, log=lambda line: None)

    def declared(**change: object) -> PipelineSpec:
        tasks = [task.model_copy(update=change) for task in prepared.spec.tasks]
        return prepared.spec.model_copy(update={"tasks": tasks})

    predict_examples(prepared.paths, declared(weight=2.0), prepared.paths.model)
    with pytest.raises(UserError, match="other tasks"):
        predict_examples(prepared.paths, declared(label="other"), prepared.paths.model)


def test_a_model_of_features_that_are_gone_is_refused(prepared: TinyPipeline) -> None:
    train_ranker(prepared.paths, prepared.spec, target=prepared.paths.model, log=lambda line: None)
    examples = prepared.paths.examples / "examples.parquet"
    pl.read_parquet(examples).drop("age").write_parquet(examples)
    write_checksums(prepared.paths.examples)
    with pytest.raises(UserError, match=r"features that the examples lack \(age\)"):
        predictions(prepared, "model")
    features = prepared.spec.features.model_dump(exclude_unset=True)
    features["users"]["numeric"].remove("age")
    features["items"].setdefault("numeric", []).append("age")
    moved = prepared.spec.model_copy(update={"features": Features.model_validate(features)})
    with pytest.raises(UserError, match=r"on other features than defs\.yaml declares"):
        load_ranker(prepared.paths.model, moved, TextVectors.read(prepared.paths, moved))


def test_a_model_that_reads_the_labels_of_a_sequence_in_another_order_is_refused(
    prepared: TinyPipeline,
) -> None:
    def declared(*labels: str) -> PipelineSpec:
        features = {"sequence": Sequence(last=5, labels=list(labels))}
        encoder = {"sequence_encoder": "target_attention"}
        return prepared.spec.model_copy(
            update={
                "features": prepared.spec.features.model_copy(update=features),
                "model": prepared.spec.model.model_copy(update=encoder),
            }
        )

    paths, spec = prepared.paths, declared("rating", "liked")
    build_examples(paths, spec)
    train_ranker(paths, spec, target=paths.model, log=lambda line: None)
    load_ranker(paths.model, spec, TextVectors.read(paths, spec))
    with pytest.raises(UserError, match=r"on other features than defs\.yaml declares"):
        load_ranker(paths.model, declared("liked", "rating"), TextVectors.read(paths, spec))


def test_a_model_of_another_version_of_the_network_is_refused(prepared: TinyPipeline) -> None:
    train_ranker(prepared.paths, prepared.spec, target=prepared.paths.model, log=lambda line: None)
    config = prepared.paths.model / "config.json"
    changed = json.loads(config.read_text())
    changed["model"]["tower"] = [3]
    config.write_text(json.dumps(changed))
    write_checksums(prepared.paths.model)
    with pytest.raises(UserError, match="another version of this project"):
        predictions(prepared, "model")


def test_a_model_of_another_encoder_is_refused(prepared: TinyPipeline) -> None:
    train_ranker(prepared.paths, prepared.spec, target=prepared.paths.model, log=lambda line: None)
    config = prepared.paths.model / "config.json"
    changed = json.loads(config.read_text()) | {"text_encoders": {"users": "other", "items": "other"}}
    config.write_text(json.dumps(changed))
    write_checksums(prepared.paths.model)
    with pytest.raises(UserError, match="with other text vectors"):
        predictions(prepared, "model")


def test_few_rows_are_gone_through_several_times_between_validation_rounds() -> None:
    assert passes_per_epoch(rows=1_000_000, batch_size=2048) == 1
    assert passes_per_epoch(rows=40 * 2048, batch_size=2048) == 1
    assert passes_per_epoch(rows=2_800, batch_size=2048) == 30


@pytest.mark.parametrize("normalisation", ["labels", "tasks"])
def test_a_task_counts_by_the_share_of_rows_on_which_it_is_observed(
    prepared: TinyPipeline, normalisation: str
) -> None:
    training = {"loss_normalisation": normalisation, "weighting": "static", "epochs": 1}
    spec = prepared.spec.model_copy(update={"training": prepared.spec.training.model_copy(update=training)})
    dataset = Dataset(prepared.paths, spec)
    fit = fit_network(dataset, spec, spec.tasks, lambda line: None)
    observed = dataset.split("train").select(pl.col(task.name).is_not_null().mean() for task in spec.tasks)
    assert 0 < observed["liked"].item() < 1
    for task in spec.tasks:
        expected = observed[task.name].item() if normalisation == "labels" else 1.0
        assert fit.log[-1][f"weight/{task.name}"] == pytest.approx(expected)


def test_a_model_whose_weights_have_their_earlier_names_predicts_as_it_did(prepared: TinyPipeline) -> None:
    paths, spec = prepared.paths, prepared.spec
    train_ranker(paths, spec, target=paths.model, log=lambda line: None)
    before = predict_examples(paths, spec, paths.model)
    file = paths.model / "model.safetensors"
    weights = {
        name.replace("architecture.shared.", "shared.")
        .replace("architecture.", "shared.")
        .replace("representation.interaction", "match")
        .removeprefix("representation."): value
        for name, value in load_file(file).items()
    }
    assert {"shared.first.weight", "match.user_side.weight", "ids.user_id.table.weight"} <= weights.keys()
    save_file(weights, file)
    write_checksums(paths.model)
    assert predict_examples(paths, spec, paths.model).equals(before)


def test_a_model_whose_config_lacks_what_it_says_now_predicts_as_it_did(prepared: TinyPipeline) -> None:
    paths, spec = prepared.paths, prepared.spec
    train_ranker(paths, spec, target=paths.model, log=lambda line: None)
    before = predict_examples(paths, spec, paths.model)
    config = json.loads((paths.model / "config.json").read_text())
    for section, key in (("model", "cross_layers"), ("model", "expert_normalisation"), ("shape", "given")):
        del config[section][key]
    (paths.model / "config.json").write_text(json.dumps(config))
    write_checksums(paths.model)
    assert predict_examples(paths, spec, paths.model).equals(before)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_of_any_architecture_reloads_the_same(prepared: TinyPipeline, architecture: str) -> None:
    model = prepared.spec.model.model_copy(update={"architecture": architecture, "cross_layers": 1})
    spec = prepared.spec.model_copy(update={"model": model})
    dataset = Dataset(prepared.paths, spec)
    fit = fit_network(dataset, spec, spec.tasks, lambda line: None)
    with publish_folder(prepared.paths.model) as folder:
        save_ranker(folder, fit.ranker, fit.shape, spec, dataset)
    loaded, _ = load_ranker(prepared.paths.model, spec, dataset.text)
    before, after = (ranker.predict(dataset.validation) for ranker in (fit.ranker, loaded))
    assert all(np.array_equal(before[task], after[task]) for task in before)
    assert fit.best["score"] < 1
