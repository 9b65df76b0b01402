"""The model's inputs in groups that people know: one for each declared feature.

A group holds all that stands for its feature: the slots of a list, the flag that says that it is missing, all numbers
of a text vector. Where a family (ids, text, features of users, of items, of interactions, history) has several
features, it is also a group as a whole, because features that know the same stand in for each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mtl_pipeline.learning.data.encoding import Columns, FeatureEncoder
from mtl_pipeline.spec import ColumnFeatures, PipelineSpec


@dataclass(frozen=True)
class FeatureGroup:
    """Columns of `Rows` that are shuffled together."""

    name: str
    family: str
    is_family: bool
    """Whether it is the whole family, not one feature."""
    columns: Columns


def feature_groups(spec: PipelineSpec, encoder: FeatureEncoder) -> list[FeatureGroup]:
    """Families in the order of the report, each whole before its features in the order of defs.yaml."""
    features, columns = spec.features, encoder.feature_columns

    def declared(table: ColumnFeatures) -> dict[str, Columns]:
        return {name: columns[name] for name in [*table.categorical, *table.numeric]}

    families: dict[str, dict[str, Columns]] = {
        "ids": {name.replace("_", " "): {"ids": [place]} for place, name in enumerate(encoder.ids)},
        "text": {
            f"{name.removesuffix('_id')} text": {"text": [place]}
            for place, name in enumerate(encoder.text_ids)
        },
        "user features": declared(features.users),
        "item features": declared(features.items),
        "interaction features": declared(features.interactions),
        "history": {feature.name: columns[feature.name] for feature in features.history},
    }
    groups = []
    for family, members in families.items():
        if len(members) > 1:
            groups.append(FeatureGroup(f"all {family}", family, True, joined(members)))
        groups += [FeatureGroup(name, family, False, found) for name, found in members.items()]
    return groups


def joined(members: Mapping[str, Columns]) -> Columns:
    tensors = dict.fromkeys(tensor for columns in members.values() for tensor in columns)
    return {
        tensor: [column for columns in members.values() for column in columns.get(tensor, [])]
        for tensor in tensors
    }
