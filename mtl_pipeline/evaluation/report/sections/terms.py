"""What the words mean: every metric and model of the page."""

from __future__ import annotations

from collections.abc import Iterable

from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Section, Table
from mtl_pipeline.evaluation.report.wording import labelled
from mtl_pipeline.evaluation.studies.lists.ranked_lists import LIST_METRICS
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import Metric

MODELS = {
    "constant": "the same answer for every row: the share of positives, or the mean, of the training rows, until "
    "calibration brings it to that of the validation rows",
    "popularity": "the item's past popularity or mean, whoever the user is",
    "linear": "logistic or ridge regression on the same features",
    "boosted_trees": "gradient-boosted trees (LightGBM) on the same features, one set of trees per task",
    "single_task": "the same network of the same size, trained for this task alone",
    "multi_task": "one network trained for all tasks together, replaced by, or averaged with, a task's own network "
    "where validation rows favour that; the model that is put forward",
    "champion": "the model that recommends until another one is promoted",
    "ceiling": "the true probabilities or expectations of the simulator that made the data: the best possible, so it "
    "takes no part in verdicts",
}


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    names = {task.kind: set(evaluation.metric_names(task.name)) for task in evaluation.tasks}
    shown = [metric for kind in names for metric in KINDS[kind].metrics if metric.name in names[kind]]
    shown += LIST_METRICS if len(context.parts.get("ranking", ())) else ()
    models = [model for task in evaluation.tasks for model in evaluation.models(task.name)]
    return terms_sections(shown, models, concepts(evaluation))


def terms_sections(metrics: Iterable[Metric], models: Iterable[str], others: dict[str, str]) -> list[Section]:
    """A section of three folded tables; each metric and model once."""
    meanings = {
        "Metrics": {labelled(metric): metric.definition for metric in dict.fromkeys(metrics)},
        "Models": {model: MODELS[model] for model in dict.fromkeys(models) if model in MODELS},
        "Other terms": others,
    }
    details = [
        Section(title, tables=[Table(["term", "meaning"], list(terms.items()))])
        for title, terms in meanings.items()
        if terms
    ]
    return [Section("Terms", details=details)]


def concepts(evaluation: Evaluation) -> dict[str, str]:
    drawn = "user, with all their rows," if evaluation.resampled == "users" else "row"
    seeds = ", and where there are several seeds these are drawn again too" if evaluation.seeds > 1 else ""
    return {
        "threshold": "a row is predicted positive when its probability is at least this; chosen for the best F1 on "
        "validation rows, never on test rows",
        "calibration": "a correction of the predictions, fitted on validation rows, after which of the rows given 30 % "
        "about 30 % should happen; it keeps the order of the rows of one task",
        "95 % interval": f"where the difference lies in the middle 95 % of the resamples, in which every {drawn} "
        f"counts 0, 1, 2 … times by chance (Poisson with mean 1), the same for both models{seeds}; wider where few "
        f"{evaluation.resampled} decide (Student's quantile); of many comparisons without any true difference about "
        "one in twenty still excludes zero",
        "validation, test": "validation rows chose the epoch, fitted the calibration and chose the thresholds, so "
        "whatever is measured on them flatters; test rows were used for nothing but this report",
    }
