"""Pages of the documentation, followed to the letter: commands typed, changes made, what is shown compared."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mtl_pipeline_tests.conftest import REPOSITORY

BLOCK = re.compile(r"^```(console|diff)(.*)\n((?:.*\n)*?)```", re.MULTILINE)
COMMAND = re.compile(r"^\$ (.*)\n", re.MULTILINE)
PIECE = re.compile(r"…\n|\n(?=  \S)")
"""Between what is said of one asset and of the next, a slow machine shows progress."""
FILE = re.compile(r"^(?=--- a/)", re.MULTILINE)
VARIES = re.compile(r"\d+\.\d+|(?<=in )\d+(?= s)")
"""What differs between machines, or in the last digits: measures and seconds."""
OF_THE_CHECKOUT = ("Makefile", "pyproject.toml", "constraints.txt", "dagster.yaml", "workspace.yaml")


@dataclass(frozen=True)
class Checkout:
    """A checkout of its own, with the installed packages of this one, and without its examples."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> Checkout:
        ignored = shutil.ignore_patterns("defs", "__pycache__")
        for package in ("mtl_pipeline", "mtl_pipeline_tests"):
            shutil.copytree(REPOSITORY / package, root / package, ignore=ignored)
        for file in OF_THE_CHECKOUT:
            shutil.copy(REPOSITORY / file, root)
        (root / "mtl_pipeline/defs").mkdir()
        python = root / ".venv/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)
        (python.parent / "pip").touch()
        (root / ".venv/.demo-installed").touch()
        return cls(root)

    def follow(self, page: Path, *, full: bool) -> None:
        """Blocks marked `full` train longer than a test has time for."""
        for language, marks, content in BLOCK.findall(page.read_text()):
            if full or "full" not in marks:
                {"console": self.type, "diff": self.change}[language](content)

    def type(self, session: str) -> None:
        _, *parts = COMMAND.split(session)
        for command, expected in zip(parts[::2], parts[1::2], strict=True):
            shown = self.shown_by(command)
            place = 0
            for piece in map(comparable, PIECE.split(expected)):
                found = comparable(shown).find(piece, place)
                assert found >= 0, f"{command}\n\ndoes not show\n\n{piece}\n\nbut\n\n{shown}"
                place = found + len(piece)

    def shown_by(self, command: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "MTL_PIPELINE_ROOT"}
        environment |= {"PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.stdout.replace(f"{self.root}/", "")

    def change(self, patch: str) -> None:
        """Of each file by itself: recounting, git takes the name of the next one for a line to be removed."""
        command = ["git", "apply", "--unidiff-zero", "--recount", "-"]
        for part in FILE.split(patch)[1:]:
            done = subprocess.run(command, cwd=self.root, input=part, capture_output=True, text=True)
            assert done.returncode == 0, f"{done.stderr}\n{part}"


def comparable(shown: str) -> str:
    """On one line, without what varies."""
    return VARIES.sub("#", " ".join(shown.split()))
