"""The candidate stage: what its sources find for each user, and that candidates are as all items are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.features import candidates
from mtl_pipeline.warehouse.features.candidates import build_candidates
from mtl_pipeline_tests.warehouse.pairs import rows_of
from mtl_pipeline_tests.warehouse.shops import shop
from mtl_pipeline_tests.warehouse.test_sequences import SPEC, Event, write_log

# User, item, day, click, stars. Items 2 and 3 are chosen together; nobody meets item 5.
EVENTS: list[Event] = [
    (1, 2, 0, 1, 4), (1, 3, 1, 1, 5),
    (2, 2, 2, 1, 1), (2, 3, 3, 1, 3), (2, 1, 4, 0, None),
    (3, 2, 5, 1, None), (3, 4, 5, 0, None),
    (4, 4, 6, 0, None),
]  # fmt: skip


def with_stage(*sources: str, each: int, **more: object) -> PipelineSpec:
    stage = {"sources": sources, "each": each, **more}
    recommendations = {"exclude": "chosen", "per_user": 1, "candidates": stage}
    declared = SPEC.model_dump(mode="json", exclude_unset=True)
    return PipelineSpec.model_validate(declared | {"recommendations": recommendations})


def found(root: Path, *sources: str, each: int) -> dict[int, list[int]]:
    """By user, the candidates."""
    paths, _ = write_log(root, EVENTS)
    with build_candidates(paths, with_stage(*sources, each=each)) as made:
        rows = pl.concat(rows_of(made))
    return dict(rows.group_by("user_id").agg("item_id").sort("user_id").rows())


def test_the_most_popular_that_the_user_has_not_chosen(tmp_path: Path) -> None:
    """Item 2 was chosen three times, item 3 twice, the others never."""
    assert found(tmp_path, "popular", each=1) == {1: [1], 2: [1], 3: [3], 4: [2]}


def test_the_newest(tmp_path: Path) -> None:
    """Item 4 was first met on day 5, item 1 on day 4."""
    assert found(tmp_path, "newest", each=2)[4] == [1, 4]


def test_what_others_chose_together_with_what_the_user_chose(tmp_path: Path) -> None:
    """User 3 chose item 2, as did two who also chose item 3. User 4 chose nothing: there are no neighbours."""
    assert found(tmp_path / "both", "newest", "neighbours", each=1) == {1: [4], 2: [4], 3: [3, 4], 4: [4]}
    assert found(tmp_path / "newest", "newest", each=1)[3] == [4]


def test_what_is_nearest_by_its_text(tmp_path: Path) -> None:
    _, vectors = write_log(tmp_path / "vectors", EVENTS)
    centred = vectors - vectors.mean(0)
    cosine = (
        centred @ centred[1] / np.linalg.norm(centred, axis=1)
    )  # with item 2, which is all that user 3 chose
    nearest = int(np.argsort(-cosine)[1]) + 1
    assert set(found(tmp_path / "text", "newest", "text", each=1)[3]) == {4, nearest}


@pytest.mark.parametrize("at_once", [4, 500_000])
def test_candidates_have_the_features_that_they_have_among_all_items(
    tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "PAIRS_AT_ONCE", at_once)
    history = [
        {"by": by, "statistic": "mean", "label": "click"} for by in (["user_id", "item_id"], ["item_id"])
    ]
    declared = with_stage("popular", "neighbours", each=2)
    features = declared.features.model_dump(mode="json", exclude_unset=True) | {"history": history}
    staged = declared.model_dump(mode="json", exclude_unset=True) | {"features": features}
    full = staged | {"recommendations": {"exclude": "chosen"}}
    paths, _ = write_log(tmp_path, EVENTS)
    frames = []
    for spec in map(PipelineSpec.model_validate, (staged, full)):
        with build_candidates(paths, spec) as made:
            frames.append(pl.concat(rows_of(made)))
    some, every = frames
    assert 0 < len(some) < len(every)
    same = every.join(some, on=["user_id", "item_id"], how="semi", maintain_order="left")
    assert_frame_equal(some, same, check_column_order=False)


def test_a_sample_has_all_items_and_says_which_source_found_them(tmp_path: Path) -> None:
    paths, _ = write_log(tmp_path, EVENTS)
    with build_candidates(paths, with_stage("popular", "newest", each=1, sample=2)) as made:
        (block,) = made.sample
    assert block.users["user_id"].to_list() == [1, 3]
    assert block.found is not None
    assert block.found.tolist() == [[1, 0, 0, 2, 0], [0, 0, 1, 2, 0]]
    assert block.on_offer.sum() == 3 + 4


@pytest.mark.parametrize(
    ("stage", "problem"),
    [
        ({"sources": ["neighbours"]}, "sources needs popular or newest"),
        ({"sources": ["popular"], "each": 5}, "each must be at least per_user"),
        ({"sources": ["popular", "text"]}, "sources names text, but items have none"),
    ],
)
def test_a_stage_that_would_leave_users_without_items_is_refused(stage: dict, problem: str) -> None:
    declared = SPEC.model_dump(mode="json", exclude_unset=True) | {"recommendations": {"candidates": stage}}
    without_text = {"items": {"text": None}, **declared["features"]}
    with pytest.raises(ValueError, match=problem):
        PipelineSpec.model_validate(declared | {"features": without_text})


def test_without_times_there_is_what_was_chosen_most_of_all_time(tmp_path: Path) -> None:
    """Visitor 1 clicked the products a1 to a20, once each, and no b."""
    stage = {"sources": ["popular"], "each": 20}
    paths, spec = shop(
        tmp_path,
        features={},
        interaction_key=["user_id", "item_id"],
        split={"hash_by": ["item_id"]},
        recommendations={"exclude": "nothing", "candidates": stage},
    )
    with build_candidates(paths, spec) as made:
        (rows,) = rows_of(made)
    assert set(rows["item_id"]) == {f"a{day}" for day in range(1, 21)}
