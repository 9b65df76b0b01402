"""What is wrong with an encoder, in words."""

from __future__ import annotations

from mtl_pipeline.errors import UserError


def encoder_error(source: str, problem: str) -> UserError:
    """`source`: the line of `encoder:` that names it."""
    return UserError(f"encoder: {source} in defs.yaml: {problem}.")


def first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
