"""The schema and the reference of defs.yaml say what mtl_pipeline/spec/ says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from mtl_pipeline.schema import (
    REFERENCE_FILE,
    SCHEMA_FILE,
    Key,
    Section,
    defs_schema,
    spec_sections,
    write_schema,
)
from mtl_pipeline_tests.conftest import REPOSITORY

DECLARED = sorted((REPOSITORY / "mtl_pipeline/defs").glob("*/defs.yaml"))


@pytest.mark.parametrize("name", [SCHEMA_FILE, REFERENCE_FILE])
def test_committed_files_are_current(tmp_path: Path, name: str) -> None:
    """Otherwise run `python -m mtl_pipeline.schema`."""
    (tmp_path / "docs").mkdir()
    write_schema(tmp_path)
    assert (REPOSITORY / name).read_text() == (tmp_path / name).read_text()


def all_keys(section: Section) -> Iterator[tuple[str, Key]]:
    for key in section.keys:
        yield f"{section.path}.{key.name}", key
        if key.section:
            yield from all_keys(key.section)


def test_every_key_has_a_meaning() -> None:
    """It is the string below the attribute in mtl_pipeline/spec/."""
    assert [path for path, key in all_keys(spec_sections()) if not key.meaning] == []


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(defs_schema())


@pytest.mark.parametrize("path", DECLARED, ids=lambda path: path.parent.name)
def test_declared_pipelines_pass_the_schema(path: Path) -> None:
    schema = json.loads((REPOSITORY / SCHEMA_FILE).read_text())
    errors = Draft202012Validator(schema).iter_errors(yaml.safe_load(path.read_text()))
    assert [error.message for error in errors] == []


def test_the_schema_refuses_wrong_keys_and_values() -> None:
    declared = yaml.safe_load(DECLARED[0].read_text())
    declared["attributes"] |= {"modle": {}, "seed": "soon"}
    messages = {error.message for error in Draft202012Validator(defs_schema()).iter_errors(declared)}
    assert messages == {
        "Additional properties are not allowed ('modle' was unexpected)",
        "'soon' is not of type 'integer'",
    }
