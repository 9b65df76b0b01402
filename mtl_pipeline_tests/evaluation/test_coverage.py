"""95 % intervals hold the true difference about 95 times in a hundred, where the simulator knows it.

The tables of benchmarks/README.md are this test at a larger scale.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.coverage import (
    METRICS,
    MODEL,
    TRUTH,
    World,
    draw_test_set,
    draw_world,
    expanded,
    percentile,
    score,
    tally,
)

REPETITIONS, USERS, SAMPLES = 300, 150, 200
LEAST, MOST = 0.92, 0.98
"""1.3 % is the standard deviation of a share of 95 % in that many repetitions."""


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(300_000)


def test_the_true_difference_is_that_of_very_many_rows(world: World) -> None:
    """So that coverage is measured against the right number."""
    rows = draw_test_set(world, 30_000, np.random.default_rng(1))
    for metric, true in world.true_differences.items():
        ours, theirs = (score(metric, rows.labels, rows.predictions[name]) for name in (TRUTH, MODEL))
        assert ours - theirs == pytest.approx(true, rel=0.05)
        assert abs(true) > 0.01


def test_intervals_over_users_reach_their_nominal_coverage(world: World) -> None:
    found = tally(world, USERS, REPETITIONS, SAMPLES, {"ours": expanded, "percentile": percentile})
    for metric in METRICS:
        coverage = found[metric, "ours"].covered / REPETITIONS
        assert LEAST <= coverage <= MOST, metric
        assert found[metric, "percentile"].covered / REPETITIONS < coverage, "what expanding is for"


def test_intervals_that_take_rows_for_independent_do_not() -> None:
    """Which shows that the test above can fail. Many rows a user, who is misjudged in all of them alike."""
    found = tally(
        draw_world(60_000, newest=1.0),
        USERS,
        REPETITIONS // 3,
        SAMPLES,
        {"rows": percentile},
        clustered=False,
    )
    for metric in METRICS:
        assert found[metric, "rows"].covered / (REPETITIONS // 3) < 0.88, metric
