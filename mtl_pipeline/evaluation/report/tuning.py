"""A search for settings as a document: the verdict in words first, and why it is no gain yet."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import optuna
import polars as pl
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.text import Text
from optuna.visualization.matplotlib import plot_optimization_history, plot_slice

from mtl_pipeline.evaluation.formatting import MISSING, counted, format_signed, format_value, percent
from mtl_pipeline.evaluation.report.document import Document, Section, Table
from mtl_pipeline.evaluation.report.figures.canvas import ReportFigure, add_legend
from mtl_pipeline.evaluation.report.figures.palette import LIGHT

SHOWN_TRIALS = 10
DECIMALS = 4
MEASURED = ("architecture", "trial", "state", "present", "score", "rounds", "seconds", "parameters")
"""Columns of the trials that are no setting, besides `score/<task>`."""

CAUTION = (
    "This is no gain yet. The lowest of many scores was chosen on the validation rows that gave it, so it is "
    "flattered, and the more so the more trials there were; how much a score moves with the seed alone was not "
    "measured here. Test rows were not looked at. To confirm it, put the settings below into defs.yaml, make the "
    "model and the evaluation again, and read its intervals and its promotion."
)
TERMS = {
    "validation score": "mean over the tasks of validation loss / loss of the best constant answer of the training "
    "rows, in the best round of a trial, before calibration; lower is better",
    "present": "the settings of defs.yaml; each architecture's trial 0 has them",
    "complete": "trained until validation improved no more, or to the limit",
    "pruned": "stopped early, since its best round lay above the median of the complete trials at that round; the "
    "score is its best until then",
    "diverged": "its validation loss left the finite numbers",
    "importance": "share of the variance of the complete trials' scores that a setting explains alone (functional "
    "ANOVA, of a random forest fitted to the trials); rough for few trials",
}


@dataclass(frozen=True)
class TuningResult:
    """What a search found, and what it is compared with."""

    pipeline: str
    created_at: str
    """ISO time."""
    trials: pl.DataFrame
    """A row per trial: the columns MEASURED, `score/<task>` and the settings that were searched."""
    importance: pl.DataFrame
    """Columns architecture, setting, importance; empty where there are too few trials or all scores are equal."""
    studies: Mapping[str, optuna.Study]
    """The same trials by architecture, for Optuna to draw."""
    limit: str
    """When a trial ends at the latest, in words."""
    best: str
    """YAML."""
    fingerprint: str
    seed: int

    @property
    def architectures(self) -> list[str]:
        return self.trials["architecture"].unique(maintain_order=True).to_list()

    @property
    def task_scores(self) -> list[str]:
        return [name for name in self.trials.columns if name.startswith("score/")]

    @property
    def ranked(self) -> pl.DataFrame:
        """The complete trials, lowest score first; of equal ones, the present settings."""
        complete = self.trials.filter(state="complete")
        return complete.sort("score", "present", descending=[False, True], maintain_order=True)

    @property
    def present_score(self) -> float | None:
        """None where training with the present settings diverged."""
        return next(iter(self.trials.filter("present", state="complete")["score"]), None)

    def best_of(self, architecture: str) -> dict[str, Any] | None:
        return next(self.ranked.filter(architecture=architecture).iter_rows(named=True), None)

    @property
    def numbers(self) -> dict[str, float]:
        """The scores that a plot over runs can show."""
        scores = {"best score": self.ranked["score"][0], "present score": self.present_score}
        for name in self.architectures:
            scores[f"best score of {name}"] = (self.best_of(name) or {}).get("score")
        return {name: score for name, score in scores.items() if score is not None}


def tuning_report(result: TuningResult) -> Document:
    return Document("Search for settings", result.pipeline, result.created_at, {"report": sections(result)})


def sections(result: TuningResult) -> list[Section]:
    architectures = [comparison_table(result), budgets_table(result)]
    trials = [top_table(result), importance_table(result)]
    terms = Table(["term", "meaning"], list(TERMS.items()))
    into = "To put into defs.yaml, below attributes; also in best.yaml."
    return [
        Section("Verdict", [CAUTION], [overall_sentence(result)]),
        Section("Architectures", [budget_sentence(result)], tables=architectures),
        Section("Trials", tables=trials, figures=search_figures(result)),
        Section("Settings with the lowest score", [into], code=result.best),
        Section("Terms", [f"Search {result.fingerprint}, seed {result.seed}."], tables=[terms]),
    ]


def search_figures(result: TuningResult) -> list[ReportFigure]:
    """Drawn by Optuna: the scores in the order of the trials, and each setting against them."""
    matplotlib.use("agg")
    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        history = drawn(plot_optimization_history(list(result.studies.values())))
        slices = {
            f"Settings of {name}": drawn(plot_slice(study))
            for name, study in result.studies.items()
            if result.best_of(name) and study.best_params
        }
    first = ReportFigure("Scores of the complete trials", "Lower is better; 1 is a constant answer.", history)
    caption = "Each complete trial by the value of each setting."
    return [first, *(ReportFigure(title, caption, figure) for title, figure in slices.items())]


def drawn(axes: Any) -> Figure:
    """The figure of what Optuna returns, whose text is legible in light and dark."""
    first = np.ravel(axes)[0]
    figure = first.figure
    if first.get_legend():
        first.set_title("")
        figure.set_layout_engine("constrained")
        add_legend(figure, first)
    for text in figure.findobj(Text):
        text.set_color(LIGHT["muted"])
    pyplot.close(figure)
    return figure


def overall_sentence(result: TuningResult) -> str:
    best, present = result.ranked.row(0, named=True), result.present_score
    lowest = score_text(best["score"])
    if best["present"]:
        return f"No trial has a lower validation score than the present settings ({lowest})."
    trial = f"trial {best['trial']} of {best['architecture']}"
    which = f"The lowest validation score, {lowest}, is that of {trial}"
    if present is None:
        return f"Training with the present settings diverged. {which}."
    lower = percent(1 - best["score"] / present, 2)
    return f"{which}: {lower} lower than that of the present settings ({score_text(present)})."


def budget_sentence(result: TuningResult) -> str:
    trials = counted(result.trials.height // len(result.architectures), "trial")
    return (
        f"Equal budgets: {trials} for each architecture, each of at most {result.limit}; the same rows and seed "
        f"({result.seed}) for all."
    )


def comparison_table(result: TuningResult) -> Table:
    """The best of each architecture, and the present settings, with the score of each task."""
    present = [("present", trial) for trial in result.trials.filter("present").iter_rows(named=True)]
    best = [(f"best of {name}", result.best_of(name)) for name in result.architectures]
    rows = [
        [
            name,
            trial_name(trial),
            score_text(trial["score"]),
            difference_text(trial["score"], result.present_score),
            *(score_text(trial[task]) for task in result.task_scores),
            format_value(trial["parameters"], 0),
        ]
        if trial
        else [name, "every trial diverged", *[MISSING] * (3 + len(result.task_scores))]
        for name, trial in [*present, *best]
    ]
    tasks = [name.removeprefix("score/") for name in result.task_scores]
    heads = ["", "trial", "score", "minus present", *tasks, "parameters"]
    return Table(heads, rows, "Lowest validation scores, all tasks and each task")


def budgets_table(result: TuningResult) -> Table:
    spent = result.trials.group_by("architecture", maintain_order=True).agg(
        trials=pl.len(),
        **{state: (pl.col("state") == state).sum() for state in ("complete", "pruned", "diverged")},
        rounds=pl.sum("rounds"),
        seconds=pl.sum("seconds"),
    )
    rows = [[name, *(f"{number:,.0f}" for number in numbers)] for name, *numbers in spent.iter_rows()]
    return Table(spent.columns, rows, "What was spent")


def top_table(result: TuningResult) -> Table:
    settings = [name for name in result.trials.columns if name not in (*MEASURED, *result.task_scores)]
    rows = [
        [
            f"{trial_name(trial)}{' (present)' if trial['present'] else ''}",
            score_text(trial["score"]),
            *(setting_text(trial[name]) for name in settings),
            str(trial["rounds"]),
            f"{trial['seconds']:,.0f}",
        ]
        for trial in result.ranked.head(SHOWN_TRIALS).iter_rows(named=True)
    ]
    heads = ["trial", "score", *(name.replace("_", " ") for name in settings), "rounds", "seconds"]
    return Table(heads, rows, "Complete trials with the lowest scores")


def importance_table(result: TuningResult) -> Table:
    """The settings that matter most to some architecture first."""
    shares = result.importance.pivot("architecture", index="setting", values="importance")
    measured = [name for name in result.architectures if name in shares.columns]
    if measured:
        shares = shares.sort(pl.max_horizontal(measured), "setting", descending=[True, False])
    rows = [
        [setting, *(MISSING if share is None else percent(share) for share in of_setting)]
        for setting, *of_setting in shares.select("setting", *measured).iter_rows()
    ]
    empty = "Too few complete trials, or all of the same score, to tell what matters."
    return Table(["setting", *measured], rows, "Importance of the settings", notes=[] if rows else [empty])


def trial_name(trial: Mapping[str, Any]) -> str:
    return f"{trial['architecture']} {trial['trial']}"


def score_text(score: float | None) -> str:
    return format_value(score, DECIMALS)


def difference_text(score: float | None, present: float | None) -> str:
    return MISSING if score is None or present is None else format_signed(score - present, DECIMALS)


def setting_text(value: Any) -> str:
    return MISSING if value is None else f"{value:g}" if isinstance(value, float) else str(value)
