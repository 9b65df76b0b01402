"""Text from data, file names and other programs' errors, made harmless where it is shown."""

from __future__ import annotations

import html
import re
import unicodedata

ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories of characters that move a cursor, colour, hide or reorder text, or end a line."""
LINKED = re.compile(r"://|www\.|@", re.IGNORECASE)
"""What Markdown makes a link of without being asked."""


def printable(text: str) -> str:
    r"""The text with control characters as escapes (`\x1b`), line feeds and tabs aside: for terminals and logs."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if character not in "\n\t" and unicodedata.category(character) in ACTING
        else character
        for character in text
    )


def markdown_text(text: str) -> str:
    """One line that neither Markdown nor HTML reads as markup; names such as multi_task stay readable.

    What would become a link (or load a picture) is shown as code, where nothing acts.
    """
    flat = printable(" ".join(text.split()))
    if LINKED.search(flat):
        return "`" + flat.replace("`", "'").replace("|", r"\|") + "`"
    # Brackets that stand for themselves, as around an interval, stay readable.
    return re.sub(r"([\\`*|~]|\](?=[(\[:])|(?<!\w)_|_(?!\w))", r"\\\1", html.escape(flat, quote=False))
