"""A search for settings as a page and as Markdown: verdict in words first, with what it is not worth yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
from markupsafe import Markup

from mtl_pipeline.evaluation.formatting import MISSING, format_signed
from mtl_pipeline.evaluation.report.figures.palette import DARK, LIGHT, colour_names, css_variables
from mtl_pipeline.evaluation.report.figures.tuning_figures import search_figure
from mtl_pipeline.evaluation.report.markdown import escape, markdown_table
from mtl_pipeline.evaluation.report.page import FactTable, template

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
    "score is what it had come to",
    "diverged": "its validation loss left the finite numbers",
    "importance": "share of the variance of the complete trials' scores that a setting explains alone (functional "
    "ANOVA, of a random forest fitted to the trials); rough for few trials",
}


@dataclass(frozen=True)
class TuningPage:
    """What a search found, and what it is compared with."""

    pipeline: str
    created_at: str
    """ISO time."""
    trials: pl.DataFrame
    """A row per trial: the columns MEASURED, `score/<task>` and the settings that were searched."""
    importance: pl.DataFrame
    """Columns architecture, setting, importance; empty where there are too few trials or all scores are equal."""
    present_architecture: str
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
    def ranked(self) -> pl.DataFrame:
        """The complete trials, lowest score first; of equal ones, the present settings."""
        return self.trials.filter(state="complete").sort(
            "score", "present", descending=[False, True], maintain_order=True
        )

    @property
    def present_score(self) -> float | None:
        """None where training with the present settings diverged."""
        return next(iter(self.trials.filter("present", state="complete")["score"].to_list()), None)

    def best_of(self, architecture: str) -> dict[str, Any] | None:
        return next(self.ranked.filter(architecture=architecture).iter_rows(named=True), None)

    @property
    def numbers(self) -> dict[str, float]:
        """The scores that a plot over runs can show."""
        scores = {"best score": self.ranked["score"].to_list()[0], "present score": self.present_score}
        for architecture in self.architectures:
            found = self.best_of(architecture)
            scores[f"best score of {architecture}"] = found["score"] if found else None
        return {name: score for name, score in scores.items() if score is not None}


def render_page(page: TuningPage) -> str:
    """HTML without scripts or anything from elsewhere, about 60 kB."""
    return template("tuning.html.jinja").render(
        page=page,
        verdict=verdict(page),
        caution=CAUTION,
        budget=budget_sentence(page),
        comparison=comparison_table(page),
        budgets=budgets_table(page),
        top=top_table(page),
        importance=importance_table(page),
        figure=search_figure(page.trials, architecture_colours(page)),
        terms=TERMS,
        light=Markup(css_variables(LIGHT)),
        dark=Markup(css_variables(DARK)),
    )


def render_markdown(page: TuningPage) -> str:
    parts = ["## Verdict", "\n".join(f"- {escape(line)}" for line in verdict(page)), escape(CAUTION)]
    parts += ["## Architectures", escape(budget_sentence(page))]
    tables = [comparison_table(page), budgets_table(page), top_table(page), importance_table(page)]
    for table in tables:
        parts += [f"### {escape(table.title)}", as_markdown(table)]
    parts += ["## Settings with the lowest score", f"```yaml\n{page.best}```"]
    return "\n\n".join(parts) + "\n"


def as_markdown(table: FactTable) -> str:
    if not table.rows:
        return escape(table.empty)
    return markdown_table(
        [escape(head) for head in table.heads], [[escape(cell) for cell in row] for row in table.rows]
    )


def architecture_colours(page: TuningPage) -> dict[str, str]:
    """Architecture → colour name, that of the present settings first."""
    colours = colour_names(page.architectures, page.present_architecture)
    return {page.present_architecture: colours.pop(page.present_architecture), **colours}


def verdict(page: TuningPage) -> list[str]:
    """What was found, then a line for each architecture."""
    lines = [
        architecture_sentence(page, name)
        for name in sorted(page.architectures, key=lambda name: lowest(page, name))
    ]
    return [overall_sentence(page), *lines]


def lowest(page: TuningPage, architecture: str) -> float:
    found = page.best_of(architecture)
    return found["score"] if found else float("inf")


def overall_sentence(page: TuningPage) -> str:
    best, present = page.ranked.row(0, named=True), page.present_score
    if best["present"]:
        return (
            f"No trial has a lower validation score than the present settings ({score_text(best['score'])})."
        )
    where = f"trial {best['trial']} of {best['architecture']}"
    if present is None:
        return (
            f"Training with the present settings diverged. The lowest validation score, {score_text(best['score'])}, "
            f"is that of {where}."
        )
    return (
        f"The lowest validation score, {score_text(best['score'])}, is that of {where}: "
        f"{share_text(present, best['score'])} than that of the present settings ({score_text(present)})."
    )


def architecture_sentence(page: TuningPage, architecture: str) -> str:
    best, present = page.best_of(architecture), page.present_score
    if best is None:
        return f"{architecture}: every trial diverged."
    if best["present"]:
        return f"{architecture}: nothing lower than the present settings, {score_text(best['score'])}."
    difference = (
        "" if present is None else f", {share_text(present, best['score'])} than the present settings"
    )
    return f"{architecture}: at the lowest {score_text(best['score'])} (trial {best['trial']}){difference}."


def share_text(present: float, score: float) -> str:
    """'1.2 % lower'."""
    direction = "lower" if score <= present else "higher"
    return f"{abs(score / present - 1):.2%}".replace("%", "\u00a0%") + f" {direction}"


def budget_sentence(page: TuningPage) -> str:
    per_architecture = page.trials.height // len(page.architectures)
    trials = "1 trial" if per_architecture == 1 else f"{per_architecture} trials"
    return (
        f"Equal budgets: {trials} for each architecture, each of at most {page.limit}; the "
        f"same rows and seed ({page.seed}) for all."
    )


def comparison_table(page: TuningPage) -> FactTable:
    """The best of each architecture, and the present settings, with the score of each task."""
    tasks = [name for name in page.trials.columns if name.startswith("score/")]
    heads = ["", "trial", "score", "minus present", *(name.removeprefix("score/") for name in tasks)]
    found: list[tuple[str, dict[str, Any] | None]] = [
        ("present", next(page.trials.filter("present").iter_rows(named=True), None))
    ]
    found += [(f"best of {name}", page.best_of(name)) for name in page.architectures]
    present = page.present_score
    rows = [
        [
            name,
            f"{trial['architecture']} {trial['trial']}",
            score_text(trial["score"]),
            difference_text(trial["score"], present),
            *(score_text(trial[task]) for task in tasks),
            MISSING if trial["parameters"] is None else f"{trial['parameters']:,}",
        ]
        for name, trial in found
        if trial is not None
    ]
    return FactTable("Lowest validation scores, all tasks and each task", [*heads, "parameters"], rows)


def budgets_table(page: TuningPage) -> FactTable:
    states = ("complete", "pruned", "diverged")
    rows = []
    for name in page.architectures:
        own = page.trials.filter(architecture=name)
        counts = [str(own.filter(state=state).height) for state in states]
        rows.append(
            [name, str(own.height), *counts, f"{own['rounds'].sum():,}", f"{own['seconds'].sum():,.0f}"]
        )
    return FactTable("What was spent", ["architecture", "trials", *states, "rounds", "seconds"], rows)


def top_table(page: TuningPage) -> FactTable:
    settings = [
        name for name in page.trials.columns if name not in MEASURED and not name.startswith("score/")
    ]
    rows = [
        [
            f"{trial['architecture']} {trial['trial']}{' (present)' if trial['present'] else ''}",
            score_text(trial["score"]),
            *(setting_text(trial[name]) for name in settings),
            str(trial["rounds"]),
            f"{trial['seconds']:,.0f}",
        ]
        for trial in page.ranked.head(SHOWN_TRIALS).iter_rows(named=True)
    ]
    heads = ["trial", "score", *(name.replace("_", " ") for name in settings), "rounds", "seconds"]
    return FactTable("Complete trials with the lowest scores", heads, rows)


def importance_table(page: TuningPage) -> FactTable:
    shares = {
        (row["architecture"], row["setting"]): row["importance"]
        for row in page.importance.iter_rows(named=True)
    }
    measured = [name for name in page.architectures if name in set(page.importance["architecture"])]
    by_size = page.importance.group_by("setting").agg(pl.col("importance").max())
    settings = by_size.sort("importance", "setting", descending=[True, False])["setting"].to_list()
    rows = [
        [
            setting,
            *(
                f"{shares[name, setting]:.0%}".replace("%", "\u00a0%")
                if (name, setting) in shares
                else MISSING
                for name in measured
            ),
        ]
        for setting in settings
    ]
    return FactTable(
        "Importance of the settings",
        ["setting", *measured],
        rows,
        "Too few complete trials, or all of the same score, to tell what matters.",
    )


def score_text(score: float | None) -> str:
    return MISSING if score is None else f"{score:.{DECIMALS}f}"


def difference_text(score: float | None, present: float | None) -> str:
    if score is None or present is None:
        return MISSING
    return format_signed(score - present, DECIMALS)


def setting_text(value: Any) -> str:
    if value is None:
        return MISSING
    return f"{value:g}" if isinstance(value, float) else str(value)
