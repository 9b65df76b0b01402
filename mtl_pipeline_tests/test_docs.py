"""What the documentation names is there."""

import re
from pathlib import Path

import pytest

from mtl_pipeline_tests.conftest import REPOSITORY

PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")], key=str)
PATH = re.compile(r"`((?:mtl_pipeline|mtl_pipeline_tests|sql|docs|benchmarks)/[\w./-]*)`")
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_link_of_a_page_exists(page: Path) -> None:
    text = page.read_text()
    paths = [REPOSITORY / path for path in PATH.findall(text)]
    links = [page.parent / link for link in LINK.findall(text)]
    assert [str(path) for path in paths + links if not path.exists()] == []


def test_the_page_on_changes_names_files() -> None:
    found = PATH.findall((REPOSITORY / "docs" / "changing.md").read_text())
    assert len([path for path in found if path.endswith(".py")]) >= 10
