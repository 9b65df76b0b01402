"""How an item is related to what a user chose before: numbers from sequences of items.

Two relations between items: how similar their texts are (cosine of centred vectors), and how often other users chose
both until then, c / sqrt((n + 3) (m + 3)) with c the times that both stood in one sequence and n and m the times that
each was chosen (item-based collaborative filtering: Deshpande and Karypis 2004, https://doi.org/10.1145/963770.963776).
For each relation, over the last items that the user chose: its mean, its maximum, and for each label how far above the
user's mean so far the labels of these items were, weighted by the relation. Besides, by how much more popular the item
is than these: log of the times that it was chosen, minus the mean of theirs.

Everything is counted at a moment: only what lies strictly before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

RELATIONS_AT_ONCE = 160_000
"""Between pairs and what their users chose: 41 MB of vectors."""
TEXT_DIMENSIONS = 64
"""Principal components that stand for a text vector; more did not help on MovieLens, and cost as much more."""
SHARPNESS = 5.0
"""Weights by text are exp(SHARPNESS × cosine), so that what is most similar counts most."""
PRIOR_CHOICES = 3.0
"""Added to the times that an item was chosen: a pair of rare items met by chance is no relation."""
PRIOR_WEIGHT = 1e-4
"""Weight of "as on average" among the weighted labels, so that weak relations say little."""
LARGEST_KEY = 2**63 - 1


@dataclass(frozen=True)
class Chosen:
    """What users chose, one user after another, oldest first: arrays of one length."""

    first: np.ndarray
    """int64: the place at which the user's items start."""
    item: np.ndarray
    """int64, from 0."""
    time: np.ndarray
    """int64, microseconds."""
    labels: Mapping[str, tuple[np.ndarray, ...]]
    """By label its values, and the user's mean so far, this one included: float64, NaN where not known."""


@dataclass(frozen=True)
class Pairs:
    """Rows, each an item with the part of Chosen that its user had chosen by then: arrays of one length."""

    item: np.ndarray
    time: np.ndarray
    first: np.ndarray
    end: np.ndarray

    def __len__(self) -> int:
        return len(self.item)

    def __getitem__(self, rows: slice) -> Pairs:
        return Pairs(self.item[rows], self.time[rows], self.first[rows], self.end[rows])


class EarlierCounts:
    """How often each key was seen strictly before a moment: occurrences sorted by key and moment, searched in.

    Holds 12 bytes for each occurrence, and 28 more while it is made.
    """

    def __init__(self, number_of_keys: int, number_of_moments: int, occurrences: int) -> None:
        # Where keys and moments would not fit in one number, moments are told apart less finely. Still nothing counts
        # but what lies strictly before.
        self.coarseness = -(-number_of_keys * (number_of_moments + 1) // LARGEST_KEY)
        self.moments = number_of_moments // self.coarseness + 1
        self.occurrences = np.full(occurrences + 1, -1)
        """Keys with their moments; the last one stands for "before all others"."""
        self.filled = 0

    def add(self, keys: np.ndarray, moments: np.ndarray) -> None:
        end = self.filled + len(keys)
        self.occurrences[self.filled : end] = keys * self.moments + moments // self.coarseness
        self.filled = end

    def sort(self) -> None:
        """After all were added."""
        self.occurrences[:-1].sort()
        keys = self.occurrences[:-1] // self.moments
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        self.nth = np.arange(len(self.occurrences), dtype=np.int32)
        self.nth[:-1] -= np.repeat(starts.astype(np.int32), np.diff(starts, append=len(keys)))
        self.nth[-1] = -1

    def in_all(self) -> tuple[np.ndarray, np.ndarray]:
        """Keys, and how often each was seen."""
        return np.unique(self.occurrences[:-1] // self.moments, return_counts=True)

    def before(self, keys: np.ndarray, moments: np.ndarray) -> np.ndarray:
        """int64, of the shape that keys and moments have together."""
        start = keys * self.moments
        last = np.searchsorted(self.occurrences[:-1], start + moments // self.coarseness) - 1
        return np.where(self.occurrences[last] >= start, self.nth[last] + 1, 0)


class Relations:
    """What relates items to each other, and the features of pairs; see above."""

    def __init__(self, chosen: Chosen, items: int, last: int, vectors: np.ndarray | None) -> None:
        """`vectors`: float32 [items, dimension], each of length 1, where items have texts."""
        self.items, self.last, self.vectors = items, last, vectors
        self.labels = {
            label: tuple(np.append(numbers, np.nan) for numbers in values)
            for label, values in chosen.labels.items()
        }
        self.item = np.append(chosen.item, 0)
        """And one more, for users who chose nothing."""
        self.times = np.unique(chosen.time)
        moments = np.searchsorted(self.times, chosen.time)
        places = np.arange(len(chosen.item))
        size = 2 * int(np.minimum(places - chosen.first, last - 1).sum())
        self.together = EarlierCounts(items**2, len(self.times), size)
        for distance in range(1, last):
            later = np.flatnonzero(places - distance >= chosen.first)
            one, other = chosen.item[later], chosen.item[later - distance]
            for key in (one * items + other, other * items + one):
                self.together.add(key, moments[later])
        self.together.sort()
        self.alone = EarlierCounts(items, len(self.times), len(places))
        self.alone.add(chosen.item, moments)
        self.alone.sort()

    def features(self, pairs: Pairs) -> dict[str, np.ndarray]:
        """float64 [pairs] by the names of `Sequence.features`; NaN where the user had chosen nothing."""
        at_once = RELATIONS_AT_ONCE // self.last
        starts = range(0, max(len(pairs), 1), at_once)
        blocks = [self.features_of_block(pairs[start : start + at_once]) for start in starts]
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    def features_of_block(self, pairs: Pairs) -> dict[str, np.ndarray]:
        places, present = self.places(pairs.first, pairs.end)
        theirs = self.item[places]
        moments = np.searchsorted(self.times, pairs.time)
        summary = Summary(self.last, present, self.above_means(places, pairs.end))
        if self.vectors is not None:
            vectors = self.vectors[theirs] * present[..., None]
            cosine = np.einsum("pld,pd->pl", vectors, self.vectors[pairs.item])
            summary.add_texts(cosine, np.linalg.norm(vectors.sum(1), axis=1))
        summary.add_neighbours(
            self.together.before(pairs.item[:, None] * self.items + theirs, moments[:, None]),
            self.alone.before(pairs.item, moments),
            self.alone.before(theirs, moments[:, None]),
        )
        return summary.features

    def features_now(self, items: np.ndarray, first: np.ndarray, end: np.ndarray) -> dict[str, np.ndarray]:
        """As `features`, after all events, of every user, given by what they chose, with every one of the items:
        float64 [users, items]."""
        places, present = self.places(first, end)
        theirs = self.item[places]
        above = self.above_means(places, end)
        summary = Summary(
            self.last, present[:, None], {label: values[:, None] for label, values in above.items()}
        )
        if self.vectors is not None:
            vectors = self.vectors[theirs] * present[..., None]
            cosine = np.matmul(vectors, self.vectors[items].T).transpose(0, 2, 1)
            summary.add_texts(cosine, np.linalg.norm(vectors.sum(1), axis=1)[:, None])
        together = self.together_now[theirs.ravel()][:, items].toarray()
        alone = np.bincount(self.item[:-1], minlength=self.items)
        summary.add_neighbours(
            together.reshape(*theirs.shape, len(items)).transpose(0, 2, 1),
            alone[items],
            alone[theirs][:, None],
        )
        return summary.features

    @cached_property
    def together_now(self) -> csr_matrix:
        """int64 [items, items]."""
        pairs, counts = self.together.in_all()
        return csr_matrix((counts, divmod(pairs, self.items)), shape=(self.items, self.items))

    def places(self, first: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the last items that users chose, newest first, [users, last], and whether there are so many."""
        places = end[:, None] - 1 - np.arange(self.last)
        present = places >= first[:, None]
        return np.where(present, places, -1), present

    def above_means(self, places: np.ndarray, end: np.ndarray) -> dict[str, np.ndarray]:
        """By label, by how much those at `places` are above the user's mean so far; NaN where not known."""
        return {
            label: values[places] - means[end - 1][..., None]
            for label, (values, means) in self.labels.items()
        }


class Summary:
    """The features, from what relates an item to each of a user's last items: arrays [..., last], where `present`."""

    def __init__(self, last: int, present: np.ndarray, above: Mapping[str, np.ndarray]) -> None:
        """`above`: by label, how far the user's labels of these items are above their mean, NaN where not known."""
        self.name, self.present, self.above = f"last_{last}", present, above
        self.number = np.maximum(present.sum(-1), 1)
        self.features: dict[str, np.ndarray] = {}

    def add_texts(self, cosine: np.ndarray, length: np.ndarray) -> None:
        """`length`: of the sum of the vectors of the user's items."""
        mean = self.total(cosine, self.present) / np.maximum(length, 1e-6)
        self.add("similar", mean, cosine, np.exp(SHARPNESS * cosine))

    def add_neighbours(self, together: np.ndarray, own: np.ndarray, others: np.ndarray) -> None:
        """The times that both were chosen, the item [...], and each of the user's items."""
        relation = together / np.sqrt((own[..., None] + PRIOR_CHOICES) * (others + PRIOR_CHOICES))
        self.add("neighbour", self.mean(relation), relation, relation**2)
        self.features[f"{self.name}_popularity_gap"] = self.known(np.log1p(own) - self.mean(np.log1p(others)))

    def add(self, relation: str, mean: np.ndarray, values: np.ndarray, weights: np.ndarray) -> None:
        self.features[f"{self.name}_{relation}_mean"] = self.known(mean)
        self.features[f"{self.name}_{relation}_max"] = self.known(
            np.where(self.present, values, -1.0).max(-1)
        )
        for label, above in self.above.items():
            known = self.present & ~np.isnan(above)
            total = self.total(weights, known * np.nan_to_num(above))
            weighted_mean = total / (self.total(weights, known) + PRIOR_WEIGHT)
            self.features[f"{self.name}_{relation}_{label}"] = self.known(weighted_mean)

    def mean(self, values: np.ndarray) -> np.ndarray:
        return self.total(values, self.present) / self.number

    def total(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Sums over each user's last items."""
        if weights.ndim == 3:  # [users, 1, last]: the same for all items
            exact = weights.astype(np.result_type(weights, values))
            return np.matmul(exact, values.transpose(0, 2, 1))[:, 0]
        return (values * weights).sum(-1)

    def known(self, values: np.ndarray) -> np.ndarray:
        return np.where(self.present[..., 0], values, np.nan)


def leading_components(vectors: np.ndarray) -> np.ndarray:
    """float32 [vectors, at most TEXT_DIMENSIONS]: the principal components of vectors [n, dimension], each of length 1,
    or 0 where there is no text, whose vector is 0."""
    has_text = np.any(vectors, axis=1)
    sample = vectors[has_text]
    centre = sample.mean(0, dtype=np.float64) if len(sample) else np.zeros(vectors.shape[1])
    covariance = sample.T.astype(np.float64) @ sample / max(len(sample), 1) - np.outer(centre, centre)
    variances, directions = np.linalg.eigh(covariance)
    # Directions in which nothing varies are any, and what lies in them is rounding.
    leading = directions[:, variances > 1e-6 * max(variances[-1], 1e-12)][:, -TEXT_DIMENSIONS:].astype(
        np.float32
    )
    components = vectors @ leading - centre.astype(np.float32) @ leading
    lengths = np.linalg.norm(components, axis=1, keepdims=True)
    return components / np.maximum(lengths, 1e-6) * has_text[:, None]
