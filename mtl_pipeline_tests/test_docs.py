"""What the documentation names is there."""

import re
from pathlib import Path

import pytest

from mtl_pipeline_tests.conftest import REPOSITORY

PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")], key=str)
PATH = re.compile(r"`((?:mtl_pipeline|mtl_pipeline_tests|sql|docs|benchmarks)/[\w./-]*)`")
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(#[^)\s]+)?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_link_of_a_page_exists(page: Path) -> None:
    text = page.read_text()
    paths = [REPOSITORY / path for path in PATH.findall(text)]
    links = [(page.parent / link if link else page, anchor) for link, anchor in LINK.findall(text)]
    assert [str(path) for path in [*paths, *(path for path, _ in links)] if not path.exists()] == []
    assert [(path.name, anchor) for path, anchor in links if anchor and anchor not in anchors(path)] == []


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in HEADING.findall(page.read_text()))
    return {"#" + heading.strip().replace(" ", "-") for heading in plain}


def test_the_page_on_changes_names_files() -> None:
    found = PATH.findall((REPOSITORY / "docs" / "changing.md").read_text())
    assert len([path for path in found if path.endswith(".py")]) >= 10
