"""Loading every pipeline below defs/, with messages that a user can act upon."""

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import dagster as dg
import yaml
from pydantic import BaseModel, ValidationError

from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import PipelineSpec


def load_pipelines(package: Path) -> dg.Definitions:
    """The definitions of all folders below `<package>/defs`.

    Raises UserError where a defs.yaml cannot be used: file, line, what is wrong, what is allowed.
    Dagster's own error says so too, but under two hundred lines of its frames.
    """
    try:
        return dg.load_from_defs_folder(path_within_project=package)
    except Exception as error:
        message = next(filter(None, map(explain, causes(error))), None)
        if message is None:
            raise
    raise UserError(message)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def explain(error: BaseException) -> str | None:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, yaml.MarkedYAMLError):
        return f"not valid YAML: {error}"
    if isinstance(error, ValidationError):
        return "\n".join(explain_value(details) for details in error.errors())
    return None


def explain_value(details: Any) -> str:
    """One wrong value. Dagster puts its place in the first part of `loc`: `attributes.<path> at <file>:<line>`."""
    location = str(details["loc"][0]) if details["loc"] else ""
    path, _, place = location.partition(" at ")
    keys = path.split(".")[1:]
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "extra_forbidden":
        allowed = keys_allowed(PipelineSpec, keys[:-1])
        message = f"there is no such key; the keys are: {', '.join(allowed)}"
    elif details["type"] != "missing" and keys:
        message += f" (got {details['input']!r})"
    return ": ".join(filter(None, [place, ".".join(keys), message]))


def keys_allowed(model: type[BaseModel], path: list[str]) -> list[str]:
    """The keys of the mapping at `path` in the specification."""
    for key in path:
        if key.isdigit():
            continue
        nested = nested_model(model.model_fields[key].annotation)
        if nested is None:
            return []
        model = nested
    return list(model.model_fields)


def nested_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model`, `Model | None`, `list[Model]` or `Annotated[Model, …]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, Union, UnionType, Annotated):
        return next(filter(None, map(nested_model, get_args(annotation))), None)
    return None
