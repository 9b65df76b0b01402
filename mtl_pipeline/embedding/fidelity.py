"""What is lost to speed: how near vectors are to those of PyTorch in float32."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEAST_COSINE = {"float32": 0.99999, "bfloat16": 0.999, "int8": 0.99}
"""By precision: the mean over texts may not be lower."""
TEXTS = 256
"""Looked at."""
NEIGHBOURS = 10


class Fidelity(NamedTuple):
    cosine: float
    """Mean over texts."""
    least_cosine: float
    neighbours: float
    """Of the ten nearest of each text among these, the share that is the same."""
    wanted: float
    """The least mean cosine of this precision."""

    @classmethod
    def of(cls, vectors: np.ndarray, exact: np.ndarray, precision: str) -> Fidelity:
        """Both float32 [texts, dimension]."""
        unit, exact_unit = (unit_length(side) for side in (vectors, exact))
        same = (vectors == exact).all(1)  # also of a text without a token, whose vector is zero
        cosines = np.where(same, 1.0, np.nan_to_num((unit * exact_unit).sum(1)))
        neighbours = shared(nearest(unit), nearest(exact_unit))
        return cls(float(cosines.mean()), float(cosines.min()), neighbours, LEAST_COSINE[precision])


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Zero stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(np.float32).tiny)


def nearest(unit: np.ndarray) -> np.ndarray:
    """bool [texts, texts]: the nearest others of each."""
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    count = min(NEIGHBOURS, len(unit) - 1)
    found = np.zeros(cosines.shape, dtype=bool)
    np.put_along_axis(found, np.argsort(-cosines, axis=1, kind="stable")[:, :count], True, axis=1)
    return found


def shared(some: np.ndarray, others: np.ndarray) -> float:
    return float((some & others).sum() / others.sum()) if others.any() else 1.0
