"""The published examples and text vectors, ready to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import polars as pl
import torch

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.encoding import FeatureEncoder, Rows, list_slots
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.vectors import Vectors, read_vectors


@dataclass(frozen=True)
class TextVectors:
    """Vectors of users and items, each in the order of its ids."""

    users: Vectors
    items: Vectors

    @classmethod
    def read(cls, paths: PipelinePaths) -> TextVectors:
        return cls(read_vectors(paths.user_embeddings), read_vectors(paths.item_embeddings))

    @property
    def ids(self) -> dict[str, pl.Series]:
        return {
            name: pl.Series(vectors.ids)
            for name, vectors in (("user_id", self.users), ("item_id", self.items))
        }

    @property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprint of the encoder behind each set of vectors."""
        return {
            "users": self.users.metadata["encoder_fingerprint"],
            "items": self.items.metadata["encoder_fingerprint"],
        }


class Dataset:
    """Examples by split, with the encoder that the training split defines."""

    def __init__(self, paths: PipelinePaths, spec: PipelineSpec) -> None:
        path = paths.examples / "examples.parquet"
        if not path.is_file():
            raise UserError(f"{path} does not exist yet: materialize examples first")
        self.examples = pl.read_parquet(path)
        self.statistics = pl.read_parquet(paths.examples / "statistics.parquet")
        self.vocabulary = pl.read_parquet(paths.examples / "vocabulary.parquet")
        self.text = TextVectors.read(paths)
        self.slots = list_slots(self.examples.filter(pl.col("split") == "train"))
        self.encoder = FeatureEncoder(spec, self.statistics, self.vocabulary, self.slots, self.text.ids)

    def split(self, *names: str) -> pl.DataFrame:
        return self.examples.filter(pl.col("split").is_in(names))

    @cached_property
    def train(self) -> Rows:
        return self.encoder.encode(self.split("train"))

    @cached_property
    def validation(self) -> Rows:
        return self.encoder.encode(self.split("validation"))

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
