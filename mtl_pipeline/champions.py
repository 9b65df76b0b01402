"""The champion: the model that recommends, kept apart from the newest one, with the history of how it came to be.

`model/` holds the newest model, the challenger. A promotion copies it to `champions/<fingerprint>/` and then
adds a line to `champion.jsonl`, which is replaced by a rename. Each line names the champion from then on, so
the last line is the pointer and all of them are its history: the two cannot contradict each other, and a
process killed at any moment leaves either the old champion or the new one, whole.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter

from mtl_pipeline.errors import UserError, in_short
from mtl_pipeline.json_lines import read_lines, write_lines
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import folder_fingerprint, hidden_folder, locked, reading, remove_unused

FINGERPRINT = re.compile("[0-9a-f]{64}")
NOT_DECISIVE = {"training_log.json", "trained_with.json", "guard.parquet"}
"""Files of a model that say how it was made, not what it predicts."""
WITHOUT_CHAMPION = (
    "materialize model and evaluation, so that a sound one takes its place, or go back (make rollback)"
)
PREVIOUS = "previous"
"""In place of a fingerprint: the champion before."""
STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Entry:
    """One line of the history."""

    __pydantic_config__ = STRICT

    time: str
    """ISO, UTC."""
    action: Literal["promoted", "kept", "rolled back"]
    champion: str | None
    """Fingerprint of the champion from then on; None where no model has been good enough yet."""
    model: str
    """Fingerprint of the model that the action is about: promoted, not promoted, or rolled back from."""
    reasons: list[str]
    decision: str = ""
    """What settled it, see `Decision.name`; empty for a rollback."""


ENTRY = TypeAdapter(Entry)


@dataclass(frozen=True)
class TaskComparison:
    """Challenger against another model on one task, on test rows that neither was trained on."""

    __pydantic_config__ = STRICT

    task: str
    metric: str
    arrow: str
    """↑ higher is better, ↓ lower is better."""
    against: str
    """'constant', 'champion', or the fingerprint of an earlier champion."""
    theirs: float
    challenger: float
    difference: float
    """Challenger minus the other."""
    low: float
    high: float
    """Ends of the 95 % interval of the difference; NaN where there is none."""
    margin: float
    """How much worse the challenger may be, in the metric's units."""
    outcome: str
    """'better', 'not shown to be worse', 'worse' (by more than is allowed) or 'incomparable'; against a constant also
    'not shown to be better', 'not shown to be better, nor worse' or 'better, without an interval'."""
    note: str = ""

    @property
    def loss(self) -> float:
        """By how much the challenger is worse; below zero where it is better."""
        return -self.difference if self.arrow == "↑" else self.difference


@dataclass(frozen=True)
class Decision:
    """What the evaluation decided: whether the challenger becomes champion. Nothing is done yet."""

    __pydantic_config__ = STRICT

    name: str
    """Unique, so that a decision is carried out once."""
    challenger: str
    """Fingerprint."""
    champion: str | None
    """Fingerprint of the champion at that time, whether it could be compared or not."""
    promote: bool
    usable: bool
    """Whether the champion that stays can predict for this pipeline as it is declared now."""
    reasons: list[str]
    comparisons: list[TaskComparison]
    window: str = ""
    """Which test rows the two were compared on."""
    references: list[str] = field(default_factory=list)
    """Fingerprints of the earlier champions among `comparisons`: they stay on disk."""

    @property
    def verdict(self) -> str:
        if self.promote:
            return "The challenger becomes the champion."
        if self.challenger == self.champion:
            return "The newest model is the champion already."
        if self.usable:
            return "The challenger is not promoted; the champion stays."
        return "The challenger is not promoted, and there is no champion that could recommend."

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Decision:
        """Raises UserError when there is none, or none that can be read."""
        with reading(path.parent) as folder:
            try:
                return DECISION.validate_json((folder / path.name).read_bytes())
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{path} is of another version of this project: materialize evaluation again ({in_short(error)})"
                ) from error


DECISION = TypeAdapter(Decision)


def short(fingerprint: str) -> str:
    return fingerprint[:12]


def model_fingerprint(folder: Path) -> str:
    """SHA-256 (hex) over the files of a model that decide what it predicts."""
    return folder_fingerprint(folder, without=NOT_DECISIVE)


def read_history(paths: PipelinePaths) -> list[Entry]:
    """Oldest first; empty where no decision was ever carried out. Raises UserError for a line that is damaged."""
    return read_lines(paths.champion_history, parse_entry, "then the line before it says who is champion")


def parse_entry(line: bytes) -> Entry:
    """Raises ValueError where the line is not an entry, or its champion not a fingerprint: it could be a path."""
    entry = ENTRY.validate_json(line, strict=True)
    if entry.champion is not None and not FINGERPRINT.fullmatch(entry.champion):
        raise ValueError(f"{entry.champion!r} is no fingerprint of a model")
    return entry


def current_champion(history: list[Entry]) -> str | None:
    return history[-1].champion if history else None


def champion_folder(paths: PipelinePaths) -> tuple[str, Path]:
    """The champion's fingerprint and its folder. Raises UserError when there is no champion."""
    champion = current_champion(read_history(paths))
    if champion is None:
        raise UserError(
            f"{paths.champion_history} names no champion: materialize model, evaluation and champion; the first model "
            "that beats a constant answer is promoted"
        )
    return champion, paths.champions / champion


def reading_model(folder: Path) -> AbstractContextManager[Path]:
    """`reading`, of the newest model or of a champion, whose name says what it is.

    Raises UserError when there is none, or when it is damaged.
    """
    if not FINGERPRINT.fullmatch(folder.name):
        return reading(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is gone: {WITHOUT_CHAMPION}")
    return reading(folder, verify_champion)


def verify_champion(version: Path, folder: Path) -> None:
    """Raises UserError unless a champion is the model that its name says."""
    if model_fingerprint(version) != folder.name:
        raise UserError(f"{folder} is damaged, it is not the model that its name says: {WITHOUT_CHAMPION}")


def rolled_back_at(history: list[Entry], fingerprint: str) -> str | None:
    """When a model was rolled back from, unless it became champion again since."""
    for entry in reversed(history):
        if entry.champion == fingerprint:
            return None
        if entry.action == "rolled back" and entry.model == fingerprint:
            return entry.time
    return None


def carry_out(paths: PipelinePaths, decision: Decision, *, keep: int) -> Entry:
    """Promote the challenger, or record why not. A decision is carried out once: again, nothing changes.

    On disk stay the newest `keep` champions, the references that the decision names, and what somebody is reading.
    Raises UserError when the models are no longer those that were compared.
    """
    with locked(paths.champion_history):
        history = read_history(paths)
        for entry in history:
            if entry.decision == decision.name:
                return entry
        if current_champion(history) != decision.champion:
            raise UserError("the champion has changed since the evaluation: materialize evaluation again")
        if decision.promote or decision.challenger == decision.champion:
            keep_version(paths, decision.challenger)  # also a champion that was kept, but is damaged
        entry = Entry(
            time=now(),
            action="promoted" if decision.promote else "kept",
            champion=decision.challenger if decision.promote else decision.champion,
            model=decision.challenger,
            reasons=decision.reasons,
            decision=decision.name,
        )
        append(paths, history, entry)
        if decision.promote:
            kept = {*reigns([*history, entry])[-keep:], *decision.references}
            for folder in paths.champions.iterdir():  # also what killed runs have left
                if folder.name not in kept:
                    remove_unused(folder, paths.model)
        return entry


def roll_back(paths: PipelinePaths, to: str | None = None) -> Entry:
    """Make an earlier champion the champion again: the one before, or the one whose fingerprint begins with `to`.

    Raises UserError when there is nothing to go back to.
    """
    with locked(paths.champion_history):
        history = read_history(paths)
        champion = current_champion(history)
        if champion is None:
            raise UserError(f"{paths.pipeline} has no champion yet: there is nothing to go back to")
        target = named_version(paths, history, to) if to else version_before(paths, history)
        reason = f"Rolled back from {short(champion)} to {short(target)} by hand."
        entry = Entry(now(), "rolled back", champion=target, model=champion, reasons=[reason])
        append(paths, history, entry)
        return entry


def version_before(paths: PipelinePaths, history: list[Entry]) -> str:
    """The champion before the current one. Of two rollbacks, the second goes back further."""
    line = succession(history)
    for earlier in reversed(line[:-1]):
        if is_whole(paths, earlier):
            return earlier
    raise UserError(
        f"{short(line[-1])} has no earlier champion that is whole in {paths.champions}: there is nothing to go back to"
    )


def named_version(paths: PipelinePaths, history: list[Entry], beginning: str) -> str:
    """The one champion that is whole and whose fingerprint begins so, but for the current one."""
    champion = current_champion(history)
    known = [name for name in reigns(history) if is_whole(paths, name)]
    matches = [name for name in known if name.startswith(beginning)]
    if len(matches) == 1 and matches != [champion]:
        return matches[0]
    ambiguous = "no single model that was champion and is kept whole"
    state = "the champion already" if matches == [champion] else ambiguous
    others = ", ".join(short(name) for name in known if name != champion) or "none"
    raise UserError(f"{beginning} is {state}; one may go back to: {others}")


def earlier_champions(paths: PipelinePaths, history: list[Entry], reference: str = "best") -> list[str]:
    """Fingerprints of the champions before the current one that are kept, without those that were rolled back from; or
    the one whose fingerprint begins with `reference`. Raises UserError when that is no single one."""
    if reference == "best":
        return [name for name in succession(history)[:-1] if (paths.champions / name).is_dir()]
    known = [name for name in reigns(history) if (paths.champions / name).is_dir()]
    matches = [name for name in known if name.startswith(reference)]
    if len(matches) != 1:
        raise UserError(
            f"promotion.reference names {reference}, which is no single champion that is kept; it may name: "
            f"{', '.join(map(short, known)) or 'none yet'}, or best"
        )
    return matches


def succession(history: list[Entry]) -> list[str]:
    """The champions that led to the current one, as if none that was rolled back from had ever been."""
    line: list[str] = []
    for entry in history:
        if entry.champion is None:
            continue
        if entry.action == "rolled back" and entry.champion in line:
            del line[line.index(entry.champion) + 1 :]
        elif not line or line[-1] != entry.champion:
            line.append(entry.champion)
    return line


def reigns(history: list[Entry]) -> list[str]:
    """Every champion once, in the order in which each was one last."""
    return list(dict.fromkeys(entry.champion for entry in reversed(history) if entry.champion))[::-1]


def is_whole(paths: PipelinePaths, fingerprint: str) -> bool:
    """Whether a champion is kept, and is still the model that its name says."""
    folder = paths.champions / fingerprint
    return folder.is_dir() and model_fingerprint(folder) == fingerprint


def keep_version(paths: PipelinePaths, fingerprint: str) -> None:
    """Copy the newest model to where champions are kept. Raises UserError when it is another one."""
    target = paths.champions / fingerprint
    if is_whole(paths, fingerprint):
        return
    with hidden_folder(target) as copy:
        with reading(paths.model) as model:
            shutil.copytree(model, copy, dirs_exist_ok=True)
        if model_fingerprint(copy) != fingerprint:
            raise UserError(
                f"{paths.model} has been made again since the evaluation: materialize evaluation again"
            )
        shutil.rmtree(target, ignore_errors=True)
        copy.rename(target)


def append(paths: PipelinePaths, history: list[Entry], entry: Entry) -> None:
    write_lines(paths.champion_history, [asdict(line) for line in [*history, entry]])


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
