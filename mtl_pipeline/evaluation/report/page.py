"""The evaluation as one self-contained HTML page: verdict first, then tables, figures, data and configuration.

No network, no scripts. Everything that is not ours (names, reasons, settings) is escaped by Jinja2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2
import polars as pl
from markupsafe import Markup

from mtl_pipeline.champions import Decision
from mtl_pipeline.evaluation.facts import Facts
from mtl_pipeline.evaluation.formatting import MISSING, arrow
from mtl_pipeline.evaluation.report import list_report, seed_report, slice_report
from mtl_pipeline.evaluation.report.figures.history_figure import history_figure
from mtl_pipeline.evaluation.report.figures.palette import DARK, LIGHT, colour_names, css_variables
from mtl_pipeline.evaluation.report.figures.task_figures import ReportFigure, TrainingLog, task_figures
from mtl_pipeline.evaluation.report.tables import (
    CalibrationTable,
    ChainTable,
    MetricsTable,
    calibration_table,
    chain_tables,
    metrics_table,
    promotion_lines,
    transfer_table,
)
from mtl_pipeline.evaluation.report.understanding_report import understanding
from mtl_pipeline.evaluation.report.wording import (
    ComparisonLine,
    TaskVerdict,
    comparison_lines,
    overall_sentence,
    rows_sentence,
    task_verdicts,
)
from mtl_pipeline.evaluation.studies.history import Record
from mtl_pipeline.evaluation.studies.ranked_lists import LIST_METRICS, RANKING_SCHEMA
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.evaluation.studies.seeds import SEEDS_SCHEMA
from mtl_pipeline.evaluation.studies.slice_scores import SLICES_SCHEMA
from mtl_pipeline.evaluation.studies.text_effect import TEXT_SCHEMA
from mtl_pipeline.metrics.metric import CEILING_SHARE, Metric
from mtl_pipeline.predictions import CEILING

MODEL_DESCRIPTIONS = {
    "constant": "the same answer for every row: the share of positives, or the mean, of the training rows, until "
    "calibration brings it to that of the validation rows",
    "popularity": "the item's past popularity or mean, whoever the user is",
    "linear": "logistic or ridge regression on the same features",
    "boosted_trees": "gradient-boosted trees (LightGBM) on the same features, one set of trees per task",
    "single_task": "the same network of the same size, trained for this task alone",
    "multi_task": "one network trained for all tasks together; the model that is put forward",
    "champion": "the model that recommends until another one is promoted",
    "ceiling": "the true probabilities or expectations of the simulator that made the data: the best possible, so it "
    "takes no part in verdicts",
}


@dataclass(frozen=True)
class ReportContext:
    """Everything the page shows besides the numbers of the evaluation."""

    pipeline: str
    predictions: pl.DataFrame
    """The frame that was evaluated; figures are drawn from its test rows."""
    training_log: TrainingLog = ()
    chosen_epoch: float | Mapping[str, float] | None = None
    """The epoch whose weights were kept, one for all or one per task; None marks the lowest validation loss."""
    facts: Facts = field(default_factory=Facts)
    configuration: str = ""
    """YAML."""
    calibration: Mapping[str, str] = field(default_factory=dict)
    """Task → how the candidate was calibrated, and why so."""
    slices: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SLICES_SCHEMA))
    """Of `measure_slices`; the section is left out where it is empty."""
    ranking: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=RANKING_SCHEMA))
    """Of `measure_ranking`; the section is left out where it is empty."""
    seeds: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SEEDS_SCHEMA))
    """Of `measure_seeds`; the section is left out where it is empty."""
    text: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TEXT_SCHEMA))
    """Of `measure_text`; the section is left out where it is empty."""
    caveats: Sequence[str] = ()
    """What a reader of the verdicts has to know besides, say that there are replications of an older model."""
    inside: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """The frames that explain the model, by name (see `understanding_report`)."""
    decision: Decision | None = None
    """Whether the model becomes champion."""
    past: Sequence[Record] = ()
    """Every evaluation on record, oldest first, this one last."""

    def epoch_chosen_for(self, task: str) -> float | None:
        if isinstance(self.chosen_epoch, Mapping):
            return self.chosen_epoch.get(task)
        return self.chosen_epoch


@dataclass(frozen=True)
class TaskSection:
    verdict: TaskVerdict
    table: MetricsTable
    colours: Mapping[str, str]
    comparisons: list[ComparisonLine]
    notes: list[str]
    calibration: CalibrationTable | None
    chain: ChainTable | None
    """Scores of the whole chain that ends in this task."""
    figures: list[ReportFigure]


@dataclass(frozen=True)
class FactTable:
    title: str
    heads: list[str]
    rows: list[list[str]]
    empty: str = ""


def render_report(evaluation: Evaluation, context: ReportContext) -> str:
    """The page, about 0.4 MB. Drawing takes a second, or six with two million test rows."""
    verdicts = task_verdicts(evaluation)
    sections = [
        task_section(evaluation, context, verdict, position) for position, verdict in enumerate(verdicts)
    ]
    transfers = transfer_table(evaluation)
    models = list(dict.fromkeys(row.model for section in sections for row in section.table.rows))
    return template("report.html.jinja").render(
        evaluation=evaluation,
        context=context,
        overall=overall_sentence(evaluation.candidate, verdicts),
        transfers=transfers,
        promotion=promotion_lines(context.decision) if context.decision else [],
        sections=sections,
        ceiling=CEILING,
        data_tables=data_tables(context.facts),
        run_tables=run_tables(context.facts),
        past=history_figure(context.past),
        metrics=[*shown_metrics(sections), *(LIST_METRICS if len(context.ranking) else ())],
        models=[(model, MODEL_DESCRIPTIONS[model]) for model in models if model in MODEL_DESCRIPTIONS],
        light=Markup(css_variables(LIGHT)),
        dark=Markup(css_variables(DARK)),
        **slice_parts(evaluation, context),
        **list_parts(evaluation, context),
        **seed_parts(evaluation, context),
        inside=understanding(context.inside, context.training_log, evaluation.tasks),
    )


def slice_parts(evaluation: Evaluation, context: ReportContext) -> dict[str, Any]:
    return {
        "slice_tables": slice_report.slice_tables(context.slices, evaluation.tasks),
        "slice_figures": slice_report.slice_figures(context.slices, evaluation.tasks),
    }


def seed_parts(evaluation: Evaluation, context: ReportContext) -> dict[str, Any]:
    tasks, candidate = evaluation.tasks, evaluation.candidate
    return {
        "seeds_sentence": seed_report.seeds_sentence(evaluation),
        "seed_lines": seed_report.seed_lines(context.seeds, tasks),
        "text_lines": seed_report.text_lines(context.text, tasks),
        "text_sentences": seed_report.text_sentences(context.text, tasks, candidate),
    }


def list_parts(evaluation: Evaluation, context: ReportContext) -> dict[str, Any]:
    tables = list_report.list_tables(context.ranking, evaluation.candidate)
    return {
        "list_tables": tables,
        "list_colours": {
            found.name: colour_names([row.model for row in found.table.rows], evaluation.candidate)
            for found in tables
        },
        "logged_only": list_report.LOGGED_ONLY,
    }


def shown_metrics(sections: Sequence[TaskSection]) -> list[Metric]:
    """Every metric in a table, once, the way to the ceiling last."""
    shown = dict.fromkeys(metric for section in sections for metric in section.table.metrics)
    return sorted(shown, key=lambda metric: metric == CEILING_SHARE)


def template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mtl_pipeline.evaluation.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "arrow": arrow,
        "count": "{:,}".format,
        "rows_sentence": rows_sentence,
        "trusted_svg": Markup,
    }
    return environment.get_template(name)


def task_section(
    evaluation: Evaluation, context: ReportContext, verdict: TaskVerdict, position: int
) -> TaskSection:
    task = evaluation.tasks[position]
    table = metrics_table(evaluation, task.name, task.kind)
    return TaskSection(
        verdict=verdict,
        table=table,
        colours=colour_names([row.model for row in table.rows], evaluation.candidate),
        comparisons=comparison_lines(evaluation, task.name, task.kind),
        notes=section_notes(evaluation, task.name),
        calibration=calibration_table(evaluation, task.name, task.kind),
        chain=next((chain for chain in chain_tables(evaluation) if chain.task == task.name), None),
        figures=task_figures(
            context.predictions,
            task,
            evaluation.candidate,
            context.training_log,
            context.epoch_chosen_for(task.name),
            position,
        ),
    )


def section_notes(evaluation: Evaluation, task: str) -> list[str]:
    """Why a value is missing, each reason once."""
    metrics = evaluation.metrics.filter(
        pl.col("task") == task, pl.col("split") == "test", pl.col("note") != ""
    )
    thresholds = evaluation.thresholds.filter(pl.col("task") == task, pl.col("note") != "")
    return [
        *(f"{row['metric']} of {row['model']}: {row['note']}" for row in metrics.iter_rows(named=True)),
        *(f"threshold of {row['model']}: {row['note']}" for row in thresholds.iter_rows(named=True)),
    ]


def data_tables(facts: Facts) -> list[FactTable]:
    tables = [
        fact_table("Rows by split", "split", "rows", facts.get("rows_by_split")),
        fact_table("Split boundaries", "boundary", "time", facts.get("split_boundaries")),
        fact_table("Label means", "label", "mean", facts.get("label_rates")),
        fact_table("Labels later than their split", "split and task", "labels", facts.get("late_labels")),
        fact_table("Rejected rows", "reason", "rows", facts.get("rejected_rows"), "No row was rejected."),
    ]
    return [table for table in tables if table is not None]


def run_tables(facts: Facts) -> list[FactTable]:
    seconds = {step: f"{value:,.1f}" for step, value in facts.get("seconds", {}).items()}
    tables = [
        fact_table("Duration", "step", "seconds", seconds),
        fact_table("Versions", "package", "version", facts.get("versions")),
        fact_table("Fingerprints", "artifact", "fingerprint", facts.get("fingerprints")),
    ]
    return [table for table in tables if table is not None]


def fact_table(
    title: str, key: str, value: str, facts: Mapping[str, Any] | None, empty: str = ""
) -> FactTable | None:
    """Two columns, or, for a mapping of mappings, one column per outer key and one row per inner key."""
    if facts is None or not (facts or empty):
        return None
    if facts and all(isinstance(column, Mapping) for column in facts.values()):
        names = list(dict.fromkeys(name for column in facts.values() for name in column))
        rows = [[name, *(fact_text(column.get(name)) for column in facts.values())] for name in names]
        return FactTable(title, [key, *map(str, facts)], rows)
    return FactTable(
        title, [key, value], [[str(name), fact_text(fact)] for name, fact in facts.items()], empty
    )


def fact_text(fact: Any) -> str:
    if fact is None:
        return MISSING
    if isinstance(fact, str):
        return fact
    if isinstance(fact, int):
        return f"{fact:,}"
    if isinstance(fact, float):
        return f"{fact:,.3f}"
    if isinstance(fact, Sequence):
        return " to ".join(fact_text(part) for part in fact)
    return str(fact)
