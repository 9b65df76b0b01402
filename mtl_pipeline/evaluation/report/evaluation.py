"""The report of an evaluation: verdict first, then what stands behind it."""

from __future__ import annotations

from typing import Any

import matplotlib

from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Document, Section
from mtl_pipeline.evaluation.report.figures.canvas import STYLE
from mtl_pipeline.evaluation.report.markdown import to_markdown
from mtl_pipeline.evaluation.report.sections import (
    data_and_run,
    joint_training,
    past,
    promotion,
    seeds,
    terms,
    verdict,
)
from mtl_pipeline.evaluation.report.sections.inside import (
    conflict,
    experts,
    importance,
    largest_errors,
    slices,
    text_effect,
    text_neighbours,
)
from mtl_pipeline.evaluation.report.sections.tasks import chains, people, ranked_lists, tasks
from mtl_pipeline.evaluation.studies.scoring import Evaluation

SECTIONS: dict[str, tuple[Any, str]] = {
    "verdict": (verdict, ""),
    "promotion": (promotion, ""),
    "joint training": (joint_training, ""),
    "text vectors": (text_effect, "text"),
    "over seeds": (seeds, "seeds"),
    "people": (people, "people"),
    "text neighbours": (text_neighbours, ""),
    "tasks": (tasks, ""),
    "chains": (chains, ""),
    "ranked lists": (ranked_lists, "ranking"),
    "slices": (slices, "slices"),
    "importance": (importance, "importance"),
    "experts": (experts, "experts"),
    "conflict": (conflict, ""),
    "largest errors": (largest_errors, "largest_errors"),
    "past evaluations": (past, ""),
    "data and run": (data_and_run, ""),
    "terms": (terms, ""),
}
"""In their order on the page, each with the published frame that it shows, if it is one frame. Each file has a function
`sections`, of the evaluation and that frame, or else the context."""

SUMMARY = ("verdict", "promotion", "joint training", "tasks", "chains")
METADATA = ("over seeds", "text vectors", "slices", "ranked lists", "importance")


def evaluation_report(evaluation: Evaluation, context: ReportContext) -> Document:
    with matplotlib.rc_context(STYLE):
        parts = {name: sections_of(evaluation, context, *section) for name, section in SECTIONS.items()}
    return Document("Evaluation report", context.pipeline, context.facts.get("created_at", ""), parts)


def sections_of(evaluation: Evaluation, context: ReportContext, module: Any, name: str) -> list[Section]:
    """None where the frame called `name` is missing or empty."""
    if not name:
        return module.sections(evaluation, context)
    frame = context.parts.get(name)
    return [] if frame is None or frame.is_empty() else module.sections(evaluation, frame)


def report_texts(document: Document) -> dict[str, str]:
    """Parts of the report as Markdown, for an asset's metadata; without those that are empty."""
    texts = {"report": [section for name in SUMMARY for section in document.parts[name]]}
    texts |= {name: list(document.parts[name]) for name in METADATA}
    return {name: to_markdown(sections) for name, sections in texts.items() if sections}
