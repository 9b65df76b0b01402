"""The keys of a defs.yaml as a JSON schema for editors and as a page for people.

`python -m mtl_pipeline.schema` writes both to docs/. Everything in them comes from mtl_pipeline/spec/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from mtl_pipeline.paths import project_root
from mtl_pipeline.spec import PipelineSpec

COMPONENT_TYPE = "mtl_pipeline.components.MultiTaskPipeline"
SCHEMA_FILE = "docs/defs-schema.json"
REFERENCE_FILE = "docs/defs.md"

INTRODUCTION = f"""\
# The keys of a defs.yaml

A pipeline is declared in `mtl_pipeline/defs/<pipeline>/defs.yaml`; the folder names the pipeline. The file
has two keys: `type: {COMPONENT_TYPE}` and `attributes`, whose keys follow.
(Dagster's own keys `requirements`, `post_processing` and `template_vars_module` may stand beside them.) Only
`tasks` is required.

A *name* is made of lower-case letters, digits and `_`, and starts with a letter. A wrong key or value, and a
column that the pipeline's SQL does not deliver, is refused when the definitions load, with file and line.

Editors that speak the YAML language server complete and check the keys where the file begins with
`# yaml-language-server: $schema=../../../{SCHEMA_FILE}`.

This page and the schema are written by `python -m mtl_pipeline.schema` from `mtl_pipeline/spec/`. What Dagster
makes of the same: `dg utils inspect-component {COMPONENT_TYPE} --defs-yaml-json-schema`.
"""


@dataclass(frozen=True)
class Key:
    """One key of a mapping in defs.yaml."""

    name: str
    type: str
    required: bool
    default: Any
    meaning: str
    section: Section | None
    """The mapping below the key, or that the items of its list are."""
    choices: dict[str, str]
    """What each value does, where that takes a table."""


@dataclass(frozen=True)
class Section:
    """A mapping in defs.yaml."""

    path: str
    """Keys that lead to it; `[]` stands for the items of a list."""
    meaning: str
    keys: list[Key]


class WithoutTitles(GenerateJsonSchema):
    """Pydantic repeats each key as its title, which editors then show instead of the description."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: Any) -> dict[str, Any]:
        return {key: value for key, value in super().model_schema(schema).items() if key != "title"}


def defs_schema() -> dict[str, Any]:
    """The JSON schema of a whole defs.yaml."""
    attributes = PipelineSpec.model_json_schema(schema_generator=WithoutTitles)
    definitions = attributes.pop("$defs")
    of_dagster = {"description": "Dagster's own; see its documentation of components."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "defs.yaml of a pipeline",
        "type": "object",
        "required": ["type", "attributes"],
        "additionalProperties": False,
        "properties": {
            "type": {"const": COMPONENT_TYPE, "description": "What the folder declares: a pipeline."},
            "attributes": attributes,
            **dict.fromkeys(("requirements", "post_processing", "template_vars_module"), of_dagster),
        },
        "$defs": definitions,
    }


def spec_sections() -> Section:
    """The keys below `attributes`."""
    schema = PipelineSpec.model_json_schema()
    return read_section(schema, schema["$defs"], "")


def read_section(model: dict[str, Any], definitions: dict[str, Any], path: str) -> Section:
    required = model.get("required", [])
    keys = [
        read_key(name, part, definitions, path, name in required)
        for name, part in model["properties"].items()
    ]
    return Section(path, one_line(model), keys)


def read_key(name: str, part: dict[str, Any], definitions: dict[str, Any], path: str, required: bool) -> Key:
    here = f"{path}.{name}" if path else name
    mapping = next((option for option in part.get("anyOf", []) if option.get("type") != "null"), part)
    if mapping.get("type") == "array":
        here, mapping = f"{here}[]", mapping["items"]
    section = None
    if "$ref" in mapping:
        section = read_section(definitions[mapping["$ref"].rpartition("/")[2]], definitions, here)
    meaning = one_line(part) or (section.meaning if section else "")
    choices = dict(zip(part.get("enum", []), part.get("enumDescriptions", []), strict=False))
    return Key(name, type_in_words(part), required, part.get("default"), meaning, section, choices)


def type_in_words(part: dict[str, Any]) -> str:
    """`integer ≥ 1`, `"mean" or "cls"`, `list of names or null`."""
    if "anyOf" in part:
        return " or ".join(type_in_words(option) for option in part["anyOf"])
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    if "$ref" in part:
        return "mapping"
    if part["type"] == "array":
        return f"list of: {type_in_words(part['items'])}"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = ", ".join(f"{sign} {part[bound]}" for bound, sign in bounds.items() if bound in part)
    return f"{'name' if 'pattern' in part else part['type']} {limits}".strip()


def one_line(part: dict[str, Any]) -> str:
    """The description of a key or a mapping."""
    return " ".join(part.get("description", "").split())


def section_lines(section: Section) -> Iterator[str]:
    yield f"## {f'`{section.path}`' if section.path else 'attributes'}\n"
    if section.meaning:
        yield f"{section.meaning}\n"
    yield "| key | type | default | meaning |\n| --- | --- | --- | --- |"
    for key in section.keys:
        cells = (f"`{key.name}`", key.type, default_in_words(key), key.meaning)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""
    for key in section.keys:
        if key.section:
            yield from section_lines(key.section)
        if key.choices:
            yield f"### Values of `{section.path}.{key.name}`\n\n| value | meaning |\n| --- | --- |"
            yield from (f"| `{value}` | {meaning} |" for value, meaning in key.choices.items())
            yield ""


def default_in_words(key: Key) -> str:
    if key.required:
        return "required"
    if isinstance(key.default, dict):
        given = {name: value for name, value in key.default.items() if changed(key, name, value)}
        return f"`{json.dumps(given)}`" if given else "see below"
    return f"`{json.dumps(key.default)}`"


def changed(key: Key, name: str, value: Any) -> bool:
    """Whether a mapping's default says something else than the default of the mapping's own key."""
    own = {inner.name: inner.default for inner in key.section.keys} if key.section else {}
    return not isinstance(value, dict) and own.get(name) != value


def write_schema(root: Path) -> None:
    """Write the schema and the page below `root`."""
    schema = json.dumps(defs_schema(), indent=2, ensure_ascii=False)
    (root / SCHEMA_FILE).write_text(schema + "\n")
    (root / REFERENCE_FILE).write_text("\n".join([INTRODUCTION, *section_lines(spec_sections())]))


if __name__ == "__main__":
    write_schema(project_root())
    print(f"wrote {SCHEMA_FILE} and {REFERENCE_FILE} in {project_root()}")
