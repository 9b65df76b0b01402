"""The weights of an earlier network for the vocabularies and statistics of today's training split: as it read a row
then, so does the new one before its first step.

- Rows of ids and categories go by value to their present places. A value that the earlier network does not know gets
  its row 0, as which it would have been read, and which hidden ids have trained to stand for the unknown. An id with
  text gets the row that a ridge regression on text vectors predicts, fitted on the ids that the network knows.
- Layers that read numbers take in how means and deviations have changed. Where numbers are multiplied (cross layers,
  PEPNet) that is no linear change, and where layers are normalised (`expert_normalisation: batch`) means go of
  themselves: there they are off by the drift of a night, until the first steps.
- The bins of numbers stay those of the earlier training split, for its weights belong to them; so does the scale of the
  labels in sequences. A missing number, which counts as the mean, moves among the bins as far as the mean has moved.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import torch
from sklearn.linear_model import RidgeCV
from torch import Tensor, nn

from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.data.encoding import FeatureEncoder
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.representation.whole import Whole

PENALTIES = np.logspace(-2, 5, 8)
"""Of the regression; leaving out one id after another chooses."""
MOST, FEWEST = 10_000, 20
"""Ids that it is fitted on; with fewer there is none."""


def carried_over(network: MultiTaskNetwork, then: FeatureEncoder, dataset: Dataset) -> dict[str, Tensor]:
    """The weights of a network that reads what `then` encodes, for what the dataset encodes: by name, on the CPU."""
    now, representation = dataset.encoder, network.cpu().representation
    restandardise(network, then, now)
    weights = {name: value.detach() for name, value in network.state_dict().items()}
    for kind, tables in (("ids", representation.ids), ("own", representation.own)):
        for name in tables:
            key = f"representation.{kind}.{name}.table.weight"
            weights[key] = id_rows(weights[key], name, then, dataset)
    if then.fields:
        key = "representation.categorical.table.weight"
        tables = weights[key].split([field.size + 1 for field in then.fields])
        weights[key] = torch.cat(
            [
                rows_by_value(one, field.name, then, now)
                for one, field in zip(tables, then.fields, strict=True)
            ]
        )
    return weights


def rows_by_value(table: Tensor, name: str, then: FeatureEncoder, now: FeatureEncoder) -> Tensor:
    """Rows of a table in the order of the present vocabulary."""
    values = now.vocabulary.get(name, pl.Series(dtype=pl.String))
    places = torch.from_numpy(then.index(values, name).to_numpy(writable=True))
    return table[torch.cat([places.new_zeros(1), places])]


def id_rows(table: Tensor, name: str, then: FeatureEncoder, dataset: Dataset) -> Tensor:
    """`rows_by_value`, with the rows of new ids predicted from their texts where they have some."""
    now, rows = dataset.encoder, rows_by_value(table, name, then, dataset.encoder)
    if name not in now.text_ids:
        return rows
    before, place = (encoder.index(now.text_ids[name], name).to_numpy() for encoder in (then, now))
    known, new = np.flatnonzero(before), np.flatnonzero((before == 0) & (place > 0))
    if len(known) >= FEWEST and len(new):
        vectors = dataset.text.tables[f"{name.removesuffix('_id')}s"].vectors
        fitted = known[:: -(-len(known) // MOST)]
        learned = table[torch.from_numpy(before[fitted])].double().numpy()
        ridge = RidgeCV(PENALTIES).fit(vectors[fitted].astype(np.float64), learned)
        rows[torch.from_numpy(place[new])] = torch.from_numpy(ridge.predict(vectors[new])).float()
    return rows


def restandardise(network: MultiTaskNetwork, then: FeatureEncoder, now: FeatureEncoder) -> None:
    """Change the layers that read numbers as `then` standardised them to give the same of numbers as `now` does."""
    matrix, shift = change_of_numbers(then, now)
    with torch.no_grad():
        if bins := network.representation.numbers:
            bins.edges.sub_(shift[:, None]).div_(matrix.diagonal()[:, None])
        for layer, columns, numbers in readers_of_numbers(network, len(shift)):
            weight = layer.weight[:, columns].double()
            layer.weight[:, columns] = (weight @ matrix[numbers][:, numbers]).float()
            if layer.bias is not None:
                layer.bias.add_((weight @ shift[numbers]).float())


def change_of_numbers(then: FeatureEncoder, now: FeatureEncoder) -> tuple[Tensor, Tensor]:
    """float64 [numbers, numbers] and [numbers]: matrix @ number + shift is the number as `then` has it. A missing one,
    0 for both, is not shifted: its flag, 1, takes that back."""
    names, of_both = now.numeric_names, (then.statistics, now.statistics)
    (mean, new_mean), (deviation, new_deviation) = (
        [known[moment].to_torch() for known in of_both] for moment in ("mean", "standard_deviation")
    )
    matrix, shift = torch.eye(len(names), dtype=torch.float64), torch.zeros(len(names), dtype=torch.float64)
    matrix.diagonal()[: len(mean)], shift[: len(mean)] = (
        new_deviation / deviation,
        (new_mean - mean) / deviation,
    )
    for place, name in enumerate(now.flagged, start=len(mean)):
        matrix[names.index(name), place] = -shift[names.index(name)]
    return matrix, shift


def readers_of_numbers(network: MultiTaskNetwork, numbers: int) -> Iterator[tuple[nn.Linear, Tensor, Tensor]]:
    """The linear layers that read numbers: in which of their columns, and which of the numbers."""
    representation = network.representation
    embedded = len(representation.categorical.slots) * representation.categorical.table.embedding_dim
    multiplied = any(isinstance(module, Whole) for module in network.modules())
    for layer in network.modules():
        if isinstance(layer, nn.Linear) and layer.in_features == representation.width and not multiplied:
            yield layer, embedded + torch.arange(numbers), torch.arange(numbers)
    if interaction := representation.interaction:
        for layer, features in (
            (interaction.user_side, representation.features_of_user),
            (interaction.item_side, representation.features_of_item),
        ):
            places = (features >= embedded).nonzero().flatten()
            yield layer, layer.in_features - len(features) + places, features[places] - embedded
