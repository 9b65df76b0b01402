"""Loading every pipeline below defs/, with messages that a user can act upon."""

import logging
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import dagster as dg
import yaml
from pydantic import BaseModel, ValidationError

from mtl_pipeline.components.declaration import did_you_mean
from mtl_pipeline.components.refused import refused_pipeline
from mtl_pipeline.components.yaml_lines import line_of, refuse_unclear_yaml
from mtl_pipeline.errors import UserError
from mtl_pipeline.schema import COMPONENT_TYPE
from mtl_pipeline.spec import PipelineSpec, SpecError
from mtl_pipeline.spec.base import NAME_PATTERN
from mtl_pipeline.spec.sections import SIZE_PATTERN

VALIDATING = "DAGSTER_IS_DEFS_VALIDATION_CLI"
"""The variable by which Dagster says that `dg check defs` or `dagster definitions validate` looks."""
FILE_KEYS = ["type", "attributes", "requirements", "post_processing", "template_vars_module"]
"""What Dagster knows at the top of a defs.yaml."""
PATTERNS = {
    NAME_PATTERN: "a name is made of lower-case letters, digits and _, and starts with a letter",
    SIZE_PATTERN: "a size above zero and its unit, such as 4GB or 500MB",
}


def load_pipelines(folder: Path, *, strict: bool | None = None) -> dg.Definitions:
    """The definitions of all folders below the `defs` folder of a project.

    A pipeline that cannot be used does not stop the others: one asset in its place says why. `strict`, by default where
    `dg check defs` looks, raises UserError instead: file, line, what is wrong, what is allowed. Dagster's own error
    says so too, but below two hundred lines of stack traces.
    """
    strict = VALIDATING in os.environ if strict is None else strict
    files = sorted(folder.glob("**/defs.yaml"))
    try:
        return explained(files, partial(dg.load_from_defs_folder, path_within_project=folder))
    except Exception:
        project = dg.ComponentTree.for_project(folder)
        # Dagster loads Python files that stand beside the pipelines with all of them, or not at all.
        if strict or any(path.name != "__init__.py" for path in project.defs_module_path.glob("*.py")):
            raise
    return dg.Definitions.merge(*(load_or_refuse(project, file) for file in files))


def load_or_refuse(project: dg.ComponentTree, file: Path) -> dg.Definitions:
    """The definitions of one pipeline, or what stands in its place."""
    folder = file.parent
    below = folder.relative_to(project.defs_module_path).parts
    module = ModuleType(".".join([project.defs_module_name, *below]))
    module.__file__, module.__path__ = None, [str(folder)]
    tree = dg.ComponentTree.from_module(defs_module=module, project_root=project.project_root)
    try:
        return explained([file], partial(tree.build_defs, folder))
    except Exception as error:
        *_, cause = causes(error)
        reason = str(cause) if isinstance(cause, UserError) else f"{file}: {cause!r}"
    logging.getLogger(__name__).error("The pipeline %s is left out. %s", folder.name, reason)
    return refused_pipeline(file, reason)


def explained(files: Iterable[Path], load: Callable[[], dg.Definitions]) -> dg.Definitions:
    """What `load` makes of these files. Raises UserError where it fails for a reason that the user can mend."""
    for file in files:
        refuse_unclear_yaml(file)
    try:
        with warnings.catch_warnings(category=dg.BetaWarning, action="ignore"):
            return load()
    except Exception as error:
        message = next(filter(None, map(explain, causes(error))), None) or wrong_type(files)
        if message is None:
            raise
    raise UserError(message)


def wrong_type(files: Iterable[Path]) -> str | None:
    """Dagster's error about an unknown `type` does not say in which file."""
    for file in files:
        declared = str((yaml.safe_load(file.read_text()) or {}).get("type"))
        if declared.startswith("mtl_pipeline.") and declared != COMPONENT_TYPE:
            return f"{file}:{line_of(file, ['type'])}: type: there is no {declared}; it is: {COMPONENT_TYPE}"
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def explain(error: BaseException) -> str | None:
    match error:
        case UserError():
            return str(error)
        case yaml.MarkedYAMLError():
            return f"not valid YAML: {error}"
        case ValidationError():
            return "\n".join(explain_value(details) for details in error.errors())
    return None


def explain_value(details: Any) -> str:
    """One wrong value: `<file>:<line>: <keys>: <what is wrong and what is allowed>`.

    Dagster puts the place in the first part of `loc`: `attributes.<path> at <file>:<line>`.
    """
    path, _, place = str(next(iter(details["loc"]), "")).partition(" at ")
    error = details.get("ctx", {}).get("error")
    if isinstance(error, SpecError):
        path = f"{path}.{error.place}"
    keys = [int(key) if key.isdigit() else key for key in path.split(".") if key]
    file = Path(place.rpartition(":")[0])
    if file.is_file():
        place = f"{file}:{line_of(file, keys)}"
    if isinstance(error, SpecError):
        return f"{place}: {error}"
    shown = ".".join(map(str, keys[1:] if keys[:1] == ["attributes"] else keys))
    return ": ".join(filter(None, [place, shown, what_is_wrong(details, keys)]))


def what_is_wrong(details: Any, keys: Sequence[str | int]) -> str:
    kind, value = details["type"], details["input"]
    if kind == "extra_forbidden":
        known = keys_allowed(keys[:-1])
        return f"there is no such key{did_you_mean(str(keys[-1]), known)}; the keys are: {', '.join(known)}"
    if kind == "missing":
        return "this key is missing"
    if kind == "string_pattern_mismatch":
        return f"{PATTERNS[details['ctx']['pattern']]} (got {value!r})"
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", details["ctx"]["expected"])
        return f"{details['msg']} (got {value!r}){did_you_mean(str(value), known)}"
    return f"{details['msg'].removeprefix('Value error, ')} (got {value!r})"


def keys_allowed(path: Sequence[str | int]) -> list[str]:
    """The keys of the mapping at `path` in a defs.yaml."""
    if not path:
        return FILE_KEYS
    model: type[BaseModel] | None = PipelineSpec
    for key in path[1:]:
        if model and isinstance(key, str):
            model = nested_model(model.model_fields[key].annotation)
    return list(model.model_fields) if model else []


def nested_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model`, `Model | None`, `list[Model]` or `Annotated[Model, …]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(nested_model, get_args(annotation))), None)
