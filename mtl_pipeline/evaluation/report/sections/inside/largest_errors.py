"""The test rows on which the model is most wrong, with the item's text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from mtl_pipeline.evaluation.formatting import format_value, shortened
from mtl_pipeline.evaluation.report.document import Section, Table
from mtl_pipeline.evaluation.studies.inside.largest_errors import MOST_OF_ONE_USER, ROWS_SHOWN
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.spec import Task

LONGEST_TEXT = 120
SMALLEST_SHOWN = 1e-4
NEW = ", new"

HOW_TO_READ = (
    f"The {ROWS_SHOWN} test rows of each task with the largest loss, after calibration, at most {MOST_OF_ONE_USER} of "
    "one user. Look for wrong labels and odd rows first, then for what the model cannot know; new users and items were "
    "not in the training split."
)


def sections(evaluation: Evaluation, errors: pl.DataFrame) -> list[Section]:
    details = [Section("Row by row", tables=error_tables(errors, evaluation.tasks))]
    return [Section("Largest errors", [HOW_TO_READ], details=details)]


def error_tables(errors: pl.DataFrame, tasks: Sequence[Task]) -> list[Table]:
    """One for each task with an observed test row, of the frame of `largest_errors` with or without `item_text`."""
    return [error_table(rows, task) for task in tasks if len(rows := errors.filter(task=task.name))]


def error_table(rows: pl.DataFrame, task: Task) -> Table:
    """Without the columns that the data do not have."""
    columns: dict[str, tuple[str, Callable[[dict], str]]] = {
        "item's text": ("item_text", lambda row: shortened(row["item_text"] or "", LONGEST_TEXT)),
        "label": ("label", lambda row: label_in_words(row, task)),
        "predicted": ("prediction", lambda row: prediction_in_words(row, task)),
        KINDS[task.kind].error_label: ("loss", lambda row: format_value(row["loss"])),
        "time": ("timestamp", lambda row: f"{row['timestamp']:%Y-%m-%d %H:%M}" if row["timestamp"] else ""),
        "user": ("user_id", lambda row: f"{row['user_id']}{NEW if row['new_user'] else ''}"),
        "item": ("item_id", lambda row: f"{row['item_id']}{NEW if row['new_item'] else ''}"),
    }
    filled = {column.name for column in rows if column.null_count() < len(rows)}
    shown = {head: cell for head, (column, cell) in columns.items() if column in filled}
    return Table(list(shown), [[cell(row) for cell in shown.values()] for row in rows.to_dicts()], task.name)


def label_in_words(row: dict, task: Task) -> str:
    return task.classes[int(row["label"])] if task.classes else f"{row['label']:g}"


def prediction_in_words(row: dict, task: Task) -> str:
    if task.classes:
        return f"{task.classes[row['likeliest']]} ({label_in_words(row, task)}: {probability(row['prediction'])})"
    return probability(row["prediction"]) if KINDS[task.kind].is_event else format_value(row["prediction"])


def probability(value: float) -> str:
    return f"{value:.4f}" if value >= SMALLEST_SHOWN or value == 0 else f"{value:.0e}"
