"""The model's inputs in groups that people know: one for each declared feature.

A group holds everything that stands for its feature: the slots of a list, the flag that says that it is missing, all
numbers of a text vector. A family (ids, text, features of users, of items, of interactions, history) with several
features is also a group as a whole, because features that know the same stand in for each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from mtl_pipeline.learning.data.encoding import Columns, FeatureEncoder
from mtl_pipeline.spec import PipelineSpec


@dataclass(frozen=True)
class FeatureGroup:
    """Columns of `Rows` that are shuffled together."""

    name: str
    family: str
    is_family: bool
    """Whether it is the whole family, not one feature."""
    columns: Columns


def feature_groups(
    spec: PipelineSpec, encoder: FeatureEncoder, *, reads_sequences: bool = False
) -> list[FeatureGroup]:
    """Families in the order of the report, each whole before its features in the order of defs.yaml.
    `reads_sequences`: whether the network has an encoder of sequences."""
    features, columns = spec.features, encoder.feature_columns
    tables = {"user": features.users, "item": features.items, "interaction": features.interactions}
    families: dict[str, dict[str, Columns]] = {
        "ids": {name.replace("_", " "): {"ids": [place]} for place, name in enumerate(encoder.ids)},
        "text": {
            f"{name.removesuffix('_id')} text": {"text": [place]}
            for place, name in enumerate(encoder.text_ids)
        },
        **{
            f"{side} features": {name: columns[name] for name in [*table.categorical, *table.numeric]}
            for side, table in tables.items()
        },
        "history": {name: columns[name] for name in spec.history_features},
    }
    if reads_sequences:
        families["history"]["items chosen last"] = {"sequence": [0, 1]}
    groups = []
    for family, members in families.items():
        if len(members) > 1:
            together: dict[str, list[int]] = {}
            for tensor, places in chain.from_iterable(member.items() for member in members.values()):
                together[tensor] = together.get(tensor, []) + places
            groups.append(FeatureGroup(f"all {family}", family, True, together))
        groups += [FeatureGroup(name, family, False, member) for name, member in members.items()]
    return groups
