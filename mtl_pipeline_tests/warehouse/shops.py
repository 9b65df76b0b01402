"""A small shop and a census without users, items or time, cleaned for real."""

from __future__ import annotations

from pathlib import Path

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.tables import build_table

SHOP_LOG = """
SELECT TRY_CAST(visitor AS INTEGER) AS user_id, product AS item_id, TRY_CAST("at" AS TIMESTAMP) AS timestamp,
    TRY_CAST(click AS INTEGER) AS click, TRY_CAST(purchase AS INTEGER) AS purchase,
    TRY_CAST(stars AS INTEGER) AS stars, device, TRY_CAST(position AS INTEGER) AS position,
    source_file, source_line, NULL::STRUCT("column" VARCHAR, reason VARCHAR) AS rejection
FROM raw_interactions
"""

SHOP: dict = {
    "raw": {"users": None, "items": None},
    "features": {
        "interactions": {"categorical": ["device"], "numeric": ["position"]},
        "history": [{"by": ["user_id"], "statistic": "count", "label": "purchase"}],
    },
    "tasks": [
        {"name": "click", "kind": "binary"},
        {"name": "purchase", "kind": "binary", "given": "click"},
        {"name": "stars", "kind": "regression", "given": "purchase"},
    ],
}

CENSUS_LOG = """
SELECT TRY_CAST(person AS INTEGER) AS person, TRY_CAST(rich AS INTEGER) AS rich, degree,
    TRY_CAST(jobs AS INTEGER) AS jobs, town, TRY_CAST(age AS INTEGER) AS age,
    source_file, source_line, NULL::STRUCT("column" VARCHAR, reason VARCHAR) AS rejection
FROM raw_interactions
"""

CENSUS: dict = {
    "raw": {"users": None, "items": None},
    "ids": [],
    "interaction_key": ["person"],
    "features": {"interactions": {"categorical": ["town"], "numeric": ["age"]}},
    "split": {"hash_by": ["person"]},
    "tasks": [
        {"name": "rich", "kind": "binary"},
        {"name": "degree", "kind": "multiclass", "classes": ["none", "bachelor", "master"]},
        {"name": "jobs", "kind": "count"},
    ],
}


def prepare(
    root: Path, sql: str, attributes: dict, header: str, lines: list[str]
) -> tuple[PipelinePaths, PipelineSpec]:
    """Paths and specification of a pipeline whose interactions are cleaned."""
    paths, spec = PipelinePaths(root, "shop"), PipelineSpec.model_validate(attributes)
    paths.sql.mkdir(parents=True)
    (paths.sql / "interactions.sql").write_text(sql)
    paths.raw.mkdir(parents=True)
    (paths.raw / "interactions.csv").write_text("\n".join([header, *lines]) + "\n")
    assert build_table(paths, spec, "interactions").rows_kept == len(lines)
    return paths, spec


def shop_lines(days: int = 20) -> list[str]:
    """Visitor 1 sees two products a day; clicks the first, and buys it every other day."""
    return [
        line
        for day in range(1, days + 1)
        for line in (
            f"1,a{day},2026-01-{day:02},1,{day % 2},{'4' if day % 2 else ''},phone,1",
            f"1,b{day},2026-01-{day:02},0,0,,phone,2",
        )
    ]


def shop(root: Path, **changes: object) -> tuple[PipelinePaths, PipelineSpec]:
    header = "visitor,product,at,click,purchase,stars,device,position"
    return prepare(root, SHOP_LOG, SHOP | changes, header, shop_lines())


def census(root: Path, **changes: object) -> tuple[PipelinePaths, PipelineSpec]:
    degrees = ["none", "bachelor", "master"]
    lines = [
        f"{person},{person % 2},{degrees[person % 3]},{person % 5},x{person % 7},30" for person in range(500)
    ]
    return prepare(root, CENSUS_LOG, CENSUS | changes, "person,rich,degree,jobs,town,age", lines)
