"""The text of the files that a pipeline consists of."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import wrap

import jinja2
import yaml

from mtl_pipeline.scaffold.plan import PipelinePlan, TablePlan, reference
from mtl_pipeline.schema import SCHEMA_FILE, Section, spec_sections
from mtl_pipeline.warehouse.templates import quote_literal

WIDTH = 106
MOST_TASTES = 2
"""Categorical, and numeric, features of items by which a proposal tells users' tastes apart."""
TEMPLATES = Path(__file__).parent / "templates"
EXAMPLE = TEMPLATES / "example"
WRITTEN = {"raw", "ids", "interaction_key", "repeats", "available_from", "features", "tasks", "negatives"}
"""Keys that the template of defs.yaml writes itself, with or without comments."""


def table_sql(table: TablePlan) -> str:
    text = environment().get_template("table.sql.jinja").render(table=table) + "\n"
    # The file is a template itself: what came from the data must not act as one, not even by an `endraw`.
    return re.sub(r"\{(?=[{%#])", "{{ '{' }}", text)


def defs_yaml(plan: PipelinePlan, *, from_example: bool) -> str:
    sequence = has_sequence(plan)
    written = WRITTEN | ({"split"} if not plan.timed else set()) | ({"model"} if sequence else set())
    text = (
        environment()
        .get_template("defs.yaml.jinja")
        .render(
            plan=plan,
            from_example=from_example,
            schema=f"../../../{SCHEMA_FILE}",
            history=list(history(plan)),
            sequence=sequence,
            model="\n".join(default_lines(section_of("model"), {"sequence_encoder"}, 1)),
            defaults="\n".join(default_lines(spec_sections(), written)),
        )
    )
    return text + "\n"


def environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, autoescape=False
    )
    environment.filters.update(literal=quote_literal, reference=reference, yaml=scalar, one_line=one_line)
    return environment


def history(plan: PipelinePlan) -> Iterator[str]:
    """What users did and items met with before: how often and when the first task happened, means of the others, and
    what users like among items."""
    if not plan.timed:
        return
    first, *others = plan.labels.tasks
    for column in plan.ids:
        if first.kind == "binary":
            of_first = f"label: {first.name}"
            yield f"{{by: [{column}], statistic: count, {of_first}}}"
            yield f"{{by: [{column}], statistic: days_since, {of_first}}}"
            if column == "item_id":
                yield f"{{by: [{column}], statistic: share, {of_first}, within_days: 7}}"
                yield f"{{by: [{column}], statistic: share, {of_first}, within_days: 30}}"
        for task in others if plan.labels.negatives else plan.labels.tasks:
            yield f"{{by: [{column}], statistic: mean, label: {task.name}}}"
    if has_sequence(plan) and "items" in plan.tables:
        items = plan.tables["items"]
        for column in items.categorical[:MOST_TASTES]:
            yield f"{{by: [user_id, {column}], statistic: lift, label: {first.name}}}"
        for column in items.numeric[:MOST_TASTES]:
            yield f"{{by: [user_id], statistic: gap, label: {first.name}, of: {column}}}"


def has_sequence(plan: PipelinePlan) -> bool:
    """Whether users choose items, one after another."""
    return plan.timed and len(plan.ids) == 2 and plan.labels.tasks[0].kind == "binary"


def section_of(name: str) -> Section:
    """What may stand below a key of the specification."""
    (section,) = (key.section for key in spec_sections().keys if key.name == name and key.section)
    return section


def default_lines(section: Section, written: Collection[str], depth: int = 0) -> Iterator[str]:
    """Each key below its meaning, commented out. Without the first `# ` of each line it is YAML."""
    margin = "  # " + "  " * depth
    for key in section.keys:
        if key.name in written:
            continue
        yield from (f"{margin}# {line}" for line in wrap(key.meaning, WIDTH - len(margin)))
        if key.section and isinstance(key.default, dict):
            yield f"{margin}{key.name}:"
            yield from default_lines(filled(key.section, key.default), (), depth + 1)
        else:
            yield f"{margin}{key.name}: {json.dumps(key.default)}"


def one_line(text: str) -> str:
    """For comments, which end with the line and hold no control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def scalar(text: str) -> str:
    """A string in YAML: quoted only where it must be."""
    plain = re.fullmatch(r"[A-Za-z][\w.-]*", text) and yaml.safe_load(text) == text
    return text if plain else json.dumps(text, ensure_ascii=False)


def filled(section: Section, values: dict[str, object]) -> Section:
    """The section with what its parent fills in by default, such as the encoder's package."""
    return replace(
        section, keys=[replace(key, default=values.get(key.name, key.default)) for key in section.keys]
    )
