"""The published examples and vectors of texts and pictures, ready to learn from."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import torch

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.encoding import FeatureEncoder, Rows, list_slots
from mtl_pipeline.learning.data.samples import drawn_rows
from mtl_pipeline.learning.data.streaming import ParquetLines, StreamedRows, TrainingRows
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import folder_fingerprint, reading
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.vectors import Vectors, content_fingerprint, read_vectors


@dataclass(frozen=True)
class TextVectors:
    """Vectors of the users and of the items, where they have texts or pictures, in the order of their ids."""

    tables: dict[str, Vectors]

    @classmethod
    def read(cls, paths: PipelinePaths, spec: PipelineSpec) -> TextVectors:
        parts = {
            table: [read_vectors(paths.embeddings(*pair)) for pair in spec.embedded if pair[0] == table]
            for table in spec.text_tables
        }
        return cls({table: fused(*vectors) for table, vectors in parts.items()})

    @property
    def ids(self) -> dict[str, pl.Series]:
        ids = {table: pl.Series(vectors.ids) for table, vectors in self.tables.items()}
        return {f"{table.removesuffix('s')}_id": series for table, series in ids.items()}

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """float32 [rows, dimension] by table."""
        return {table: torch.from_numpy(vectors.vectors) for table, vectors in self.tables.items()}

    @property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprint of the encoder of each set of vectors."""
        return {table: vectors.metadata["encoder_fingerprint"] for table, vectors in self.tables.items()}

    @property
    def contents(self) -> dict[str, str]:
        """Fingerprint of the vectors themselves."""
        return {
            table: content_fingerprint(vectors.ids, vectors.vectors) for table, vectors in self.tables.items()
        }


def fused(first: Vectors, *others: Vectors) -> Vectors:
    """All by id, one after the other; zero where one of them has no such row.

    Encoders differ in how long their vectors are, and the longest would drown the others. Those of another encoder are
    made about as long as the first: times a power of two, which stays what it is while the catalogue changes little."""
    if not others:
        return first
    parts = first, *others
    ids = pa.concat_arrays([part.ids for part in parts]).unique()
    ids = ids.take(pc.sort_indices(ids))
    encoders = [part.metadata["encoder_fingerprint"] for part in parts]
    factors = [
        1.0 if of == encoders[0] else power_of_two(usual_length(first), usual_length(part))
        for part, of in zip(parts, encoders, strict=True)
    ]
    ends = np.cumsum([part.vectors.shape[1] for part in parts])
    vectors = np.zeros((len(ids), ends[-1]), dtype=np.float32)
    for part, factor, columns in zip(parts, factors, np.split(vectors, ends[:-1], axis=1), strict=True):
        columns[pc.index_in(part.ids, value_set=ids).to_numpy()] = part.vectors * np.float32(factor)
    also = "".join(f" + {factor:g} * {of}" for factor, of in zip(factors[1:], encoders[1:], strict=True))
    metadata = {"encoder_fingerprint": encoders[0] + also}
    return Vectors(ids, vectors, pa.nulls(len(ids), first.text_hashes.type), metadata)


def usual_length(vectors: Vectors) -> float:
    """The mean of those that are not zero; 0 where all are."""
    lengths = np.linalg.norm(vectors.vectors, axis=1)
    return float(lengths[lengths > 0].mean()) if lengths.any() else 0.0


def power_of_two(wanted: float, length: float) -> float:
    """The one that brings a length nearest to the wanted one; 1 where either is 0."""
    return 2.0 ** round(math.log2(wanted / length)) if wanted and length else 1.0


IS_TRAIN = pl.col("split") == "train"


class Dataset:
    """Examples by split, with the encoder that the training split defines. Rows are read when they are asked for."""

    def __init__(self, paths: PipelinePaths, spec: PipelineSpec) -> None:
        self.paths = paths
        with reading(paths.examples) as folder:
            self.fingerprint = folder_fingerprint(folder)
            self.lines = ParquetLines((folder / "examples.parquet").open("rb"))
            self.statistics = pl.read_parquet(folder / "statistics.parquet")
            self.vocabulary = pl.read_parquet(folder / "vocabulary.parquet")
            chosen = read_chosen(folder, spec)
        self.kept = ~IS_TRAIN | drawn(self.lines.all, spec)
        self.rows_in_memory = spec.training.rows_in_memory
        self.text = TextVectors.read(paths, spec)
        self.slots = list_slots(self.examples.filter(IS_TRAIN))
        self.encoder = FeatureEncoder(spec, self.statistics, self.vocabulary, self.slots, self.text.ids)
        self.chosen = self.encoder.encode_chosen(chosen)

    @property
    def examples(self) -> pl.LazyFrame:
        """All of them, but for those that `training.rows` leaves out."""
        return self.lines.all.filter(self.kept)

    def split(self, *names: str) -> pl.DataFrame:
        return self.examples.filter(pl.col("split").is_in(names)).collect()

    def trained_on(self, column: str) -> pl.Series:
        """The values of a column of the training split, each once."""
        return self.examples.filter(IS_TRAIN).select(pl.col(column).unique()).collect().to_series()

    def without_text(self, spec: PipelineSpec) -> Dataset:
        """The same examples, encoded alike, for a network that gets no text vectors and nothing made of them."""
        blind = copy.copy(self)
        blind.text = TextVectors({})
        if spec.text_relations:
            nothing = (pl.lit(None, pl.Float64).alias(name) for name in spec.text_relations)
            blind.lines = replace(self.lines, replaced=tuple(nothing))
            for rows in ("train", "validation"):
                blind.__dict__.pop(rows, None)
        return blind

    def observed(self, task: str) -> np.ndarray:
        """The numbers of the training rows on which a task was observed."""
        return np.flatnonzero(~np.isnan(self.train.labels[:, self.encoder.tasks.index(task)].numpy()))

    def drawn_for(self, task: str, spec: PipelineSpec) -> Dataset:
        """The same, with no more training rows than the baselines of a task may learn from."""
        if spec.baselines.rows is None:
            return self
        thinned = copy.copy(self)
        thinned.__dict__["scaling_labels"] = self.scaling_labels
        rows = drawn_rows(self.observed(task), spec.baselines.rows, spec.seed)
        thinned.__dict__["train"] = self.train[torch.from_numpy(rows)]
        return thinned

    @cached_property
    def train(self) -> TrainingRows:
        """In memory, unless they are more than `training.rows_in_memory`."""
        if self.examples.select(IS_TRAIN.sum()).collect().item() <= self.rows_in_memory:
            return self.encode(self.split("train"))
        return StreamedRows.of(
            self.lines, IS_TRAIN & self.kept, self.encoder, self.chosen, self.rows_in_memory
        )

    @cached_property
    def scaling_labels(self) -> torch.Tensor:
        """float32 [rows, tasks]: the training labels that numbers are standardised by, also for a network that learns
        from fewer of these rows: else its outputs would mean something else than those of the network beside it."""
        return self.train.labels

    @cached_property
    def validation(self) -> Rows:
        return self.encode(self.split("validation"))

    def encode(self, rows: pl.DataFrame) -> Rows:
        """Some of the examples, encoded."""
        return self.encoder.encode(rows, self.chosen)

    @property
    def validation_labels(self) -> dict[str, np.ndarray]:
        """By task, float32 [validation rows]; NaN where not observed. What calibration is fitted on."""
        return dict(zip(self.encoder.tasks, self.validation.labels.numpy().T, strict=True))

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def drawn(examples: pl.LazyFrame, spec: PipelineSpec) -> pl.Expr:
    """Whether a row of the training split is one of the `training.rows` with the lowest hashes."""
    if spec.training.rows is None:
        return pl.lit(True)
    hashed = pl.col("example_id").hash(spec.seed)
    lowest = examples.filter(IS_TRAIN).select(hashed.bottom_k(spec.training.rows)).max().collect().item()
    return hashed <= pl.lit(lowest, pl.UInt64)


def read_chosen(folder: Path, spec: PipelineSpec) -> pl.DataFrame | None:
    """What users chose, from a folder of examples; None where the pipeline has no sequences. Raises UserError where
    the file is missing."""
    if spec.features.sequence is None:
        return None
    if not (folder / "chosen.parquet").is_file():
        raise UserError("examples was made by an earlier version of this project: materialize it again")
    return pl.read_parquet(folder / "chosen.parquet")
