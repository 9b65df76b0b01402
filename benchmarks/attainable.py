"""How near the ceiling anybody could come: `python benchmarks/attainable.py [shop social news]`.

The ceiling of a simulated log is its true probabilities, which follow from what is never written down: each user's own
taste, a second trait (how much a price matters, how talkative), and each item's individual appeal. Here is a reader who
knows all else, formulas and coefficients too, and learns these three as well as one can from the outcomes before each
row: a Gaussian belief for each user and item, moved after every outcome (assumed density filtering: Opper, "A Bayesian
approach to on-line learning", 1998; Minka, "A family of algorithms for approximate Bayesian inference", 2001). Twice:
once knowing every user's age and gender, once knowing the two favourite categories too, which what a user is shown
gives away in time. A model that has to learn the formulas as well stays below the second.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import log_loss, mean_squared_error, roc_auc_score

from mtl_pipeline.simulation.exposure import Shown
from mtl_pipeline.simulation.history import History
from mtl_pipeline.simulation.language import TOPICS_PER_CATEGORY
from mtl_pipeline.simulation.news import News
from mtl_pipeline.simulation.scenario import CIRCUMSTANCES_EFFECT, Arrays, Columns, Scenario, sigmoid
from mtl_pipeline.simulation.shop import RATING_SPREAD, Shop, expected_stars
from mtl_pipeline.simulation.simulate import SCENARIOS, draw_blocks, draw_world
from mtl_pipeline.simulation.social import Social

TEST_SHARE = 0.1
PRIOR_DRAWS = 20_000
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
WEIGHTS /= WEIGHTS.sum()
STAR_NOISE = RATING_SPREAD**2 * np.pi**2 / 3 + 1 / 12
"""Variance of the stars around an opinion: logistic noise and rounding."""


@dataclass(frozen=True)
class Hidden:
    """What the outcomes of a scenario follow from, beyond what is known."""

    affinity: tuple[float, float, float]
    """Coefficient of taste times topics, by task."""
    second: Callable[[Scenario, int], tuple[float, float, float]]
    """Of a user's second trait, by task, for an item."""
    second_prior: Callable[[Scenario], tuple[np.ndarray, np.ndarray]]
    """Its mean and variance [users]."""
    second_true: Callable[[Scenario], np.ndarray]
    appeal: Callable[[Scenario], np.ndarray]
    """[items]: what of the pull to click is an item's own."""


def heat(world: Scenario) -> np.ndarray:
    return world.tone - np.float32(1.5)


def thrift_prior(world: Scenario) -> tuple[np.ndarray, np.ndarray]:
    mean = np.exp(-0.3 * world.users.age + 0.4**2 / 2)
    return mean, mean**2 * np.expm1(0.4**2)


def talkative_prior(world: Scenario) -> tuple[np.ndarray, np.ndarray]:
    country = world.users.traits["country"].to_numpy()
    mean = np.zeros(len(country))
    for name in np.unique(country):
        mean[country == name] = world.talkative[country == name].mean()
    return mean, np.full(len(country), 0.6**2)


def none_known(world: Scenario) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(len(world.users)), np.full(len(world.users), 1e-9)


def expressed(world: Scenario) -> np.ndarray:
    """The pull to click a post that is plain to see."""
    media = world.items.traits["media"].replace_strict({"text": -0.3, "photo": 0.0, "video": 0.4}).to_numpy()
    fame = (np.log1p(world.items.traits["author_followers"]) - 6) / 1.5
    return media + 0.8 * world.baits + 0.25 * heat(world) + 0.2 * fame


HIDDEN: dict[type[Scenario], Hidden] = {
    Shop: Hidden(
        (1.0, 0.6, 0.35),
        lambda world, item: (-0.4 * world.dearness[item], -0.7 * world.dearness[item], 0.0),
        thrift_prior,
        lambda world: world.thrift,
        lambda world: world.click_pull - 1.1 * world.baits + 0.1 * heat(world),
    ),
    Social: Hidden(
        (1.1, 0.7, 0.2),
        lambda world, item: (0.0, 0.0, 1.0),
        talkative_prior,
        lambda world: world.talkative,
        lambda world: world.click_pull - expressed(world),
    ),
    News: Hidden(
        (1.1, 0.6, 0.3),
        lambda world, item: (0.0, 0.0, 0.0),
        none_known,
        lambda world: np.zeros(len(world.users)),
        lambda world: (
            world.click_pull
            - 0.9 * world.baits
            - 0.2 * heat(world)
            + 0.2 * (world.items.traits["minutes"] - 5) / 3
        ),
    ),
}


@dataclass(frozen=True)
class Log:
    """The impressions of a scenario in order of time; by task [rows, 3]."""

    user: np.ndarray
    item: np.ndarray
    logit: np.ndarray
    label: np.ndarray
    """Below 0 where not observed."""
    truth: np.ndarray


def read_log(world: Scenario, interactions: int, seed: int) -> Log:
    parts = []
    original = world.logits

    def noted(shown: Shown, history: History, context: Columns) -> Arrays:
        """The logits of a block, kept on their way; those of clicks with their circumstances."""
        logits = original(shown, history, context)
        kept = np.stack(logits, axis=1)
        kept[:, 0] += CIRCUMSTANCES_EFFECT[
            ((shown.position - np.int16(1)) * 3 + shown.device) * 24 + shown.hour
        ]
        parts.append(kept)
        return logits

    world.logits = noted  # type: ignore[method-assign]
    blocks = list(draw_blocks(world, interactions, seed))
    return Log(
        np.concatenate([block.shown.user for block in blocks]),
        np.concatenate([block.shown.item for block in blocks]),
        np.concatenate(parts).astype(float),
        np.concatenate([stacked(block.outcomes.labels, world.tasks) for block in blocks]),
        np.concatenate([stacked(block.outcomes.truth, world.tasks) for block in blocks]),
    )


def stacked(columns: dict[str, np.ndarray], tasks: tuple[str, ...]) -> np.ndarray:
    return np.stack([columns[task] for task in tasks], axis=1)


def taste_prior(world: Scenario, favourites: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean [users, topics] and covariance [users, topics, topics] of taste, given age, gender and perhaps the
    favourite categories: of draws that have these."""
    rng = np.random.default_rng(0)
    users, taste = world.users, world.users.taste.astype(float)
    gender = users.traits["gender"].to_numpy() == "M"
    drivers = np.stack([users.age, (users.age**2 - 1) / 1.5, gender * 2 - 1], axis=1)
    mean = drivers @ np.linalg.lstsq(drivers, taste, rcond=None)[0]
    covariance = np.broadcast_to(
        np.eye(taste.shape[1]) * world.own_taste, (*taste.shape, taste.shape[1])
    ).copy()
    if not favourites:
        return mean, covariance
    noise = rng.standard_normal((PRIOR_DRAWS, taste.shape[1])) * np.sqrt(world.own_taste)
    wanted = np.sort(users.favourites, axis=1)
    for user in range(len(users)):
        drawn = noise + mean[user]
        best = np.sort(np.argpartition(-drawn, 2, axis=1)[:, :2] // TOPICS_PER_CATEGORY, axis=1)
        fits = drawn[(best == wanted[user]).all(axis=1)]
        if len(fits) >= 4 * taste.shape[1]:
            mean[user], covariance[user] = fits.mean(axis=0), np.cov(fits.T)
    return mean, covariance


def moved(mean: float, variance: float, label: int, stars: bool) -> tuple[float, float]:
    """Mean and variance of a logit after its outcome."""
    if stars:
        gain = variance / (variance + STAR_NOISE)
        return mean + gain * (label - mean), variance * (1 - gain)
    nodes = mean + np.sqrt(variance) * NODES
    weights = WEIGHTS * (sigmoid(nodes) if label else sigmoid(-nodes))
    weights /= weights.sum()
    after = weights @ nodes
    return after, weights @ (nodes - after) ** 2


def filtered(world: Scenario, log: Log, favourites: bool) -> np.ndarray:
    """The predictive expectation of each row and task [rows, 3], from the outcomes of the rows before."""
    hidden, items = HIDDEN[type(world)], world.items
    taste, spread = taste_prior(world, favourites)
    second, second_spread = hidden.second_prior(world)
    topics, appeal = taste.shape[1], hidden.appeal(world).astype(float)
    users = len(taste)
    mean = np.concatenate([taste, second[:, None]], axis=1)
    covariance = np.zeros((users, topics + 1, topics + 1))
    covariance[:, :topics, :topics] = spread
    covariance[:, topics, topics] = second_spread
    item_mean, item_variance = np.zeros(len(items)), np.full(len(items), appeal.var())
    true = np.concatenate([world.users.taste, hidden.second_true(world)[:, None]], axis=1)
    third_is_stars = isinstance(world, Shop)
    predicted = np.empty(log.logit.shape)
    for row in range(len(log.user)):
        user, item = log.user[row], log.item[row]
        second_of = hidden.second(world, item)
        for task in range(3):
            direction = np.zeros(topics + 1)
            share = world.main_share[item]
            direction[items.main_topic[item]] += share * hidden.affinity[task]
            direction[items.second_topic[item]] += (1 - share) * hidden.affinity[task]
            direction[topics] = second_of[task]
            known = log.logit[row, task] - direction @ true[user]
            own = task == 0
            known -= appeal[item] if own else 0.0
            reach = covariance[user] @ direction
            logit = known + direction @ mean[user] + (item_mean[item] if own else 0.0)
            variance = direction @ reach + (item_variance[item] if own else 0.0) + 1e-12
            stars = third_is_stars and task == 2
            nodes = logit + np.sqrt(variance) * NODES
            predicted[row, task] = WEIGHTS @ (expected_stars(nodes) if stars else sigmoid(nodes))
            label = log.label[row, task]
            if label < 0:
                continue
            after, left = moved(logit, variance, label, stars)
            step, shrink = (after - logit) / variance, (left - variance) / variance**2
            mean[user] += reach * step
            covariance[user] += np.outer(reach, reach) * shrink
            if own:
                item_mean[item] += item_variance[item] * step
                item_variance[item] += item_variance[item] ** 2 * shrink
    return predicted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="*", default=list(SCENARIOS))
    parser.add_argument("--interactions", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.scenario:
        world = draw_world(name, options.interactions, options.seed)
        log = read_log(world, options.interactions, options.seed)
        for favourites in (False, True):
            predicted = filtered(world, log, favourites)
            for task in range(3):
                print(
                    name,
                    world.tasks[task],
                    *(["favourites known"] * favourites),
                    compared(log, predicted, task),
                )


def compared(log: Log, predicted: np.ndarray, task: int) -> str:
    """On the last rows: the share of the way from the constant answer to the ceiling, and the ROC-AUC."""
    test = np.arange(len(log.user)) >= len(log.user) * (1 - TEST_SHARE)
    observed = log.label[:, task] >= 0
    label, constant = log.label[test & observed, task], log.label[~test & observed, task].mean()
    attained, ceiling = predicted[test & observed, task], log.truth[test & observed, task]
    loss = mean_squared_error if label.max() > 1 else log_loss
    known, ours, best = (loss(label, said) for said in (np.full(len(label), constant), attained, ceiling))
    auc = "" if label.max() > 1 else f", ROC-AUC {roc_auc_score(label, attained):.4f}"
    return f"{(known - ours) / (known - best):.3f}{auc}"


if __name__ == "__main__":
    main()
