"""The model's features as a matrix, for models that know no embeddings."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.decomposition import PCA

from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.data.encoding import CategoricalField, Rows
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
                dataset.text.tables[table].vectors, dataset.train.text[:, column].unique().numpy()
            )
            for column, table in enumerate(spec.text_tables)
        ]

    def build(self, rows: Rows) -> np.ndarray:
        """float32 [rows, features]."""
        parts = [rows.numeric]
        slot = 0
        for field in self.fields:
            values = rows.categorical[:, slot : slot + field.slots].long()
            columns = min(field.size, MOST_CATEGORIES)
            values[values > columns] = 0
            parts.append(torch.zeros(len(rows), columns + 1).scatter_(1, values, 1.0)[:, 1:])
            slot += field.slots
        parts += [
            torch.from_numpy(components[rows.text[:, column].numpy()])
            for column, components in enumerate(self.components)
        ]
        return torch.cat(parts, 1).numpy()


def text_components(vectors: np.ndarray, train_rows: np.ndarray) -> np.ndarray:
    """float32 [vectors, components]: principal components fitted on the training rows' vectors."""
    known = vectors[train_rows]
    analysis = PCA(min(TEXT_COMPONENTS, *known.shape), random_state=0).fit(known)
    return analysis.transform(vectors).astype(np.float32)
