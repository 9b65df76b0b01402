"""Gate weights: what each task listens to."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from mtl_pipeline.learning.explain.experts import dead_units, expert_use
from mtl_pipeline.learning.explain.probing import open_probe
from mtl_pipeline.learning.training.train import train_ranker
from mtl_pipeline_tests.conftest import TinyPipeline


def test_the_weights_of_each_task_add_up_to_one(prepared: TinyPipeline) -> None:
    paths, spec = prepared.paths, prepared.spec
    train_ranker(paths, spec, target=paths.model, log=lambda line: None)
    found = expert_use(open_probe(paths, spec, paths.model))
    assert found["task"].unique(maintain_order=True).to_list() == ["watched", "liked", "rating"]
    assert found["expert"].to_list() == [1, 2] * 3
    by_task = found.partition_by("task")
    assert [rows["weight"].sum() for rows in by_task] == pytest.approx([1, 1, 1])
    assert (found["standard_deviation"] >= 0).all()
    assert found["dead"].is_between(0, 1).all()
    assert by_task[0]["rows"][0] > by_task[1]["rows"][0]  # liked is observed on watched rows only


def test_a_task_that_the_joint_network_does_not_predict_is_left_out(prepared: TinyPipeline) -> None:
    paths, spec = prepared.paths, prepared.spec
    said = pl.DataFrame({"task": ["watched", "liked", "rating"], "predicted_by": ["own", "mean", "joint"]})
    train_ranker(paths, spec, target=paths.model, judge=lambda rows: said, log=lambda line: None)
    found = expert_use(open_probe(paths, spec, paths.model)).filter(expert=1)
    assert found.select("task", "share").rows() == [("liked", 0.5), ("rating", 1.0)]


def test_a_task_does_not_read_what_is_another_tasks_own(prepared: TinyPipeline) -> None:
    paths = prepared.paths
    model = prepared.spec.model.model_copy(update={"architecture": "ple", "experts": 2, "task_experts": 1})
    spec = prepared.spec.model_copy(update={"model": model})
    train_ranker(paths, spec, target=paths.model, log=lambda line: None)
    found = expert_use(open_probe(paths, spec, paths.model))
    assert found["expert"].to_list() == [1, 2, 3, 4, 5] * 3
    assert found["owner"].to_list() == [None, None, "watched", "liked", "rating"] * 3
    others = found.filter(pl.col("owner").is_not_null(), pl.col("owner") != pl.col("task"))
    assert others["weight"].to_list() == [0.0] * 6
    assert found.group_by("task").agg(pl.col("weight").sum())["weight"].to_list() == pytest.approx([1, 1, 1])


def test_units_that_are_always_zero_or_never_change_are_dead() -> None:
    torch.manual_seed(0)
    alive, seldom = torch.randn(2, 1000).relu()
    dead, constant = torch.zeros(1000), torch.full([1000], 7.0)
    dead[:5] = 3.0
    seldom[20:] = 0.0
    experts = torch.stack([torch.stack([alive, seldom], 1), torch.stack([dead, constant], 1)])
    experts = torch.cat([experts, torch.stack([torch.stack([constant, alive], 1)])])
    assert dead_units(list(experts.split(300, 1))).tolist() == [0, 1, 0.5]


def test_units_of_normalised_experts_are_alive_and_what_they_learned_is_saved(prepared: TinyPipeline) -> None:
    paths = prepared.paths
    settings = {"architecture": "ple", "extraction_layers": 2, "expert_normalisation": "batch"}
    spec = prepared.spec.model_copy(update={"model": prepared.spec.model.model_copy(update=settings)})
    summary = train_ranker(paths, spec, target=paths.model, log=lambda line: None)
    assert summary.best_validation_score < 1
    probe = open_probe(paths, spec, paths.model)
    statistics = dict(probe.ranker.network.named_buffers())
    assert (statistics["architecture.shared.norms.0.running_var"] != 1).all()
    assert expert_use(probe)["dead"].max() == 0


def test_a_shared_bottom_has_none(prepared: TinyPipeline) -> None:
    paths = prepared.paths
    model = prepared.spec.model.model_copy(update={"architecture": "shared_bottom"})
    spec = prepared.spec.model_copy(update={"model": model})
    train_ranker(paths, spec, target=paths.model, log=lambda line: None)
    assert expert_use(open_probe(paths, spec, paths.model)).is_empty()
