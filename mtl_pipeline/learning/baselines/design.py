"""The model's features as a matrix, for models that know no embeddings."""

from __future__ import annotations

import numpy as np
import torch

from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.data.encoding import CategoricalField, Rows
from mtl_pipeline.learning.representation.components import Components
from mtl_pipeline.spec import PipelineSpec

TEXT_COMPONENTS = 32
MOST_CATEGORIES = 100
"""Values of a categorical feature that get a column: the most frequent ones; the others share none."""


class DesignMatrix:
    """Numerics, one-hot categories, and principal components of the text vectors of training's users and items."""

    def __init__(self, dataset: Dataset, spec: PipelineSpec) -> None:
        self.fields: list[CategoricalField] = dataset.encoder.fields
        self.components = [
            text_components(
                dataset.text.tables[table].vectors,
                dataset.encoder.text_row(dataset.trained_on(name), name).to_numpy(writable=True),
            )
            for table, name in zip(spec.text_tables, dataset.encoder.text_ids, strict=True)
        ]

    def build(self, rows: Rows) -> np.ndarray:
        """float32 [rows, features]."""
        parts = [rows.numeric]
        slots = rows.categorical.split([field.slots for field in self.fields], 1)
        for field, values in zip(self.fields, slots, strict=True):
            columns = min(field.size, MOST_CATEGORIES)
            known = values.where(values <= columns, 0).long()
            parts.append(torch.zeros(len(rows), columns + 1).scatter_(1, known, 1.0)[:, 1:])
        parts += [
            torch.from_numpy(components[rows.text[:, column].numpy()])
            for column, components in enumerate(self.components)
        ]
        return torch.cat(parts, 1).numpy()


def text_components(vectors: np.ndarray, train_rows: np.ndarray) -> np.ndarray:
    """float32 [vectors, components]: the leading ones of those that a network reads which is told to."""
    components, texts = Components(vectors.shape[1], TEXT_COMPONENTS), torch.from_numpy(vectors)
    components.fit(texts, torch.from_numpy(train_rows))
    return components(texts).numpy()
