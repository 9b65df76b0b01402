"""Whether the newest model, the challenger, becomes champion.

It does when

1. it was not rolled back from before: what somebody took out by hand comes back by hand only; nor made for a first
   look (QUICK=1), from less than there is;
2. it is shown to beat the constant answer on every task that is not conditional on another, and is not shown to be
   worse on the others, whose labels are fewer: anything less must never recommend, nor must a model about which the
   test rows, all of one class, say nothing. Where fewer than ten users leave no interval, the difference itself has to
   do. The decision says what is not shown;
3. on no task is it worse than the champion by more than the task's margin, with confidence: the whole 95 % interval of
   the difference lies beyond the margin. A task without an interval (one class only, rows of fewer than ten users)
   speaks against it, because then nothing is known;
4. nor is it, in the same sense, worse than the reference: the earlier champion, of those that are kept, that leads it
   by most on that task, or the one that promotion.reference names. Otherwise every night could lose a little less than
   the margin.

All is measured on test rows, on which neither early stopping nor calibration chose anything; two models are compared
on those that neither was trained on. Against a constant the metric is the loss that the task's kind has as `learned`,
against a champion the headline metric. A challenger that may be a little worse, but need not be, is promoted: it has
learned from newer data, and on small test windows, whose intervals are wide, nothing would ever follow the first model
if each had to prove that it is no worse. The larger the window, the less the two rules differ.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from mtl_pipeline.champions import Decision, TaskComparison, short
from mtl_pipeline.evaluation.formatting import arrow, format_difference, format_value
from mtl_pipeline.evaluation.inference.intervals import BETTER, INCOMPARABLE, WORSE
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import Metric
from mtl_pipeline.predictions import CHAMPION, CONSTANT, predicting_model
from mtl_pipeline.spec import PipelineSpec, Task

IN_TEST = pl.col("split") == "test"
ALLOWED = "not shown to be worse"
NOT_BETTER = "not shown to be better"
UNPROVEN = "better, without an interval"
UNSHOWN = "not shown to be better, nor worse"
"""Enough for a task that is conditional on another; any other has to be shown to be better."""
REFUSED = (WORSE, NOT_BETTER, INCOMPARABLE)


@dataclass(frozen=True)
class Earlier:
    """An earlier champion, against which the challenger was measured."""

    fingerprint: str
    compared: Evaluation | None
    """Scores both, the earlier one under the champion's name, on test rows that it has not seen; None where it cannot
    predict."""
    obstacle: str = ""
    """Why it cannot predict, if promotion.reference names it: then that speaks against the challenger."""


def decide(
    spec: PipelineSpec,
    measured: Evaluation,
    compared: Evaluation | None,
    earlier: Sequence[Earlier] = (),
    *,
    challenger: str,
    champion: str | None,
    obstacle: str = "",
    rolled_back_at: str | None = None,
    quick: bool = False,
    window: str = "",
) -> Decision:
    """The rules above. `challenger` and `champion` are fingerprints.

    `compared` scores both models on rows that neither has seen, see `on_unseen_rows`; None where there is no
    champion to compare with, or it is the challenger itself. `obstacle`: why the champion cannot predict for
    this pipeline any more, so that the challenger is treated as the first model.
    """
    usable = champion is not None and not obstacle
    references = [line for task in spec.tasks for line in reference_lines(spec, earlier, task)]
    comparisons = [
        *(against_constant(measured, task) for task in spec.tasks),
        *(compare_task(spec, compared, task) for task in spec.tasks if compared),
        *references,
    ]
    against = [
        *filter(None, map(objection, comparisons)),
        *(f"There is no reference to compare with: {one.obstacle}." for one in earlier if one.obstacle),
    ]
    if rolled_back_at:
        against.insert(0, f"This model was rolled back from on {rolled_back_at}; it is not promoted again.")
    if quick:
        against.insert(
            0, "It was made for a first look (QUICK=1), which is never promoted: run it without QUICK."
        )
    reasons = against or [reason_for(comparisons), *filter(None, map(reservation, comparisons))]
    if champion and obstacle:
        reasons.insert(0, f"The champion {short(champion)} cannot be compared: {obstacle}.")
    same = usable and champion == challenger
    if same:
        reasons = ["It was promoted before."]
    return Decision(
        name=uuid.uuid4().hex,
        challenger=challenger,
        champion=champion,
        promote=not against and not same,
        usable=usable,
        reasons=reasons,
        comparisons=comparisons,
        window=window,
        references=sorted({line.against for line in references}),
    )


def reason_for(comparisons: list[TaskComparison]) -> str:
    rivals = {line.against for line in comparisons} - {CONSTANT}
    if not rivals:
        shown = ", ".join(line.task for line in comparisons if line.outcome != UNSHOWN)
        return f"There is no champion to compare with, and it beats the constant answer on {shown}."
    earlier = ", nor than an earlier one" if rivals - {CHAMPION} else ""
    return f"On no task is it shown to be worse than the champion{earlier} by more than is allowed."


def against_constant(measured: Evaluation, task: Task) -> TaskComparison:
    """The challenger against a constant answer on the test rows, calibrated as it would recommend."""
    kind = KINDS[task.kind]
    metric = kind.metric(kind.learned)
    row = comparison_row(measured, task, metric, CONSTANT)
    # Why the test rows say nothing of the task: no label at all, or one class only.
    if blind := measured.score(task.name, measured.candidate, kind.telling).note:
        row |= {"low": math.nan, "high": math.nan, "note": blind}
    gain = row["difference"] if metric.higher_is_better else -row["difference"]
    if blind or math.isnan(gain):
        outcome = INCOMPARABLE
    elif math.isnan(row["low"]) and gain > 0:
        outcome = UNPROVEN
    elif row["verdict"] in (BETTER, WORSE):
        outcome = row["verdict"]
    else:
        outcome = UNSHOWN if task.given else NOT_BETTER
    return line_of(row, metric, against=CONSTANT, margin=0.0, outcome=outcome)


def compare_task(
    spec: PipelineSpec, compared: Evaluation, task: Task, against: str = CHAMPION
) -> TaskComparison:
    """The challenger against the model that has the champion's place in `compared`."""
    headline = KINDS[task.kind].headline
    row = comparison_row(compared, task, headline, CHAMPION)
    margin = spec.margin(task, row["baseline_value"])
    # What the challenger loses at the interval's favourable end.
    least_loss = -row["high"] if headline.higher_is_better else row["low"]
    if math.isnan(least_loss):
        outcome = INCOMPARABLE
    elif least_loss > margin:
        outcome = WORSE
    else:
        outcome = BETTER if row["verdict"] == BETTER else ALLOWED
    return line_of(row, headline, against=against, margin=margin, outcome=outcome)


def reference_lines(spec: PipelineSpec, earlier: Sequence[Earlier], task: Task) -> list[TaskComparison]:
    """The challenger against the earlier champion that leads it by most on one task, if any can be compared."""
    lines = [compare_task(spec, one.compared, task, one.fingerprint) for one in earlier if one.compared]
    if spec.promotion.reference == "best":
        lines = [line for line in lines if line.outcome != INCOMPARABLE]
    return sorted(lines, key=lambda line: line.loss)[-1:]


def comparison_row(measured: Evaluation, task: Task, metric: Metric, baseline: str) -> dict[str, Any]:
    (row,) = measured.comparisons.filter(task=task.name, metric=metric.name, baseline=baseline).to_dicts()
    return row


def line_of(
    row: Mapping[str, Any], metric: Metric, *, against: str, margin: float, outcome: str
) -> TaskComparison:
    return TaskComparison(
        task=row["task"],
        metric=metric.label,
        arrow=arrow(metric.higher_is_better),
        against=against,
        theirs=row["baseline_value"],
        challenger=row["candidate_value"],
        difference=row["difference"],
        low=row["low"],
        high=row["high"],
        margin=margin,
        outcome=outcome,
        note=row["note"],
    )


def objection(line: TaskComparison) -> str | None:
    """What one comparison says against the challenger, if anything."""
    if line.outcome not in REFUSED:
        return None
    whose = "the champion" if line.against == CHAMPION else f"the earlier champion {short(line.against)}"
    if line.outcome == INCOMPARABLE and line.against == CONSTANT:
        return (
            f"{line.task}: whether it has learned anything cannot be said from the test rows: {line.note}. Look at the "
            "check labels_vary_in_validation_and_test of examples."
        )
    if line.outcome == INCOMPARABLE:
        why = line.note or "no interval"
        return f"{line.task}: it and {whose} cannot be compared in {line.metric} on the test rows: {why}."
    difference, interval = format_difference(line.difference, line.low, line.high)
    whose, judged = (
        ("a constant answer", "does not show that it beats it")
        if line.against == CONSTANT
        else (whose, f"is surely more than the {format_value(line.margin)} allowed")
    )
    return (
        f"{line.task}: its {line.metric} on the test rows is {format_value(line.challenger)}, that of {whose} "
        f"{format_value(line.theirs)}; the difference, {difference} {interval}, {judged}."
    )


def reservation(line: TaskComparison) -> str | None:
    """What is not known about a challenger that is promoted all the same."""
    if line.outcome == UNPROVEN:
        return f"{line.task}: that it beats the constant answer rests on the difference alone: {line.note}."
    if line.outcome == UNSHOWN:
        difference, interval = format_difference(line.difference, line.low, line.high)
        return f"{line.task}: that it beats the constant answer is not shown ({line.metric} {difference} {interval})."
    return None


def on_unseen_rows(
    measured: Evaluation, predictions: pl.DataFrame, unseen: pl.Expr
) -> tuple[Evaluation, str]:
    """Challenger and champion on the test rows that the champion was not trained on, and what rows those are.

    `measured` is returned where those are all test rows, which is the rule: a test split is the newest there is.
    """
    rows, left = (predictions.filter(kept).height for kept in (IN_TEST, IN_TEST & unseen))
    if left == rows:
        return measured, f"All {rows:,} test rows are newer than what the champion was trained on."
    return head_to_head(measured, predictions, unseen), (
        f"The champion may have been trained on {rows - left:,} of the {rows:,} test rows, which flatters it "
        f"in the tables of this report; here, both are compared on the other {left:,}."
    )


def head_to_head(measured: Evaluation, predictions: pl.DataFrame, unseen: pl.Expr) -> Evaluation:
    """Challenger and champion alone, as `predictions` has them, on some of the test rows."""
    kept = (None, measured.candidate, CHAMPION)
    columns = [name for name in predictions.columns if predicting_model(name) in kept]
    return evaluate(
        predictions.filter(IN_TEST & unseen).select(columns),
        measured.tasks,
        candidate=measured.candidate,
        bootstrap_samples=measured.bootstrap_samples,
        seed=measured.seed,
    )


def against_earlier(
    measured: Evaluation, predictions: pl.DataFrame, theirs: pl.DataFrame, unseen: pl.Expr
) -> Evaluation:
    """Challenger and an earlier champion, whose predictions `theirs` take the champion's place, on the test rows that
    it was not trained on."""
    others = predictions.drop(f"^(prediction|uncalibrated)/{CHAMPION}/.*$")
    frame = others.join(theirs, on="example_id", how="left", maintain_order="left")
    return head_to_head(measured, frame, unseen)
