"""A small pipeline `orders`, to be declared well and badly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mtl_pipeline.components import load_pipelines
from mtl_pipeline.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]

GOOD = """\
type: mtl_pipeline.components.MultiTaskPipeline
attributes:
  features:
    users:
      numeric: [age]
    history:
      - {by: [user_id], statistic: count, label: click}
  tasks:
    - {name: click, kind: binary}
    - name: purchase
      kind: binary
      given: click
  negatives: {per_positive: 4}
"""

SQL = {
    "users": "SELECT user_id, whole_number(age) AS age, name AS text",
    "items": "SELECT item_id, title AS text",
    "interactions": "SELECT user_id, item_id, timestamp::TIMESTAMP AS timestamp, "
    "click::INTEGER AS click, purchase::INTEGER AS purchase",
}
PROVENANCE = ", source_file, source_line, CASE WHEN false THEN reject('', '') END AS rejection FROM raw_"
HEADERS = {
    "users": "user_id,age,name",
    "items": "item_id,title",
    "interactions": "user_id,item_id,timestamp,click,purchase",
}

Edit = Callable[[str, str], Path]
"""Writes the good defs.yaml with one replacement; returns the package to load."""


def refusal(package: Path) -> str:
    """The message with which the pipelines are refused, without the path of defs.yaml."""
    with pytest.raises(UserError) as error:
        load_pipelines(package, strict=True)
    return str(error.value).replace(f"{package}/defs/orders/", "")
