"""The multi-task ranker: one shared representation of (user, item, context), one tower per task.

Architectures: shared bottom (Caruana, 1997), multi-gate mixture of experts (MMoE; Ma et al., KDD 2018,
https://doi.org/10.1145/3219819.3220007), and progressive layered extraction with one layer of extraction (PLE, with one
layer also known as customised gate control; Tang et al., RecSys 2020, https://doi.org/10.1145/3383313.3412236).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_pipeline.learning.data.encoding import CategoricalField, Rows
from mtl_pipeline.spec import Model

SIDES = ("user", "item")


@dataclass(frozen=True)
class NetworkShape:
    """Sizes that come from the data."""

    ids: dict[str, int]
    """Vocabulary size by name of the id, in the order of `Rows.ids`."""
    fields: tuple[CategoricalField, ...]
    numerics: int
    outputs: tuple[int, ...]
    """Numbers to give for each task."""


class IdEmbedding(nn.Module):
    """An embedding per known id. In training some ids are hidden, which teaches row 0 to stand for strangers."""

    def __init__(self, size: int, dimension: int, hide: float) -> None:
        super().__init__()
        self.table = nn.Embedding(size + 1, dimension, sparse=True)
        self.hide = hide
        nn.init.normal_(self.table.weight, std=0.01)

    def forward(self, ids: Tensor) -> Tensor:
        if self.training and self.hide:
            ids = ids * (torch.rand(ids.shape, device=ids.device) >= self.hide)
        return self.table(ids)


class CategoricalEmbedding(nn.Module):
    """All categorical features in one table; the values of a list-valued feature are averaged.

    In training some features of some rows are hidden, which teaches their row 0 to stand for what is unknown: a new
    category, and the device or hour of a recommendation that nobody has asked for yet.
    """

    offsets: Tensor
    field_of_slot: Tensor

    def __init__(self, fields: Sequence[CategoricalField], dimension: int, hide: float = 0.0) -> None:
        super().__init__()
        self.fields = list(fields)
        self.hide = hide
        self.table = nn.Embedding(sum(field.size + 1 for field in fields) or 1, dimension)
        nn.init.normal_(self.table.weight, std=0.05)
        offsets, start = [], 0
        for field in fields:
            offsets += [start] * field.slots
            start += field.size + 1
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.int32), persistent=False)
        slots = [place for place, field in enumerate(fields) for _ in range(field.slots)]
        self.register_buffer("field_of_slot", torch.tensor(slots, dtype=torch.int64), persistent=False)

    def forward(self, categorical: Tensor) -> Tensor:
        """int32 [rows, slots] → float32 [rows, fields × dimension]."""
        if self.training and self.hide:
            shown = torch.rand(len(categorical), len(self.fields), device=categorical.device) >= self.hide
            categorical = categorical * shown[:, self.field_of_slot]
        embedded = self.table(categorical + self.offsets)
        parts, slot = [], 0
        for field in self.fields:
            part = embedded[:, slot : slot + field.slots]
            if field.slots > 1:
                present = (categorical[:, slot : slot + field.slots] > 0).unsqueeze(-1)
                part = (part * present).sum(1, keepdim=True) / present.sum(1, keepdim=True).clamp(min=1)
            parts.append(part.flatten(1))
            slot += field.slots
        return torch.cat(parts, 1) if parts else embedded.flatten(1)


class TextProjection(nn.Module):
    """A trained projection of frozen text vectors, computed once per vector where that is cheaper."""

    vectors: Tensor

    def __init__(self, vectors: Tensor, dimension: int) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors, persistent=False)
        self.project = nn.Linear(vectors.shape[1], dimension)
        self.kept: Tensor | None = None
        """The projection of all vectors, while the weights do not change: see `MultiTaskNetwork.texts_kept`."""

    def forward(self, rows: Tensor) -> Tensor:
        if self.kept is not None:
            return functional.embedding(rows, self.kept)
        if len(self.vectors) <= len(rows):
            return functional.embedding(rows, self.project(self.vectors))
        return self.project(self.vectors[rows])


def perceptron(widths: Sequence[int], dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


class SharedBottom(nn.Module):
    """One perceptron whose output every task reads."""

    def __init__(self, width: int, hidden: Sequence[int], tasks: int, dropout: float) -> None:
        super().__init__()
        self.tasks = tasks
        self.bottom = perceptron([width, *hidden], dropout)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """float32 [rows, width] → per task, float32 [rows, hidden[-1]]."""
        return [self.bottom(inputs)] * self.tasks


class Experts(nn.Module):
    """Several perceptrons of one shape, computed as one batched product per layer."""

    def __init__(self, width: int, hidden: Sequence[int], dropout: float, count: int) -> None:
        super().__init__()
        self.count = count
        self.first = nn.Linear(width, count * hidden[0])
        self.deeper = nn.ParameterList()
        self.biases = nn.ParameterList()
        for width_in, width_out in pairwise(hidden):
            weight = torch.empty(count, width_in, width_out)
            for expert in weight:
                nn.init.kaiming_uniform_(expert.T, a=5**0.5)
            self.deeper.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(torch.zeros(count, 1, width_out)))
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """float32 [rows, width] → float32 [experts, rows, hidden[-1]]."""
        hidden = self.dropout(functional.relu(self.first(inputs)))
        hidden = hidden.view(len(inputs), self.count, -1).transpose(0, 1)
        for weight, bias in zip(self.deeper, self.biases, strict=True):
            hidden = self.dropout(functional.relu(torch.baddbmm(bias, hidden, weight)))
        return hidden


class MixtureOfExperts(nn.Module):
    """Each task reads its own mixture of experts, weighted by a softmax gate.

    All tasks read the `shared` experts. Of `own` ones each task has so many that no other task reads: none in MMoE.
    """

    unread: Tensor

    def __init__(
        self, width: int, hidden: Sequence[int], tasks: int, dropout: float, *, shared: int, own: int = 0
    ) -> None:
        super().__init__()
        self.tasks = tasks
        self.shared = Experts(width, hidden, dropout, shared)
        self.own = Experts(width, hidden, dropout, own * tasks) if own else None
        self.owners = [None] * shared + [task for task in range(tasks) for _ in range(own)]
        """The task that alone reads an expert, by expert; None where all do."""
        self.gates = nn.Linear(width, tasks * len(self.owners))
        unread = [[owner not in (None, task) for owner in self.owners] for task in range(tasks)]
        self.register_buffer("unread", torch.tensor(unread), persistent=False)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """float32 [rows, width] → per task, float32 [rows, hidden[-1]]."""
        experts = self.shared(inputs)
        if self.own:
            experts = torch.cat([experts, self.own(inputs)])
        return list(torch.einsum("rte,erh->trh", self.gate_weights(inputs), experts))

    def gate_weights(self, inputs: Tensor) -> Tensor:
        """float32 [rows, tasks, experts]: the share of each expert in what a task reads."""
        logits = self.gates(inputs).view(len(inputs), self.tasks, len(self.owners))
        return logits.masked_fill(self.unread, -torch.inf).softmax(-1)


class Match(nn.Module):
    """The elementwise product of a projection of the user's side and one of the item's side."""

    def __init__(self, user_width: int, item_width: int, dimension: int) -> None:
        super().__init__()
        self.user_side = nn.Linear(user_width, dimension)
        self.item_side = nn.Linear(item_width, dimension)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        return self.user_side(user) * self.item_side(item)


class MultiTaskNetwork(nn.Module):
    """Embeds the inputs, mixes them in the shared part, and ends in the outputs of each task.

    Ids and texts are optional; where both a user and an item are there, their match is an input too.
    """

    def __init__(self, model: Model, shape: NetworkShape, texts: Mapping[str, Tensor]) -> None:
        """`texts`: float32 [rows, dimension] by `users` and `items`, where they have text, in the order of
        `Rows.text`."""
        super().__init__()
        self.ids = nn.ModuleDict(
            {
                name: IdEmbedding(size, model.id_dimension, model.id_dropout)
                for name, size in shape.ids.items()
            }
        )
        self.categorical = CategoricalEmbedding(
            shape.fields, model.categorical_dimension, model.category_dropout
        )
        self.texts = nn.ModuleDict(
            {
                table.removesuffix("s"): TextProjection(vectors, model.text_dimension)
                for table, vectors in texts.items()
            }
        )
        widths = {
            side: model.id_dimension * (f"{side}_id" in self.ids)
            + model.text_dimension * (side in self.texts)
            for side in SIDES
        }
        self.match = (
            Match(widths["user"], widths["item"], model.text_dimension) if all(widths.values()) else None
        )
        width = (
            sum(widths.values())
            + len(shape.fields) * model.categorical_dimension
            + shape.numerics
            + (model.text_dimension if self.match else 0)
        )
        tasks = len(shape.outputs)
        if model.architecture == "shared_bottom":
            self.shared: nn.Module = SharedBottom(width, model.hidden, tasks, model.dropout)
        else:
            own = model.task_experts if model.architecture == "ple" else 0
            self.shared = MixtureOfExperts(
                width, model.hidden, tasks, model.dropout, shared=model.experts, own=own
            )
        tower = [model.hidden[-1], *model.tower]
        self.towers = nn.ModuleList(
            nn.Sequential(perceptron(tower, 0.0), nn.Linear(tower[-1], outputs)) for outputs in shape.outputs
        )

    @property
    def tables(self) -> list[nn.Parameter]:
        """The id tables, of which a batch touches few rows."""
        return [embedding.get_parameter("table.weight") for embedding in self.ids.values()]

    @property
    def shared_parameters(self) -> list[nn.Parameter]:
        """Those that every task moves: all but the towers, and in a mixture of experts the gates and the experts of
        single tasks."""
        own: list[nn.Module | None] = [self.towers]
        if isinstance(self.shared, MixtureOfExperts):
            own += [self.shared.gates, self.shared.own]
        owned = {id(parameter) for module in own if module for parameter in module.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in owned]

    @contextmanager
    def texts_kept(self, rows: int) -> Iterator[None]:
        """Project each text once for all batches to come, where they have `rows` and there are no more texts than that.

        For inference only: the weights must not change as long as the `with` block lasts.
        """
        projections = [module for module in self.texts.values() if isinstance(module, TextProjection)]
        kept = [projection for projection in projections if len(projection.vectors) <= rows]
        for projection in kept:
            projection.kept = projection.project(projection.vectors)
        try:
            yield
        finally:
            for projection in kept:
                projection.kept = None

    def forward(self, rows: Rows) -> Tensor:
        """Encoded rows → float32 [rows, outputs of all tasks]: logits (binary, multiclass), standardised
        values (regression) or log rates (count)."""
        mixtures = self.shared(self.inputs(rows))
        return torch.cat([tower(mixture) for tower, mixture in zip(self.towers, mixtures, strict=True)], 1)

    def inputs(self, rows: Rows) -> Tensor:
        """What the shared part reads: float32 [rows, width]."""
        parts: dict[str, list[Tensor]] = {side: [] for side in SIDES}
        for column, (name, embedding) in enumerate(self.ids.items()):
            parts[name.removesuffix("_id")].append(embedding(rows.ids[:, column]))
        for column, (side, projection) in enumerate(self.texts.items()):
            parts[side].append(projection(rows.text[:, column]))
        inputs = [self.categorical(rows.categorical), rows.numeric, *parts["user"], *parts["item"]]
        if self.match:
            inputs.append(self.match(torch.cat(parts["user"], 1), torch.cat(parts["item"], 1)))
        return torch.cat(inputs, 1)
