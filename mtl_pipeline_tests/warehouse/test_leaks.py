"""Warnings about examples that give the answer away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.checks import CheckResult, run_checks
from mtl_pipeline.warehouse.checks.leaks import leak_checks
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline_tests.warehouse.shops import SHOP, SHOP_LOG, prepare

VISITS = 2_000
CONTEXT = {"interactions": {"categorical": ["device"], "numeric": ["position"]}}
CLICKS_ONLY = {"tasks": SHOP["tasks"][:1], "negatives": {"per_positive": 2}}
DECLARED = {"recommendations": {"context": {"device": "phone", "position": 1}}}


@dataclass
class Visit:
    """What is drawn of a line of the log, in this order."""

    number: int
    user: int
    product: int = 0
    click: int = 1


Draw = Callable[[np.random.Generator, Visit], object]


def log(
    product: Draw = lambda rng, visit: rng.integers(40),
    click: Draw = lambda rng, visit: 1,
    position: Draw = lambda rng, visit: rng.integers(1, 9),
) -> list[str]:
    rng, lines = np.random.default_rng(0), []
    for number in range(VISITS):
        visit = Visit(number, int(rng.integers(60)))
        visit.product = int(str(product(rng, visit)))
        visit.click = int(str(click(rng, visit)))
        minute = f"2026-01-{1 + number // 100:02} {number % 100 // 60:02}:{number % 60:02}:00"
        device = rng.choice(["phone", "tablet"])
        lines.append(
            f"{visit.user},p{visit.product},{minute},{visit.click},0,3,{device},{position(rng, visit)}"
        )
    return lines


def coin(rng: np.random.Generator, visit: Visit) -> object:
    return rng.integers(2)


def warnings(root: Path, lines: list[str], **changes: object) -> dict[str, pl.DataFrame]:
    """The checks that fail, each with its offences."""
    header = "visitor,product,at,click,purchase,stars,device,position"
    paths, spec = prepare(root, SHOP_LOG, SHOP | {"features": CONTEXT} | changes, header, lines)
    build_examples(paths, spec)
    return failed(paths, spec)


def failed(paths: PipelinePaths, spec: PipelineSpec) -> dict[str, pl.DataFrame]:
    results: list[CheckResult] = run_checks(paths, list(leak_checks(paths, spec)))
    assert not any(result.check.blocking for result in results)
    return {result.check.name: result.sample for result in results if not result.passed}


def test_honest_examples_pass(tmp_path: Path) -> None:
    assert warnings(tmp_path / "shown", log(click=coin), **DECLARED) == {}
    assert warnings(tmp_path / "sampled", log(), **CLICKS_ONLY, **DECLARED) == {}


def test_a_column_of_the_item_must_not_be_copied_to_negatives(tmp_path: Path) -> None:
    """A price in the log: a negative would have that of the item that was bought."""
    priced = log(position=lambda rng, visit: visit.product // 2 if rng.random() < 0.98 else 0)
    found = warnings(tmp_path / "sampled", priced, **CLICKS_ONLY, **DECLARED)
    assert found["negatives_copy_no_column_of_items"]["column"].to_list() == ["position"]
    assert warnings(tmp_path / "shown", priced, **DECLARED) == {}


@pytest.mark.parametrize(
    "position",
    [
        lambda rng, visit: visit.click * 5 + rng.integers(5),
        lambda rng, visit: 9 - visit.click * 5 - rng.integers(4),
        lambda rng, visit: "" if visit.click else 5,
    ],
    ids=["higher", "lower", "missing"],
)
def test_a_number_that_tells_the_label(tmp_path: Path, position: Draw) -> None:
    found = warnings(tmp_path, log(position=position, click=coin), **DECLARED)
    assert found["no_feature_tells_the_label"].select("task", "feature").rows() == [("click", "position")]


def test_a_category_tells_the_label_only_if_it_does_so_for_other_rows(tmp_path: Path) -> None:
    features = {"features": {"interactions": {"categorical": ["position"]}}, "recommendations": {}}
    own = log(position=lambda rng, visit: visit.number, click=coin)
    assert "no_feature_tells_the_label" not in warnings(tmp_path / "own", own, **features)
    shared = log(position=lambda rng, visit: 2 * rng.integers(20) + visit.click, click=coin)
    found = warnings(tmp_path / "shared", shared, **features)
    assert found["no_feature_tells_the_label"]["feature"].to_list() == ["position"]


def test_who_has_bought_before_is_no_secret_if_negatives_were_never_met_before(tmp_path: Path) -> None:
    """Users come back to the same two products: every row with a count above zero was a positive."""
    again = log(product=lambda rng, visit: visit.user % 20 * 2 + rng.integers(2))
    by_pair = {"by": ["user_id", "item_id"], "statistic": "count", "label": "click"}
    features = {"features": {"history": [by_pair]}}
    found = warnings(tmp_path / "before", again, **CLICKS_ONLY | features)
    assert found["no_feature_tells_the_label"]["feature"].to_list() == ["user_item_click_count"]
    moment = {"negatives": {"per_positive": 2, "unmet": "same_moment"}}
    few = log(product=lambda rng, visit: rng.integers(3))
    assert warnings(tmp_path / "moment", few, **CLICKS_ONLY | features | moment) == {}


def test_recommendations_without_a_moment_that_training_always_knew(tmp_path: Path) -> None:
    lines = log(click=coin)
    found = warnings(tmp_path / "none", lines)
    assert found["recommendations_know_their_moment"]["feature"].to_list() == ["device", "position"]
    strange = {"recommendations": {"context": {"device": "toaster", "position": 1}}}
    found = warnings(tmp_path / "strange", lines, **strange)
    assert found["recommendations_know_their_moment"].rows() == [("device", "toaster never seen in training")]
