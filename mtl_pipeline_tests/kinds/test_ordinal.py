"""Ordinal regression: probabilities of ordered classes, from log odds that fall."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.kinds.ordinal import falling
from mtl_pipeline.spec import Task

ORDINAL = KINDS["ordinal"]
STARS = Task(name="stars", kind="ordinal", classes=["1", "2", "3", "4", "5"])
LOGITS = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 6), st.just(4)), elements=st.floats(-20, 20, width=32)
)


@settings(deadline=None)
@given(LOGITS)
def test_probabilities_add_up_and_their_logarithm_is_the_loss(logits: np.ndarray) -> None:
    outputs = torch.from_numpy(logits)
    probabilities = ORDINAL.predictions(outputs.double())
    assert (probabilities >= 0).all()
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(logits), dtype=torch.float64))
    for star in range(5):
        losses = ORDINAL.row_losses(outputs.double(), torch.full((len(logits),), float(star)), STARS)
        seen = probabilities[:, star] > 1e-12  # below, the difference of two sigmoids has no digits left
        torch.testing.assert_close((-losses).exp()[seen], probabilities[:, star][seen], rtol=1e-3, atol=1e-12)


def test_the_loss_stays_finite_where_a_probability_cannot_be_written() -> None:
    outputs = torch.tensor([[80.0, 0, 0, 0]], requires_grad=True)
    loss = ORDINAL.row_losses(outputs, torch.zeros(1), STARS)
    assert loss.item() == pytest.approx(80)
    (gradient,) = torch.autograd.grad(loss.sum(), outputs)
    assert gradient.isfinite().all()


def test_a_class_that_is_nearly_impossible_spoils_no_gradient() -> None:
    """In float32 the step between two thresholds may vanish beside them."""
    three = Task(name="stars", kind="ordinal", classes=["1", "2", "3"])
    for logits in ([0.0, -18.0], [-10.0, -15.0], [4.0, -16.0]):
        for label in range(3):
            outputs = torch.tensor([logits], requires_grad=True)
            loss = ORDINAL.row_losses(outputs, torch.tensor([float(label)]), three)
            (gradient,) = torch.autograd.grad(loss.sum(), outputs)
            assert loss.isfinite().all()
            assert gradient.isfinite().all()
            assert (ORDINAL.predictions(outputs) > 0).all()


def test_the_constant_answer_gives_the_shares_of_the_labels() -> None:
    labels = torch.tensor([0.0, 0, 1, 2, 2, 2, 3, 4, 4, 4])
    logits = ORDINAL.constant_logits(labels, STARS)[None]
    torch.testing.assert_close(ORDINAL.predictions(logits)[0], torch.tensor([0.2, 0.1, 0.3, 0.1, 0.3]))
    assert falling(logits).diff().max() < 0


def test_metrics_of_a_case_worked_by_hand() -> None:
    labels = np.array([0.0, 2.0])
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    scores = {name: score.value for name, score in ORDINAL.measure(labels, probabilities).scores.items()}
    first, second = (
        (0.5**2 + 0.2**2) / 2,
        (0.1**2 + 0.3**2) / 2,
    )  # cumulative .5, .8 against 1, 1; .1, .3 against 0, 0
    assert scores["ranked_probability_score"] == pytest.approx((first + second) / 2)
    assert scores["log_loss"] == pytest.approx(-(math.log(0.5) + math.log(0.7)) / 2)
    assert scores["class_distance"] == 0  # both medians are right
    assert scores["weighted_kappa"] == 1
    assert scores["accuracy"] == 1


def test_a_neighbour_costs_less_than_a_class_far_away() -> None:
    near, far = np.array([[0.0, 1.0, 0.0]]), np.array([[0.0, 0.0, 1.0]])
    label = np.zeros(1)
    losses = [ORDINAL.compared_losses(label, answer)["ranked_probability_score"][0] for answer in (near, far)]
    assert losses == [0.5, 1.0]


def test_recommendations_can_be_scored_by_the_expected_class() -> None:
    even = np.full((1, 3), 1 / 3)
    assert ORDINAL.shown(even, ["10", "20", "60"]) == pytest.approx(30)
    assert ORDINAL.shown(even, ["bad", "fair", "good"]) == pytest.approx(1)
