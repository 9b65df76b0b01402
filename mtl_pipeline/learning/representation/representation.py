"""From encoded rows to the representation that every task reads: embeddings of ids and categories, projected texts,
numbers, and the interaction of user and item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.data.encoding import CategoricalField, Rows, SideFeatures
from mtl_pipeline.learning.data.streaming import TrainingRows
from mtl_pipeline.learning.representation.components import Components
from mtl_pipeline.learning.representation.lookup import look_up
from mtl_pipeline.learning.representation.numbers import PiecewiseEmbedding
from mtl_pipeline.learning.representation.parts import Parts
from mtl_pipeline.learning.representation.sequences import SEQUENCE_ENCODERS
from mtl_pipeline.learning.representation.sequences.base import SequenceShape
from mtl_pipeline.spec import Model, Task

SIDES = ("user", "item")
PRODUCTS_OF_WHOLE_TEXTS = 32
"""Width of the products of user and item where text vectors are not projected."""


@dataclass(frozen=True)
class NetworkShape:
    """Sizes that come from the data."""

    ids: dict[str, int]
    """Vocabulary size by name of the id, in the order of `Rows.ids`."""
    fields: tuple[CategoricalField, ...]
    numerics: int
    outputs: tuple[int, ...]
    """Numbers to give for each task."""
    sequence: SequenceShape | None = None
    """Where there are sequences to read."""
    sides: dict[str, SideFeatures] = field(default_factory=dict)
    """Whose the features are, by `user` and `item`."""
    given: tuple[int | None, ...] = ()
    """Of each task the place of the one that it is given, if that is among them."""

    def of_tasks(self, tasks: Sequence[Task]) -> NetworkShape:
        """The same inputs for a network of these tasks."""
        places = {task.name: place for place, task in enumerate(tasks)}
        given = tuple(places.get(task.given or "") for task in tasks)
        return replace(self, outputs=tuple(task.outputs for task in tasks), given=given)


@dataclass(frozen=True)
class Input:
    """One of the parts that the representation is made of."""

    width: int
    learned: bool = True
    """Whether gradients flow into it."""


class IdEmbedding(nn.Module):
    """An embedding per known id; row 0 stands for unknown ids."""

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.table = nn.Embedding(size + 1, dimension, sparse=True)
        nn.init.normal_(self.table.weight, std=0.01)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids)


class CategoricalEmbedding(nn.Module):
    """All categorical features in one table; the values of a list-valued feature are averaged.

    In training some features of some rows are hidden, which teaches their row 0 to stand for the unknown: a new
    category, or the device or hour of a recommendation that nobody has asked for yet.
    """

    offsets: Tensor
    field_of_slot: Tensor

    def __init__(self, fields: Sequence[CategoricalField], dimension: int, hide: float = 0.0) -> None:
        super().__init__()
        self.slots = [field.slots for field in fields]
        self.hide = hide
        sizes = torch.tensor([field.size + 1 for field in fields], dtype=torch.int32)
        self.table = nn.Embedding(int(sizes.sum()) or 1, dimension)
        nn.init.normal_(self.table.weight, std=0.05)
        field_of_slot = torch.arange(len(fields)).repeat_interleave(
            torch.tensor(self.slots, dtype=torch.int64)
        )
        starts = (sizes.cumsum(0) - sizes).int()
        self.register_buffer("offsets", starts[field_of_slot], persistent=False)
        self.register_buffer("field_of_slot", field_of_slot, persistent=False)

    def forward(self, categorical: Tensor) -> Tensor:
        """int32 [rows, slots] → float32 [rows, fields × dimension]."""
        if self.training and self.hide:
            shown = torch.rand(len(categorical), len(self.slots), device=categorical.device) >= self.hide
            categorical = categorical * shown[:, self.field_of_slot]
        embedded = look_up(categorical + self.offsets, self.table.weight)
        parts = []
        for part, values in zip(embedded.split(self.slots, 1), categorical.split(self.slots, 1), strict=True):
            if values.shape[1] > 1:
                present = (values > 0).unsqueeze(-1)
                part = (part * present).sum(1, keepdim=True) / present.sum(1, keepdim=True).clamp(min=1)
            parts.append(part.flatten(1))
        return torch.cat(parts, 1) if parts else embedded.flatten(1)


class FrozenText(nn.Module):
    """Text vectors as they are, or their components."""

    vectors: Tensor

    def __init__(self, vectors: Tensor, components: Components | None = None) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors, persistent=False)
        self.components = components
        self.width = components.width if components else vectors.shape[1]
        self.reduced: Tensor | None = None
        self.rounded: Tensor | None = None

    def forward(self, rows: Tensor) -> Tensor:
        return look_up(rows, self.read())

    @property
    def nothing(self) -> Tensor:
        """What is read where there is no text: [width]."""
        return self.vectors.new_zeros(self.width)

    def read(self) -> Tensor:
        """[texts, width]; in mixed precision rounded once, so that a step has half as much to read."""
        if not torch.is_autocast_enabled(self.vectors.device.type):
            return self.exact()
        if self.rounded is None:
            self.rounded = self.exact().to(torch.get_autocast_dtype(self.vectors.device.type))
        return self.rounded

    def exact(self) -> Tensor:
        """float32 [texts, width]; components are computed once, after they are fitted or loaded."""
        if self.components is None:
            return self.vectors
        if self.reduced is None:
            with torch.inference_mode(False), torch.autocast(self.vectors.device.type, enabled=False):
                self.reduced = self.components(self.vectors)
        return self.reduced


class TextProjection(FrozenText):
    """A trained projection of frozen text vectors, computed once per vector where that is cheaper."""

    def __init__(self, vectors: Tensor, components: Components | None, dimension: int) -> None:
        super().__init__(vectors, components)
        self.project = nn.Linear(self.width, dimension)
        self.kept: Tensor | None = None
        """The projection of all vectors, while the weights do not change: see `Representation.texts_kept`."""

    @property
    def nothing(self) -> Tensor:
        return self.project.bias

    def forward(self, rows: Tensor) -> Tensor:
        if self.kept is not None:
            return look_up(rows, self.kept)
        if len(self.vectors) <= len(rows):
            return look_up(rows, self.project(self.read()))
        return self.project(super().forward(rows))


class Interaction(nn.Module):
    """The elementwise product of a projection of the user's side and one of the item's side: a factorisation machine
    (Rendle, ICDM 2010, https://doi.org/10.1109/ICDM.2010.127) between the two, which a sum of layers learns slowly."""

    def __init__(self, user_width: int, item_width: int, dimension: int) -> None:
        super().__init__()
        self.user_side = nn.Linear(user_width, dimension)
        self.item_side = nn.Linear(item_width, dimension)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        return self.user_side(user) * self.item_side(item)


class Representation(nn.Module):
    """Embeds the inputs. Ids and texts are optional; with a user and an item, their interaction is an input too."""

    def __init__(
        self, model: Model, shape: NetworkShape, texts: Mapping[str, Tensor], own_ids: bool = False
    ) -> None:
        """`texts`: as in MultiTaskNetwork; `own_ids`: as in Architecture."""
        super().__init__()
        self.hide, self.hide_texts = model.id_dropout, model.text_dropout
        self.ids = nn.ModuleDict()
        for name, size in shape.ids.items():
            self.ids[name] = IdEmbedding(size, model.id_dimension)
        self.own = nn.ModuleDict()
        """By id, the embeddings that single tasks have to themselves, side by side."""
        own = model.id_dimension * len(shape.outputs)
        for name, size in shape.ids.items() if own_ids else ():
            self.own[name] = IdEmbedding(size, own)
        self.categorical = CategoricalEmbedding(
            shape.fields, model.categorical_dimension, model.category_dropout
        )
        self.numbers = (
            PiecewiseEmbedding(shape.numerics, model.categorical_dimension)
            if model.numbers == "piecewise"
            else None
        )
        self.texts = nn.ModuleDict()
        self.text_widths = dict.fromkeys(SIDES, 0)
        of_side = {side: [Input(model.id_dimension)] if f"{side}_id" in self.ids else [] for side in SIDES}
        for table, vectors in texts.items():
            side, dimension = table.removesuffix("s"), model.text_dimension
            frozen = vectors, Components.of(model, vectors.shape[1])
            text = TextProjection(*frozen, dimension) if dimension else FrozenText(*frozen)
            self.texts[side], self.text_widths[side] = text, dimension or text.width
            of_side[side].append(Input(self.text_widths[side], learned=dimension is not None))
        user, item = (sum(part.width for part in of_side[side]) for side in SIDES)
        read = shape if model.interaction == "features" else replace(shape, sides={})
        columns = {side: feature_columns(read, side, model.categorical_dimension) for side in SIDES}
        self.features_of_user, self.features_of_item = (
            nn.Buffer(columns[side], persistent=False) for side in SIDES
        )
        user_side, item_side = user + len(columns["user"]), item + len(columns["item"])
        products = model.text_dimension or PRODUCTS_OF_WHOLE_TEXTS
        self.interaction = Interaction(user_side, item_side, products) if user_side and item_side else None
        self.sequence = (
            SEQUENCE_ENCODERS[model.sequence_encoder](item, model.sequence_dimension, shape.sequence)
            if model.sequence_encoder and shape.sequence
            else None
        )
        of_both = [products] if self.interaction else []
        of_both += [self.sequence.width] if self.sequence else []
        self.width_of_both = sum(of_both)
        numbers = [shape.numerics * model.categorical_dimension] if self.numbers else []
        inputs = [
            Input(len(shape.fields) * model.categorical_dimension),
            Input(shape.numerics, learned=False),
            *of_side["user"],
            *of_side["item"],
            *(Input(own) for _ in self.own),
            *map(Input, numbers + of_both),
        ]
        self.learned_of = {side: [part.learned for part in of_side[side]] for side in SIDES}
        self.width = sum(part.width for part in inputs)
        self.learned = [part.learned for part in inputs]

    @property
    def tables(self) -> list[nn.Parameter]:
        """The id tables, of which a batch touches few rows."""
        return [
            embedding.get_parameter("table.weight") for embedding in (*self.ids.values(), *self.own.values())
        ]

    def forward(self, rows: Rows) -> Parts:
        """[rows, width]."""
        rows = replace(rows, ids=self.hidden(rows.ids))
        parts = self.sides(rows)
        inputs = self.of_one_side(rows, parts)
        if self.interaction:
            inputs.append(self.interaction(*(self.side(name, parts, inputs) for name in SIDES)))
        if self.sequence:
            inputs.append(self.sequence(torch.cat(parts["item"], 1), *self.past(rows)))
        return Parts.of(inputs, self.learned)

    def hidden(self, ids: Tensor) -> Tensor:
        """The same, but in training with some of them unknown: that teaches row 0 to stand for unknown ids, and in all
        tables of an id alike."""
        if not (self.training and self.hide):
            return ids
        return ids * (torch.rand(ids.shape, device=ids.device) >= self.hide)

    def sides(self, rows: Rows) -> dict[str, list[Tensor]]:
        """What stands for the user and for the item: by side, float32 [rows, width of a part] each."""
        parts: dict[str, list[Tensor]] = {side: [] for side in SIDES}
        for column, (name, embedding) in enumerate(self.ids.items()):
            parts[name.removesuffix("_id")].append(embedding(rows.ids[:, column]))
        for column, side in enumerate(self.texts):
            parts[side].append(self.text(side, rows.text[:, column]))
        return parts

    def text(self, side: str, rows: Tensor) -> Tensor:
        """What is read of texts, or pictures, by number: [rows, width]. In training some are hidden, as ids are."""
        text = cast(FrozenText, self.texts[side])
        found = text(rows)
        if not (self.training and self.hide_texts):
            return found
        shown = torch.rand(len(rows), 1, device=found.device) >= self.hide_texts
        return found.where(shown, text.nothing.to(found.dtype))

    def of_one_side(self, rows: Rows, parts: Mapping[str, list[Tensor]]) -> list[Tensor]:
        """The first columns of the representation: of a user, of an item, or a number of both. A further kind of input
        also says in factored.py whose it is."""
        inputs = [self.categorical(rows.categorical), rows.numeric, *parts["user"], *parts["item"]]
        inputs += [embedding(rows.ids[:, column]) for column, embedding in enumerate(self.own.values())]
        return [*inputs, self.numbers(rows.numeric)] if self.numbers else inputs

    def side(self, name: str, parts: Mapping[str, list[Tensor]], inputs: Sequence[Tensor]) -> Parts:
        """All that is of the user alone, or of the item alone: [rows, width of the side]. `parts` and `inputs`: of
        `sides` and `of_one_side`."""
        columns = self.features_of_user if name == "user" else self.features_of_item
        features = [torch.cat([*inputs[:2]], 1).index_select(1, columns)] if len(columns) else []
        return Parts.of([*parts[name], *features], [*self.learned_of[name], *(True for _ in features)])

    def past(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the sequence encoder is told of the items that rows look up, each embedded once."""
        assert rows.chosen is not None
        assert self.sequence is not None
        places, present = self.sequence.places(rows.sequence)
        places = places.flatten()
        item = rows.chosen.item.index_select(0, places)
        needed = item.bincount(minlength=len(rows.chosen.ids)) > 0
        items = self.items(rows.chosen.ids[needed], rows.chosen.text[needed])
        number = (needed.cumsum(0) - 1).index_select(0, item)
        labels = rows.chosen.labels.index_select(0, places)
        return items, number.view_as(present), present, labels.view(*present.shape, -1)

    def items(self, ids: Tensor, text: Tensor) -> Tensor:
        """What stands for items: int32 [items, 1] and [items, 1 or 0] → float32 [items, width of the item's side]."""
        parts = [self.ids["item_id"](self.hidden(ids)[:, 0])]
        parts += [self.text("item", text[:, 0])] if "item" in self.texts else []
        return torch.cat(parts, 1)

    def fit(self, train: TrainingRows) -> None:
        """Take from the training rows what is not learned by gradients: the bins of numbers, the scale of labels, the
        components of texts."""
        texts = [cast(FrozenText, text) for text in self.texts.values()]
        if self.numbers or self.sequence or any(text.components for text in texts):
            sample = train.sample()
        for column, text in enumerate(texts):
            if text.components:
                text.components.fit(text.vectors, sample.text[:, column])
        if self.numbers:
            self.numbers.fit(sample.numeric)
        if self.sequence:
            self.sequence.fit(sample)

    def forget_rounded(self) -> None:
        """Of text vectors, once no more training follows, what only training reads."""
        for text in self.texts.children():
            assert isinstance(text, FrozenText)
            text.rounded = None

    @contextmanager
    def texts_kept(self, rows: int) -> Iterator[None]:
        """Within, each text is projected once for all batches, where these have more `rows` than there are texts. For
        inference only: the weights must not change meanwhile."""
        texts = [text for text in self.texts.values() if isinstance(text, TextProjection)]
        kept = [text for text in texts if len(text.vectors) <= rows]
        for projection in kept:
            projection.kept = projection.project(projection.exact())
        try:
            yield
        finally:
            for projection in kept:
                projection.kept = None


def feature_columns(shape: NetworkShape, side: str, dimension: int) -> Tensor:
    """int64: where the features of a side lie in categories, embedded in so many dimensions, followed by numbers."""
    of = shape.sides.get(side, SideFeatures())
    embedded = torch.arange(len(shape.fields) * dimension).view(-1, dimension)[list(of.fields)].flatten()
    return torch.cat([embedded, len(shape.fields) * dimension + torch.tensor(of.numerics, dtype=torch.int64)])
