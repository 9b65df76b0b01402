"""The report of an evaluation: verdict first, then what stands behind it."""

from __future__ import annotations

import matplotlib

from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Document
from mtl_pipeline.evaluation.report.figures.canvas import STYLE
from mtl_pipeline.evaluation.report.markdown import to_markdown
from mtl_pipeline.evaluation.report.sections import (
    chains,
    conflict,
    data_and_run,
    experts,
    importance,
    joint_training,
    largest_errors,
    past,
    people,
    promotion,
    ranked_lists,
    seeds,
    slices,
    tasks,
    terms,
    text_effect,
    verdict,
)
from mtl_pipeline.evaluation.studies.scoring import Evaluation

SECTIONS = {
    "verdict": verdict,
    "promotion": promotion,
    "joint training": joint_training,
    "text vectors": text_effect,
    "over seeds": seeds,
    "people": people,
    "tasks": tasks,
    "chains": chains,
    "ranked lists": ranked_lists,
    "slices": slices,
    "importance": importance,
    "experts": experts,
    "conflict": conflict,
    "largest errors": largest_errors,
    "past evaluations": past,
    "data and run": data_and_run,
    "terms": terms,
}
"""In their order on the page. Each file has a function `sections`, which says nothing where there is nothing to say."""

SUMMARY = ("verdict", "promotion", "joint training", "tasks", "chains")
METADATA = ("over seeds", "text vectors", "slices", "ranked lists", "importance")


def evaluation_report(evaluation: Evaluation, context: ReportContext) -> Document:
    with matplotlib.rc_context(STYLE):
        parts = {name: section.sections(evaluation, context) for name, section in SECTIONS.items()}
    return Document("Evaluation report", context.pipeline, context.facts.get("created_at", ""), parts)


def report_texts(document: Document) -> dict[str, str]:
    """Parts of the report as Markdown, for an asset's metadata; without those that are empty."""
    texts = {"report": [section for name in SUMMARY for section in document.parts[name]]} | {
        name: document.parts[name] for name in METADATA
    }
    return {name: to_markdown(sections) for name, sections in texts.items() if sections}
