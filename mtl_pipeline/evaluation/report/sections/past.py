"""The headline scores of past evaluations. Dagster plots the others, as metadata."""

from __future__ import annotations

from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Section
from mtl_pipeline.evaluation.report.figures.history_figure import history_figure
from mtl_pipeline.evaluation.studies.scoring import Evaluation


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    figure = history_figure(context.past)
    return [Section("Past evaluations", figures=[figure])] if figure else []
