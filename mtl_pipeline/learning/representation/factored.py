"""The representation of users' pairs with items as a sum of three: what is of the user, of the item, and of both.

A linear layer of a sum is the sum of linear layers. So every user and every item goes through the first layers of a
network once, and a pair adds the two results and the layer of the few columns that are of both. An architecture
notices nothing: it hands such a representation to an nn.Linear as it would a tensor, and gets a tensor. For inference
only, since results are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.data.pairs import Pairs, Side
from mtl_pipeline.learning.representation.parts import Parts
from mtl_pipeline.learning.representation.representation import SIDES, Representation
from mtl_pipeline.learning.representation.stand_in import StandIn

SIDE_AT_ONCE = 16_384
"""Users, or items, that go through a first layer at once."""


@dataclass(frozen=True)
class Factored(StandIn):
    """[users × places, width], of some users and some of their places in `pairs`."""

    representation: Representation
    pairs: Pairs
    users: slice
    places: slice
    of_both: Tensor
    """float32 [users × places, columns of both]."""

    def __len__(self) -> int:
        return len(self.of_both)

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """float32 [users × places, outputs]."""
        of, pairs, (users, items) = self.representation, self.pairs, (self.pairs.users, self.pairs.items)
        of_users = users.keep(weight, lambda: linear_of_side(of, users, weight, bias))
        of_items = items.keep(weight, lambda: linear_of_side(of, items, weight))
        of_both = users.keep((weight,), lambda: weight[:, columns_of_both(of, pairs)].T.contiguous())
        added = of_users[self.users, None] + pairs.of_items(of_items, self.users, self.places)
        return added.flatten(0, 1).addmm_(self.of_both, of_both)


def factored(representation: Representation, pairs: Pairs, at_once: int) -> Iterator[Factored]:
    """The representation of all pairs in their order, about `at_once` of them at a time."""
    users, places = len(pairs.users.rows), pairs.places
    users_at_once = max(1, at_once // max(1, places))
    for first_user in range(0, users, users_at_once):
        some_users = slice(first_user, first_user + users_at_once)
        past = remembered(representation, pairs.users.rows[some_users])
        for first_place in range(0, places, at_once):
            some_places = slice(first_place, first_place + at_once)
            both = of_both(representation, pairs, some_users, some_places, past)
            yield Factored(representation, pairs, some_users, some_places, both.flatten(0, 1))


def remembered(representation: Representation, users: Rows) -> Tensor | None:
    """What the sequence encoder needs of these users; None where there is none."""
    sequence = representation.sequence
    return sequence.remember(*representation.past(users)) if sequence else None


def of_both(
    representation: Representation, pairs: Pairs, some_users: slice, some_places: slice, past: Tensor | None
) -> Tensor:
    """float32 [users, places, columns of both]: numbers, these embedded, the interaction, the sequence."""
    users, items = pairs.users, pairs.items
    numbers, interaction, sequence = (
        representation.numbers,
        representation.interaction,
        representation.sequence,
    )
    inputs = [pairs.numeric(some_users, some_places)]
    if numbers:
        inputs.append(numbers(inputs[0].flatten(0, 1), pairs.numerics).view(*inputs[0].shape[:2], -1))
    if interaction:
        user = users.keep(interaction, lambda: interaction.user_side(whole_side(representation, users)))
        item = items.keep(interaction, lambda: interaction.item_side(whole_side(representation, items)))
        inputs.append(user[some_users, None] * pairs.of_items(item, some_users, some_places))
    if sequence and past is not None:
        item = items.keep(sequence, lambda: sequence.look(vectors(representation, items)))
        inputs.append(sequence.of_pairs(pairs.of_items(item, some_users, some_places), past))
    return torch.cat(inputs, 2)


def linear_of_side(of: Representation, side: Side, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """float32 [rows, outputs]; of SIDE_AT_ONCE rows at a time, whose representation is much wider than that."""
    parts = (of_side(of, replace(side, rows=rows)) for rows in side.rows.batches(SIDE_AT_ONCE))
    return torch.cat([functional.linear(part, weight, bias) for part in parts])


def vectors(representation: Representation, side: Side) -> Tensor:
    """What stands for each user, or item: float32 [rows, width]."""
    return torch.cat(representation.sides(side.rows)[side.name], 1)


def whole_side(representation: Representation, side: Side) -> Parts:
    """What the interaction reads of each user, or item: [rows, width]."""
    parts = representation.sides(side.rows)
    return representation.side(side.name, parts, representation.of_one_side(side.rows, parts))


def of_side(representation: Representation, side: Side) -> Tensor:
    """float32 [rows, width]: what is of this side alone, and 0 in the other columns."""
    parts = representation.sides(side.rows)
    inputs = representation.of_one_side(side.rows, parts)
    owners = [name for name in SIDES for _ in parts[name]] + [
        name.removesuffix("_id") for name in representation.own
    ]
    owned = [torch.tensor([name == side.name]).to(side.fields) for name in owners]
    owned = [side.fields, side.numerics, *owned, *([side.numerics] if representation.numbers else [])]
    known = [
        values * own.repeat_interleave(values.shape[1] // max(1, len(own)))
        for values, own in zip(inputs, owned, strict=True)
    ]
    return torch.cat([*known, of_side_in_sequence(representation, side, parts)], 1)


def of_side_in_sequence(
    representation: Representation, side: Side, parts: Mapping[str, Sequence[Tensor]]
) -> Tensor:
    """float32 [rows, columns of both]: those of the sequence that are of this side alone, and 0 in the others."""
    columns = side.rows.numeric.new_zeros(len(side.rows), representation.width_of_both)
    if (sequence := representation.sequence) and side.name in sequence.alone:
        if side.name == "user":
            kept = sequence.remember(*representation.past(side.rows))
        else:
            kept = sequence.look(torch.cat([*parts["item"]], 1))
        columns[:, -sequence.width :][:, sequence.alone[side.name]] = sequence.of_side(kept)
    return columns


def columns_of_both(representation: Representation, pairs: Pairs) -> Tensor:
    """int64: where `Factored.of_both` lies in the width."""
    columns = torch.arange(representation.width, device=pairs.numerics.device)
    embedded, of_both = columns.split(
        [len(columns) - representation.width_of_both, representation.width_of_both]
    )
    if sequence := representation.sequence:
        kept = torch.ones(len(of_both), dtype=torch.bool, device=columns.device)
        for alone in sequence.alone.values():
            kept[-sequence.width :][alone] = False
        of_both = of_both[kept]
    before = len(representation.categorical.slots) * representation.categorical.table.embedding_dim
    parts = [columns[before + pairs.numerics], of_both]
    if numbers := representation.numbers:
        each = embedded[len(embedded) - numbers.bias.numel() :].view(numbers.weight.shape[::2])
        parts.insert(1, each[pairs.numerics].flatten())
    return torch.cat(parts)
