"""From raw feature values to tensors, with the statistics and vocabulary of the training split."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from polars import selectors

from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import CHOSEN_FROM, CHOSEN_TO, PipelineSpec

Columns = Mapping[str, list[int]]
"""Columns by tensor of `Rows`."""

LONGEST_LIST = 8
"""Values kept of a list-valued categorical feature; later ones are dropped."""


@dataclass(frozen=True)
class Chosen:
    """What users chose, one user after another, oldest first; and the items among that, each once."""

    ids: torch.Tensor
    """int32 [items, 1]: as in `Rows`."""
    text: torch.Tensor
    """int32 [items, 1 where items have text]: as in `Rows`."""
    item: torch.Tensor
    """int64 [choices]: which of the items."""
    labels: torch.Tensor
    """float32 [choices, labels of the sequence]: NaN where not known."""

    def to(self, device: torch.device) -> Chosen:
        return Chosen(*(tensor.to(device) for tensor in vars(self).values()))


@dataclass(frozen=True)
class Rows:
    """Encoded examples as contiguous tensors; as what a network learns from, see `TrainingRows`."""

    ids: torch.Tensor
    """int32 [rows, ids]: vocabulary index of each id; 0 = unknown."""
    categorical: torch.Tensor
    """int32 [rows, slots]: vocabulary indices, one slot per value; 0 = unknown or absent."""
    numeric: torch.Tensor
    """float32 [rows, numerics]: standardised values, then a 0/1 flag per feature that can be missing."""
    text: torch.Tensor
    """int32 [rows, texts]: row of the text vector of the user and of the item, where they have text."""
    labels: torch.Tensor
    """float32 [rows, tasks]: NaN where not observed; classes by their number from 0."""
    sequence: torch.Tensor
    """int64 [rows, 2], without sequences [rows, 0]: from where, and up to before where, lies in `chosen` what the user
    chose last."""
    chosen: Chosen | None = None
    """What all rows look up together."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: torch.Tensor | slice) -> Rows:
        return self.each(lambda tensor: tensor[rows])

    def batches(self, size: int) -> Iterator[Rows]:
        """All rows in their order, at most `size` at a time."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def labelled(self, labels: torch.Tensor) -> Rows:
        return replace(self, labels=labels)[(~labels.isnan()).any(1)]

    def shuffled(
        self, passes: int, batch_size: int
    ) -> Callable[[int, int], Iterator[tuple[torch.Tensor, Rows]]]:
        order = torch.cat([torch.randperm(len(self)) for _ in range(passes)]).to(self.labels.device)

        def piece(first: int, end: int) -> Iterator[tuple[torch.Tensor, Rows]]:
            numbers = order[first:end]
            yield numbers, self.each(lambda tensor: tensor.index_select(0, numbers))

        return piece

    def sample(self) -> Rows:
        return self

    def to(self, device: torch.device) -> Rows:
        chosen = self.chosen.to(device) if self.chosen else None
        return replace(self.each(lambda tensor: tensor.to(device)), chosen=chosen)

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Rows:
        """With every tensor that has a line for each row changed."""
        return Rows(
            ids=change(self.ids),
            categorical=change(self.categorical),
            numeric=change(self.numeric),
            text=change(self.text),
            labels=change(self.labels),
            sequence=change(self.sequence),
            chosen=self.chosen,
        )

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Those that have a line for each row, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}


@dataclass(frozen=True)
class CategoricalField:
    """A categorical feature: the size of its vocabulary (without 0) and the slots it takes in `Rows`."""

    name: str
    size: int
    slots: int


@dataclass(frozen=True)
class SideFeatures:
    """The features of the user alone, or of the item alone, among all."""

    fields: tuple[int, ...] = ()
    numerics: tuple[int, ...] = ()
    """Columns of `Rows.numeric`."""


class FeatureEncoder:
    """Applies what the training split taught about each feature to any rows."""

    def __init__(
        self,
        spec: PipelineSpec,
        statistics: pl.DataFrame,
        vocabulary: pl.DataFrame,
        slots: dict[str, int],
        text_ids: dict[str, pl.Series],
    ) -> None:
        """`slots`: by list-valued feature; `text_ids`: by `user_id` and `item_id`, ids in order of their vectors."""
        self.tasks = [task.name for task in spec.tasks]
        self.ids = list(spec.ids)
        self.sequence_labels = spec.features.sequence.labels if spec.features.sequence else []
        self.statistics = statistics
        self.flagged = statistics.filter(pl.col("missing") > 0)["feature"].to_list()
        self.vocabulary = {
            str(feature): frame.sort("index")["value"]
            for (feature,), frame in vocabulary.partition_by("feature", as_dict=True).items()
        }
        self.fields = [
            CategoricalField(name, len(self.vocabulary.get(name, ())), slots.get(name, 1))
            for name in spec.categorical_features
        ]
        self.text_ids = text_ids
        self.sides = {side: self.side(names) for side, names in spec.features_by_side.items()}

    @property
    def numeric_names(self) -> list[str]:
        return [*self.statistics["feature"], *map(missing_flag, self.flagged)]

    @property
    def feature_columns(self) -> dict[str, Columns]:
        """Where each declared feature lies in `Rows`: its slots, or its value and its flag."""
        columns: dict[str, Columns] = {}
        start = 0
        for field in self.fields:
            columns[field.name] = {"categorical": list(range(start, start + field.slots))}
            start += field.slots
        for place, name in enumerate(self.statistics["feature"]):
            flag = [len(self.statistics) + self.flagged.index(name)] if name in self.flagged else []
            columns[name] = {"numeric": [place, *flag]}
        return columns

    def side(self, names: Collection[str]) -> SideFeatures:
        """Where these features lie among all."""
        numerics = {*names, *map(missing_flag, names)}
        return SideFeatures(
            tuple(place for place, field in enumerate(self.fields) if field.name in names),
            tuple(place for place, name in enumerate(self.numeric_names) if name in numerics),
        )

    def encode(self, frame: pl.DataFrame, chosen: Chosen | None = None) -> Rows:
        """Encode rows that have ids and raw features; labels that are absent become NaN. `chosen`: what their sequences
        are of, where the pipeline has these."""
        rows = len(frame)
        ids = [self.index(frame[name], name) for name in self.ids]
        slots = [slot for field in self.fields for slot in self.slot_columns(frame[field.name], field)]
        texts = [self.text_row(frame[name], name) for name in self.text_ids]
        numeric = self.numeric_columns(frame)
        places = [frame[name] for name in (CHOSEN_FROM, CHOSEN_TO)] if chosen else []
        return Rows(
            ids=stack(ids, rows, torch.int32),
            categorical=stack(slots, rows, torch.int32),
            numeric=stack([numeric[name] for name in self.numeric_names], rows, torch.float32),
            text=stack(texts, rows, torch.int32),
            labels=self.labels(frame),
            sequence=stack(places, rows, torch.int64),
            chosen=chosen,
        )

    def labels(self, frame: pl.DataFrame) -> torch.Tensor:
        """Of the tasks: see `Rows`."""
        unobserved = pl.repeat(None, len(frame), dtype=pl.Float32, eager=True)
        labels = [frame.get_column(task, default=unobserved).cast(pl.Float32) for task in self.tasks]
        return stack([label.fill_null(np.nan) for label in labels], len(frame), torch.float32)

    def encode_chosen(self, chosen: pl.DataFrame | None) -> Chosen | None:
        """`chosen`: as chosen.parquet, with one of the spec's sequence labels a column; None stays None."""
        if chosen is None:
            return None
        items = chosen["item_id"].unique(maintain_order=True)
        numbered = items.to_frame().with_row_index("item")
        joined = chosen.select("item_id").join(numbered, on="item_id", how="left", maintain_order="left")
        item = joined["item"].cast(pl.Int64)
        texts = [self.text_row(items, "item_id")] if "item_id" in self.text_ids else []
        labels = [chosen[name].cast(pl.Float32).fill_null(np.nan) for name in self.sequence_labels]
        return Chosen(
            ids=stack([self.index(items, "item_id")], len(items), torch.int32),
            text=stack(texts, len(items), torch.int32),
            item=torch.from_numpy(item.to_numpy(writable=True)),
            labels=stack(labels, len(chosen), torch.float32),
        )

    def index(self, values: pl.Series, feature: str) -> pl.Series:
        """Vocabulary index of each value, 0 where the vocabulary does not hold it."""
        known = self.vocabulary.get(feature, pl.Series(dtype=pl.String)).to_frame("value")
        numbered = known.with_row_index("index", offset=1)
        asked = values.cast(pl.String).to_frame("value")
        found = asked.join(numbered, on="value", how="left", maintain_order="left")  # faster than an Enum
        return found["index"].cast(pl.Int32).fill_null(0)

    def slot_columns(self, values: pl.Series, field: CategoricalField) -> list[pl.Series]:
        if not isinstance(values.dtype, pl.List):
            return [self.index(values, field.name)]
        return [
            self.index(values.list.get(slot, null_on_oob=True), field.name) for slot in range(field.slots)
        ]

    def numeric_columns(self, frame: pl.DataFrame) -> dict[str, pl.Series]:
        """Those of `numeric_names` that the frame has the features for."""
        columns = {}
        for known in self.statistics.iter_rows(named=True):
            feature = known["feature"]
            if feature not in frame.columns:
                continue
            values = frame[feature].cast(pl.Float64)
            if known["transform"] == "log1p":
                values = values.log1p()
            values = values.clip(
                known.get("lower"), known.get("upper")
            )  # models of earlier releases know no bounds
            standardised = (values - known["mean"]) / known["standard_deviation"]
            columns[feature] = standardised.fill_null(0).cast(pl.Float32)
            if known["missing"]:
                columns[missing_flag(feature)] = values.is_null().cast(pl.Float32)
        return columns

    def text_row(self, ids: pl.Series, name: str) -> pl.Series:
        if ids.dtype == pl.Null:  # rows of the other side: see encode_side
            return pl.zeros(len(ids), pl.Int32, eager=True)
        rows = pl.DataFrame({name: self.text_ids[name]}).with_row_index("row")
        row = ids.to_frame(name).join(rows, on=name, how="left", maintain_order="left")["row"]
        if row.null_count():
            asset = f"{name.removesuffix('_id')}_embeddings"
            raise UserError(f"{row.null_count():,} rows have no text vector: materialize {asset} again")
        return row.cast(pl.Int32)


def missing_flag(feature: str) -> str:
    """The column that says that a feature is missing: a name that no feature can have."""
    return f"{feature} missing"


def list_slots(examples: pl.LazyFrame) -> dict[str, int]:
    """Slots that each list-valued column needs: its longest list, at most LONGEST_LIST."""
    longest = examples.select(selectors.list().list.len().max()).collect(engine="streaming")
    return {column.name: max(1, min(LONGEST_LIST, column.item() or 1)) for column in longest}


def stack(columns: list[pl.Series], rows: int, dtype: torch.dtype) -> torch.Tensor:
    """[rows, columns]."""
    tensors = [torch.from_numpy(column.to_numpy(writable=True)) for column in columns]
    return torch.stack(tensors, 1) if tensors else torch.empty(rows, 0, dtype=dtype)
