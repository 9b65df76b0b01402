"""One vector a text, by hand."""

from __future__ import annotations

import torch

from mtl_pipeline.embedding.pooling import cls, mean

HIDDEN = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [99.0, 99.0]], [[4.0, 0.0], [5.0, 0.0], [6.0, 3.0]]])
MASK = torch.tensor([[True, True, False], [True, True, True]])


def test_mean_leaves_padding_out():
    assert mean(HIDDEN, MASK).tolist() == [[2.0, 4.0], [5.0, 1.0]]


def test_mean_of_nothing_is_zero():
    assert mean(HIDDEN, torch.zeros_like(MASK)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_cls_is_the_first_token():
    assert cls(HIDDEN, MASK).tolist() == [[1.0, 2.0], [4.0, 0.0]]
