"""Errors that a user can act upon."""

from __future__ import annotations

from pydantic import ValidationError

from mtl_pipeline.escaping import printable


class UserError(Exception):
    """Something the user can mend. The message names the file or setting and says what to do.

    Values and names in the message may come from data: control characters are shown as escapes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def in_short(error: Exception) -> str:
    """The error's words; where pydantic found many faults, the first, and where it is."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
