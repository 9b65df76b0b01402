"""Recommendations that make sense, or warn, from a log with an item that is bought most and always sent back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.champions import Decision, carry_out, champion_folder
from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.components.assets.evaluation import evaluation_asset
from mtl_pipeline.components.assets.model import model_asset
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.learning.ranker.provenance import TRAINED_WITH, write_trained_with
from mtl_pipeline.learning.training.train import train_ranker
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.checks import checks_by_asset, run_checks
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.workflows.recommend import recommend_items
from mtl_pipeline_tests.conftest import small_spec
from mtl_pipeline_tests.warehouse.shops import prepare

COAT_RACK, ITEMS, USERS, ROWS = 7, 25, 50, 4_000
LOG = """
SELECT visitor::INTEGER AS user_id, product::INTEGER AS item_id, "at"::TIMESTAMP AS timestamp,
    bought::INTEGER AS bought, TRY_CAST(returned AS INTEGER) AS returned,
    source_file, source_line, NULL::STRUCT("column" VARCHAR, reason VARCHAR) AS rejection
FROM raw_interactions
"""
DECLARED: dict = {
    "raw": {"users": None, "items": None},
    "features": {
        "history": [
            {"by": ["item_id"], "statistic": "mean", "label": label} for label in ("bought", "returned")
        ]
    },
    "tasks": [
        {"name": "bought", "kind": "binary"},
        {"name": "returned", "kind": "binary", "given": "bought", "good": True},
    ],
    "recommendations": {"exclude": "nothing", "per_user": 3},
}


def lines() -> list[str]:
    rng = np.random.default_rng(0)
    items = rng.integers(ITEMS, size=ROWS)
    bought = rng.random(ROWS) < np.where(items == COAT_RACK, 0.9, 0.3)
    returned = rng.random(ROWS) < np.where(items == COAT_RACK, 0.95, 0.1)
    return [
        f"{rng.integers(USERS)},{item},2026-01-01 {row // 3600:02}:{row // 60 % 60:02}:{row % 60:02},{int(buys)},"
        f"{int(back) if buys else ''}"
        for row, (item, buys, back) in enumerate(zip(items, bought, returned, strict=True))
    ]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> PipelinePaths:
    """With a model that recommends."""
    header, root = "visitor,product,at,bought,returned", tmp_path_factory.mktemp("shop")
    paths, _ = prepare(root, LOG, DECLARED, header, lines())
    spec = small_spec(DECLARED, training={"epochs": 6, "batch_size": 256, "learning_rate": 0.01})
    build_examples(paths, spec)
    model = train_ranker(paths, spec, target=paths.model, log=lambda line: None).fingerprint
    carry_out(
        paths, Decision("first", model, None, promote=True, usable=False, reasons=[], comparisons=[]), keep=2
    )
    return paths


def declared(**changes: object) -> PipelineSpec:
    bought, returned = DECLARED["tasks"]
    recommendations = DECLARED["recommendations"] | changes.pop("recommendations", {})
    return small_spec(DECLARED, tasks=[bought, returned | changes], recommendations=recommendations)


def recommended(paths: PipelinePaths, spec: PipelineSpec) -> tuple[pl.DataFrame, set[str]]:
    """And which checks fail."""
    recommend_items(paths, spec, log=lambda line: None)
    results = run_checks(paths, checks_by_asset(paths, spec)["recommendations"])
    return pl.read_parquet(paths.recommendations), {
        result.check.name for result in results if not result.passed
    }


def test_where_returns_are_called_good_the_coat_rack_is_first_for_everybody_and_that_is_warned_of(
    shop: PipelinePaths,
) -> None:
    rows, failed = recommended(shop, declared())
    assert rows.filter(rank=1, item_id=COAT_RACK).height > 0.9 * rows["user_id"].n_unique()
    assert failed == {"same_first_item"}
    report = (shop.recommendations_report / "report.md").read_text()
    assert "Scored by the champion" in report
    assert "same first item is" in report


def test_what_comes_back_is_recommended_to_hardly_anybody(shop: PipelinePaths) -> None:
    rows, _ = recommended(shop, declared(good=False))
    assert rows.filter(item_id=COAT_RACK).height < 0.1 * rows["user_id"].n_unique()
    assert rows["score"].is_between(0, 1).all()


def test_what_is_good_changes_the_lists_of_the_report_and_no_training(shop: PipelinePaths) -> None:
    contexts = [PipelineContext("shop", spec, shop) for spec in (declared(), declared(good=False))]
    for asset, changes in ((evaluation_asset, True), (model_asset, False)):
        before, after = (asset(context).code_versions_by_key for context in contexts)
        assert (before != after) == changes


def test_a_candidate_stage_with_all_items_changes_nothing(shop: PipelinePaths) -> None:
    full, _ = recommended(shop, declared(good=False))
    stage = {"sources": ["popular", "neighbours"], "each": ITEMS}
    spec = declared(good=False, recommendations={"candidates": stage})
    staged, failed = recommended(shop, spec)
    assert staged.select("user_id", "item_id", "rank").equals(full.select("user_id", "item_id", "rank"))
    figures = pl.read_parquet(shop.recommendations_report / "figures.parquet")
    assert figures.filter(figure="candidate recall")["value"].item() == 1
    assert "candidate_recall" not in failed


def test_a_stage_that_misses_the_best_is_warned_of(shop: PipelinePaths) -> None:
    _, failed = recommended(
        shop, declared(recommendations={"candidates": {"sources": ["newest"], "each": 3}})
    )
    assert {"candidate_recall", "candidate_score_kept"} <= failed


def test_lists_against_popularity_are_complete_and_say_what_they_cost(shop: PipelinePaths) -> None:
    _, failed = recommended(shop, declared(good=False, recommendations={"popularity_correction": 1}))
    assert "ranks_complete" not in failed
    figures = pl.read_parquet(shop.recommendations_report / "figures.parquet")
    assert 0 < figures.filter(figure="score kept by re-ranking")["value"].item() < 1


def test_what_a_model_of_some_training_rows_saw_is_not_known(shop: PipelinePaths, tmp_path: Path) -> None:
    """Its vocabulary is that of all of them."""
    shutil.copytree(shop.root, tmp_path / "root", symlinks=True)
    paths = PipelinePaths(tmp_path / "root", shop.pipeline)
    described = recommend_items(paths, declared(), log=lambda line: None).figures
    assert {name for name in described if name.startswith("untrained")} == {
        "untrained items",
        "untrained users",
    }
    _, champion = champion_folder(paths)
    trained = json.loads((champion / TRAINED_WITH).read_text())
    trained["training"]["rows"] = 100
    write_trained_with(champion, trained)
    write_checksums(champion)
    thinned = recommend_items(paths, declared(), log=lambda line: None).figures
    assert set(described) - set(thinned) == {"untrained items", "untrained users"}
