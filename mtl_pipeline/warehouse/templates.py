"""SQL files as Jinja templates, rendered with quoted names and values."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment


def quote_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def quote_identifiers(names: Iterable[str]) -> str:
    return ", ".join(map(quote_identifier, names))


def quote_literals(values: Iterable[object]) -> str:
    return ", ".join(map(quote_literal, values))


def listed_identifiers(names: Iterable[str]) -> str:
    """Each name followed by a comma, so that an empty list leaves nothing."""
    return " ".join(f"{quote_identifier(name)}," for name in names)


def render_sql(path: Path, /, **values: object) -> str:
    """The SQL text of a template, which has access to these values only.

    Filters: `identifier`, `identifiers`, `listed`, `literal`, `literals`.

    Raises jinja2.UndefinedError where the template needs a value that was not given.
    """
    return environment(path.parent).get_template(path.name).render(**values)


@lru_cache(maxsize=16)
def environment(folder: Path) -> ImmutableSandboxedEnvironment:
    """Kept, for it compiles a template once and again only after its file has changed."""
    made = ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader(folder), undefined=jinja2.StrictUndefined, autoescape=False
    )
    made.filters.update(
        identifier=quote_identifier,
        identifiers=quote_identifiers,
        listed=listed_identifiers,
        literal=quote_literal,
        literals=quote_literals,
    )
    return made
