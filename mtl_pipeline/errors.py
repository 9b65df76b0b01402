"""Errors that a user can act upon."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend. The message names the file or setting and says what to do."""
