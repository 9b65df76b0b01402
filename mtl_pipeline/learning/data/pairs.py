"""Some users with items, encoded: each user once, each item once, and only what is of both in pairs."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional

from mtl_pipeline.candidates import Block
from mtl_pipeline.learning.data.encoding import Chosen, FeatureEncoder, Rows, missing_flag, stack


@dataclass(frozen=True)
class Side:
    """Users, or items, encoded as rows of which the features of this side alone mean something."""

    name: str
    """`user` or `item`."""
    rows: Rows
    fields: Tensor
    """bool [fields]: the categorical features of this side."""
    numerics: Tensor
    """bool [numerics]: its columns of `Rows.numeric`."""
    kept: dict[Hashable, Tensor] = field(default_factory=dict)
    """What networks have made of the rows, by the part that did: for inference, while weights do not change."""

    def keep(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def to(self, device: torch.device) -> Side:
        moved = {name: getattr(self, name).to(device) for name in ("rows", "fields", "numerics")}
        return replace(self, **moved)


@dataclass(frozen=True)
class Pairs:
    """Users with as many places for items, one user after another."""

    users: Side
    items: Side
    numerics: Tensor
    """int64 [n]: the columns of `Rows.numeric` that are of both."""
    of_both: list[tuple[Tensor, Tensor]]
    """Their values, some columns after others: float32 [users, kinds, columns]; each place's kind: int64 [places]."""
    item: Tensor | None = None
    """int64 [users, places]: which item each place has; without it, all items in their order."""

    @property
    def places(self) -> int:
        """Of each user."""
        return len(self.items.rows) if self.item is None else self.item.shape[1]

    def __len__(self) -> int:
        return len(self.users.rows) * self.places

    def numeric(self, users: slice, places: slice) -> Tensor:
        """float32 [users, places, n]."""
        return torch.cat([values[users].index_select(1, kind[places]) for values, kind in self.of_both], 2)

    def of_items(self, values: Tensor, users: slice, places: slice) -> Tensor:
        """[items, width] → [users, places, width], or [places, width] where they are the same for all users."""
        return values[places] if self.item is None else functional.embedding(self.item[users, places], values)

    def to(self, device: torch.device) -> Pairs:
        of_both = [(values.to(device), kind.to(device)) for values, kind in self.of_both]
        item = self.item if self.item is None else self.item.to(device)
        return Pairs(self.users.to(device), self.items.to(device), self.numerics.to(device), of_both, item)


def encode_side(encoder: FeatureEncoder, frame: pl.DataFrame, chosen: Chosen | None = None) -> Side:
    """`frame`: user_id or item_id, and the features of that side. `chosen`: with users, what their sequences are of."""
    has = set(frame.columns)
    types = {field.name: pl.List(pl.String) for field in encoder.fields if field.slots > 1}
    fields = [field.name for field in encoder.fields]
    needed = {"user_id", "item_id", *fields, *encoder.statistics["feature"]}
    lacking = {name: pl.lit(None, types.get(name)) for name in needed - has}
    flags = set(map(missing_flag, has))
    return Side(
        "user" if "user_id" in has else "item",
        encoder.encode(frame.with_columns(**lacking), chosen),
        torch.tensor([name in has for name in fields], dtype=torch.bool),
        torch.tensor([name in has | flags for name in encoder.numeric_names], dtype=torch.bool),
    )


def encode_pairs(encoder: FeatureEncoder, block: Block, items: Side, chosen: Chosen | None) -> Pairs:
    """`items`: those of all blocks, encoded once."""
    users, (rows, columns) = encode_side(encoder, block.users, chosen), block.on_offer.shape
    numerics: list[int] = []
    of_both = [(torch.empty(rows, 1, 0), torch.zeros(columns, dtype=torch.int64))]  # where nothing is of both
    for part in block.of_both:
        encoded = encoder.numeric_columns(part.features)
        numerics += map(encoder.numeric_names.index, encoded)
        values = stack([*encoded.values()], len(part.features), torch.float32)
        kinds = len(part.features) // max(1, rows)
        of_both.append((values.view(rows, kinds, len(encoded)), torch.from_numpy(part.kind.astype(np.int64))))
    item = None if block.items is None else torch.from_numpy(block.items)
    return Pairs(users, items, torch.tensor(numerics, dtype=torch.int64), of_both, item)
