"""What stands in for a representation that is not one tensor, as long as only linear layers read it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

from torch import Tensor
from torch.nn import functional


class StandIn(ABC):
    """[rows, width]. An architecture hands it to an nn.Linear as it would a tensor, and gets a tensor."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """float32 [rows, outputs], in mixed precision bfloat16."""

    def dim(self) -> int:
        return 2

    def float(self) -> Self:
        """Itself: its linear layers are of the precision around them."""
        return self

    @classmethod
    def __torch_function__(cls, function: Callable, types: Any, arguments: Any, names: Any = None) -> Any:
        """How torch lets a class that is no tensor take part in its functions."""
        return cls.linear(*arguments, **(names or {})) if function is functional.linear else NotImplemented
