"""The section `evaluation.backtest`: how often the evaluation is repeated on other rows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl_pipeline.spec.base import SpecModel


class Backtest(SpecModel):
    """The test windows of `<pipeline>/backtest`, which runs only when asked to (docs/backtest.md)."""

    windows: int = Field(default=3, ge=2)
    """Test windows, each as long as the test split and the last one that split itself; with `split.hash_by`, the
    folds of a cross-validation."""
    training: Literal["expanding", "rolling"] = "expanding"
    """expanding: all rows before a window train, so later windows have more of them. rolling: equally many for every
    window, the last ones before it."""
