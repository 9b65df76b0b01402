"""The networks that a ranker is made of, and which of them predict a task.

Several networks predict together by the mean of what they give, before the link: of log odds, values, log rates. So
their odds and rates are averaged geometrically. For an ordinal task, the steps from limit to limit are averaged before
softplus makes them positive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.data.pairs import Pairs
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.representation.factored import factored
from mtl_pipeline.learning.representation.representation import NetworkShape
from mtl_pipeline.predictions import JOINT, MEAN, OWN
from mtl_pipeline.spec import Model, Task

ROWS_AT_ONCE = 16_384
ROWS_IN_CACHE = 4_096
"""Rows to predict at once on a CPU, whose cache then holds what one layer hands to the next."""

SPEAKERS = {JOINT: {JOINT}, OWN: {OWN}, MEAN: {JOINT, OWN}}
"""Which networks speak for a task, by what it is predicted by."""


@dataclass(frozen=True)
class Member:
    """A network of a ranker."""

    network: MultiTaskNetwork
    gives: tuple[str, ...]
    """The tasks that it was trained for, in the order of its outputs."""
    predicts: tuple[str, ...]
    """Those that it predicts, alone or with other members."""

    @classmethod
    def of(cls, network: MultiTaskNetwork, tasks: Iterable[Task]) -> Member:
        """One that predicts all that it was trained for."""
        names = tuple(task.name for task in tasks)
        return cls(network, names, names)

    def outputs(self, rows: Rows | Pairs, widths: Sequence[int]) -> dict[str, Tensor]:
        """By task that it gives, float32 [rows, width]: what the network gives, before the link."""
        self.network.eval()
        device = next(self.network.parameters()).device
        at_once = ROWS_IN_CACHE if device.type == "cpu" else ROWS_AT_ONCE
        with torch.inference_mode():
            parts = [part.float().cpu() for part in self.in_parts(rows, at_once, device)]
        outputs = torch.cat(parts) if parts else torch.empty(0, sum(widths))
        return dict(zip(self.gives, outputs.split(list(widths), 1), strict=True))

    def in_parts(self, rows: Rows | Pairs, at_once: int, device: torch.device) -> Iterator[Tensor]:
        """The outputs of about `at_once` rows at a time, on the device."""
        if isinstance(rows, Pairs):
            parts = factored(self.network.representation, rows.to(device), at_once)
            yield from map(self.network.outputs, parts)
            return
        rows = replace(
            rows, chosen=rows.chosen.to(device) if rows.chosen else None
        )  # moved once for all parts
        with self.network.representation.texts_kept(len(rows)):
            yield from (self.network(part.to(device)) for part in rows.batches(at_once))

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def weights(self) -> dict[str, Tensor]:
        """On the CPU."""
        return {name: value.contiguous().cpu() for name, value in self.network.state_dict().items()}

    def save(self, file: Path) -> None:
        save_file(self.weights, file)


def load_member(
    weights: Mapping[str, Tensor],
    model: Model,
    shape: NetworkShape,
    texts: Mapping[str, Tensor],
    tasks: Sequence[Task],
    predicts: Iterable[str],
) -> Member:
    """A network for the tasks, with these weights. `shape` may be that of a network for other tasks.

    Raises RuntimeError where the weights are those of another network.
    """
    network = MultiTaskNetwork(model, shape.of_tasks(tasks), texts)
    network.load_state_dict(weights)
    return replace(Member.of(network.to(device()), tasks), predicts=tuple(predicts))


def on_device(texts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Moved once, for all networks to share."""
    return {table: vectors.to(device()) for table, vectors in texts.items()}


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def composed(joint: Iterable[Member], own: Iterable[Member], predicted_by: Mapping[str, str]) -> list[Member]:
    """The members of a ranker that predicts each task by JOINT, OWN or MEAN: the joint networks, which stay even where
    they no longer predict anything, and those own networks that do."""

    members = [
        replace(
            member, predicts=tuple(name for name in member.gives if source in SPEAKERS[predicted_by[name]])
        )
        for source, of_source in ((JOINT, joint), (OWN, own))
        for member in of_source
    ]
    return [member for member in members if member.predicts or len(member.gives) > 1]
