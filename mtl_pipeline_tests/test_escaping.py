"""What comes from data acts nowhere: not in a terminal, not in Markdown."""

from __future__ import annotations

import polars as pl
import pytest

from mtl_pipeline.components.metadata import counts_table, markdown_table
from mtl_pipeline.errors import UserError
from mtl_pipeline.escaping import markdown_text, printable

ESCAPES = [
    ("\x1b[31mred", r"\x1b[31mred"),
    ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
    ("back\x08\x08", r"back\x08\x08"),
    ("over\rwritten", r"over\rwritten"),
    ("\x9b2J", r"\x9b2J"),
    ("a\u202egnp.exe", r"a\u202egnp.exe"),
    ("zero\u200bwidth", r"zero\u200bwidth"),
    ("nul\x00", r"nul\x00"),
    ("half \ud800", r"half \ud800"),
]


@pytest.mark.parametrize(("text", "shown"), ESCAPES)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert str(UserError(f"users.csv: {text}")) == f"users.csv: {shown}"


@pytest.mark.parametrize("text", ["two\nlines", "a\ttab", "Größe", "日本語\u3000", "نص", "😀"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


MARKUP = [
    ("![x](http://evil.example/x.png)", "`![x](http://evil.example/x.png)`"),
    ("[x](javascript:alert(1))", r"[x\](javascript:alert(1))"),
    ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
    ("<a href='http://evil.example'>", "`<a href='http://evil.example'>`"),
    ("www.evil.example", "`www.evil.example`"),
    ("me@evil.example", "`me@evil.example`"),
    ("`http://x` | `y`", r"`'http://x' \| 'y'`"),
    ("a | b", r"a \| b"),
    ("*bold* _it_ ~~no~~ `code`", r"\*bold\* \_it\_ \~\~no\~\~ \`code\`"),
    ("# heading\n\n- list", "# heading - list"),
    ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
    ("\x1b[31m", r"\\x1b[31m"),
    ("user_id", "user_id"),
]


@pytest.mark.parametrize(("text", "shown"), MARKUP)
def test_text_in_markdown_is_text(text: str, shown: str) -> None:
    """Pictures, links and HTML in metadata and in report.md; links that Markdown makes by itself become code."""
    assert markdown_text(text) == shown
    frame = pl.DataFrame({text: [text]})
    assert markdown_table(frame).md_str == f"| {shown} |\n| --- |\n| {shown} |"
    assert f"| {shown} | 3 |" in (counts_table({text: 3}, "reason").md_str or "")
