"""A small network, and rows for it."""

from __future__ import annotations

from typing import Any

import torch

from mtl_pipeline.learning.data.encoding import CategoricalField, Chosen, Rows, SideFeatures
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.representation.representation import NetworkShape
from mtl_pipeline.spec import Model

USERS, ITEMS, ROWS, CHOICES = 5, 7, 11, 9

OUTPUTS = (1, 1, 4)
GIVEN = (None, 0, 1)

FIELDS = (CategoricalField("gender", 2, 1), CategoricalField("genres", 4, 3))


def declared(
    architecture: str, outputs: tuple[int, ...] = OUTPUTS, **settings: Any
) -> tuple[Model, NetworkShape]:
    """Tasks that are a chain; of the inputs gender is the user's, genres are the item's, and the numbers of neither."""
    sizes = {"experts": 3, "hidden": [24, 12], "tower": [8]}
    model = Model.model_validate({"architecture": architecture} | sizes | settings)
    sides = {"user": SideFeatures(fields=(0,)), "item": SideFeatures(fields=(1,))}
    ids = {"user_id": USERS, "item_id": ITEMS}
    shape = NetworkShape(ids, FIELDS, 2, outputs, sides=sides, given=GIVEN[: len(outputs)])
    return model, shape


def network(architecture: str, outputs: tuple[int, ...] = OUTPUTS, **settings: Any) -> MultiTaskNetwork:
    """As `declared`."""
    torch.manual_seed(0)
    texts = {"users": torch.randn(USERS, 8), "items": torch.randn(ITEMS, 8)}
    return MultiTaskNetwork(*declared(architecture, outputs, **settings), texts).eval()


def moved(network: MultiTaskNetwork) -> dict[str, torch.Tensor]:
    """The gradients that are not zero, by parameter."""
    gradients = {
        name: parameter.grad.to_dense()
        for name, parameter in network.named_parameters()
        if parameter.grad is not None
    }
    return {name: gradient for name, gradient in gradients.items() if gradient.any()}


def rows() -> Rows:
    generator = torch.Generator().manual_seed(1)

    def integers(high: int, *size: int) -> torch.Tensor:
        return torch.randint(high, size, generator=generator, dtype=torch.int32)

    return Rows(
        ids=integers(6, ROWS, 2),
        categorical=torch.cat([integers(3, ROWS, 1), integers(5, ROWS, 3)], 1),
        numeric=torch.randn(ROWS, 2, generator=generator),
        text=integers(5, ROWS, 2),
        labels=torch.zeros(ROWS, 3),
        sequence=torch.tensor([[0, 0], [0, 2], [4, CHOICES]]).repeat(4, 1)[:ROWS],
        chosen=Chosen(
            ids=torch.arange(3, dtype=torch.int32)[:, None],  # the first one is unknown
            text=torch.arange(3, dtype=torch.int32)[:, None] + 1,
            item=torch.arange(CHOICES) % 3,
            labels=torch.tensor([1.0, torch.nan, 5.0] * 3)[:, None],
        ),
    )
