"""An evaluation as Markdown, for an asset's metadata and a terminal: verdict first, then the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl_pipeline.escaping import markdown_text as escape
from mtl_pipeline.evaluation.formatting import arrow
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
from mtl_pipeline.evaluation.report.wording import (
    ComparisonLine,
    comparison_lines,
    overall_sentence,
    task_verdicts,
)
from mtl_pipeline.predictions import CEILING

if TYPE_CHECKING:
    from mtl_pipeline.champions import Decision
    from mtl_pipeline.evaluation.studies.scoring import Evaluation
    from mtl_pipeline.spec import Task


def to_markdown(evaluation: Evaluation, decision: Decision | None = None) -> str:
    parts = ["## Verdict", verdict_list(evaluation)]
    if decision:
        parts += ["## Promotion", promotion_section(decision)]
    if transfers := transfer_grid(evaluation):
        parts += ["## Joint training", transfers]
    chains = {chain.task: chain for chain in chain_tables(evaluation)}
    for task in evaluation.tasks:
        parts += [f"## {escape(task.name)} ({task.kind})", task_table(evaluation, task)]
        parts += [
            f"### {escape(evaluation.candidate)} against the others",
            comparison_grid(comparison_lines(evaluation, task.name, task.kind)),
        ]
        if calibration := calibration_table(evaluation, task.name, task.kind):
            parts += ["### Before → after calibration", calibration_grid(calibration)]
        if task.name in chains:
            parts.append(chain_grid(chains[task.name]))
    over_seeds = f" and {evaluation.seeds} seeds" if evaluation.seeds > 1 else ""
    parts.append(
        "Test rows; models calibrated and thresholds chosen on validation. Intervals: 95 %, paired bootstrap over "
        f"{evaluation.resampled}{over_seeds}, {evaluation.bootstrap_samples:,} resamples. ↑ higher is better, "
        "↓ lower is better."
    )
    return "\n\n".join(parts) + "\n"


def verdict_list(evaluation: Evaluation) -> str:
    verdicts = task_verdicts(evaluation)
    lines = [escape(overall_sentence(evaluation.candidate, verdicts)), ""]
    for verdict in verdicts:
        lines.append(f"- {escape(verdict.sentence)} {verdict.metric} {verdict.arrow} {verdict.value}:")
        lines += [
            f"    - {line.difference} {line.interval} against {escape(line.baseline)}: "
            f"**{line.verdict}**{note(line.note)}"
            for line in verdict.lines
        ]
        if verdict.ceiling:
            lines.append(f"    - {escape(verdict.ceiling)}")
    return "\n".join(lines)


def promotion_section(decision: Decision) -> str:
    parts = [
        f"**{escape(decision.verdict)}**",
        "\n".join(f"- {escape(reason)}" for reason in decision.reasons),
    ]
    if lines := promotion_lines(decision):
        heads = [
            "task",
            "metric",
            "against",
            "its value",
            "challenger",
            "difference",
            "95 % interval",
            "allowed",
            "",
        ]
        parts.append(markdown_table(heads, [[escape(cell) for cell in line.cells] for line in lines]))
        parts.append(escape(decision.window))
    return "\n\n".join(parts)


def task_table(evaluation: Evaluation, task: Task) -> str:
    table = metrics_table(evaluation, task.name, task.kind)
    notes = sorted({f"{row.model}: {cell.note}" for row in table.rows for cell in row.cells if cell.note})
    return "\n\n".join([model_grid(table), *(f"– {escape(text)}" for text in notes)])


def model_grid(table: MetricsTable) -> str:
    heads = [f"{metric.label} {arrow(metric.higher_is_better)}" for metric in table.metrics]
    rows = [
        [model_name(row.model), *(f"**{cell.text}**" if cell.best else cell.text for cell in row.cells)]
        + ([row.threshold] if table.has_thresholds else [])
        for row in table.rows
    ]
    return markdown_table(["model", *heads, *(["threshold"] if table.has_thresholds else [])], rows)


def calibration_grid(table: CalibrationTable) -> str:
    heads = [f"{metric.label} {arrow(metric.higher_is_better)}" for metric in table.metrics]
    rows = [
        [escape(model), *(f"{before} → {after}" for before, after in values)] for model, values in table.rows
    ]
    return markdown_table(["model", *heads], rows)


def model_name(model: str) -> str:
    return f"{model} (best possible)" if model == CEILING else escape(model)


def chain_grid(chain: ChainTable) -> str:
    notes = "".join(f"\n\n– {escape(note)}" for note in chain.notes)
    return "\n\n".join(
        [
            f"### Whole chain: {escape(chain.chain)}, {chain.rows:,} rows",
            escape(chain.verdict),
            model_grid(chain.table) + notes,
            comparison_grid(chain.comparisons),
        ]
    )


def transfer_grid(evaluation: Evaluation) -> str:
    """Empty where no model is trained for one task alone."""
    rows = [
        [
            escape(row.task),
            f"{row.metric} {row.arrow}",
            row.effect + note(row.note),
            row.difference,
            row.interval,
            row.alone,
            row.together,
        ]
        for row in transfer_table(evaluation)
    ]
    heads = ["task", "metric", "joint training", "difference", "95 % interval", "alone", "together"]
    return markdown_table(heads, rows) if rows else ""


def comparison_grid(lines: list[ComparisonLine]) -> str:
    rows = [
        [
            f"{line.metric} {line.arrow}",
            escape(line.baseline),
            line.difference,
            line.interval,
            line.verdict + note(line.note),
        ]
        for line in lines
    ]
    return markdown_table(["metric", "against", "difference", "95 % interval", "verdict"], rows)


def markdown_table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def note(text: str) -> str:
    return f" ({escape(text)})" if text else ""
