"""The text of the files that a pipeline consists of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import jinja2
import yaml

from mtl_pipeline.scaffold.plan import PipelinePlan, TablePlan, one_line
from mtl_pipeline.scaffold.profile import reference
from mtl_pipeline.schema import SCHEMA_FILE

MOST_TASTES = 2
"""Categorical, and numeric, features of items by which a proposal tells users' tastes apart."""
TEMPLATES = Path(__file__).parent / "templates"


def table_sql(table: TablePlan, file: object) -> str:
    text = render("table.sql.jinja", table=table, file=file)
    # The file is a template itself: what came from the data must not act as one, not even by an `endraw`.
    return re.sub(r"\{(?=[{%#])", "{{ '{' }}", text)


def defs_yaml(plan: PipelinePlan) -> str:
    asked = {"history": [*history(plan)], "sequence": has_sequence(plan), "schema": f"../../../{SCHEMA_FILE}"}
    return render("defs.yaml.jinja", plan=plan, **asked)


def render(template: str, **values: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, autoescape=False
    )
    environment.filters.update(reference=reference, yaml=inline, one_line=one_line)
    return environment.get_template(template).render(**values) + "\n"


def history(plan: PipelinePlan) -> Iterator[str]:
    """What users did and items met with before: how often and when the first task happened, means of the others, and
    what users like among items."""
    if not plan.time:
        return
    first, *others = plan.labels.tasks
    for column in plan.ids:
        statistics = ["count", "days_since"] if first.kind == "binary" else []
        if statistics and column == "item_id":
            statistics += ["share, within_days: 7", "share, within_days: 30"]
        for statistic in statistics:
            yield f"{{by: [{column}], statistic: {statistic}, label: {first.name}}}"
        for task in others if plan.labels.negatives else plan.labels.tasks:
            if not task.classes:
                yield f"{{by: [{column}], statistic: mean, label: {task.name}}}"
    if has_sequence(plan) and "items" in plan.tables:
        items = plan.tables["items"]
        for column in items.categorical[:MOST_TASTES]:
            yield f"{{by: [user_id, {column}], statistic: lift, label: {first.name}}}"
        for column in items.numeric[:MOST_TASTES]:
            yield f"{{by: [user_id], statistic: gap, label: {first.name}, of: {column}}}"


def has_sequence(plan: PipelinePlan) -> bool:
    """Whether users choose items, one after another."""
    return plan.time is not None and len(plan.ids) == 2 and plan.labels.tasks[0].kind == "binary"


def inline(value: object) -> str:
    """YAML on one line: strings are quoted only where they must be."""
    match value:
        case list():
            return f"[{', '.join(map(inline, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {inline(item)}' for key, item in value.items())}}}"
        case str() if re.fullmatch(r"[A-Za-z][\w.-]*", value) and yaml.safe_load(value) == value:
            return value
    return json.dumps(value, ensure_ascii=False)
