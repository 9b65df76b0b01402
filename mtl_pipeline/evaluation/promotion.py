"""Whether the newest model, the challenger, becomes champion.

It does when

1. it was not rolled back from before: what somebody took out by hand comes back by hand only;
2. on validation, before calibration, it beats the constant answer on every task: less than that must never
   recommend, nor must a model of which validation, of one class only, says nothing; and, where there is a
   champion that can be compared,
3. on no task is it worse than the champion by more than the task's margin, with confidence: it is, when the
   whole 95 % interval of the difference lies beyond the margin. A task without an interval (one class only,
   rows of fewer than ten users) speaks against it, for then nothing is known.

The third is compared in the headline metric of each task, on test rows that neither model was trained on. A
challenger that may be a little worse, but need not be, is promoted: it has learned from newer data, and on
small test windows, whose intervals are wide, nothing would ever follow the first model if each had to prove
that it is no worse. The larger the window, the less the two rules differ.
"""

from __future__ import annotations

import math
import uuid

import polars as pl

from mtl_pipeline.champions import Decision, TaskComparison, short
from mtl_pipeline.evaluation.intervals import BETTER, WORSE
from mtl_pipeline.evaluation.metrics import headline, metric
from mtl_pipeline.evaluation.predictions import CHAMPION
from mtl_pipeline.evaluation.scoring import CONSTANT, Evaluation, evaluate
from mtl_pipeline.evaluation.wording import INCOMPARABLE, arrow, format_difference, format_value
from mtl_pipeline.spec import PipelineSpec, Task

LEARNED = {
    "binary": "log_loss",
    "regression": "rmse",
    "count": "poisson_deviance",
    "multiclass": "log_loss",
}
"""Kind of task → the metric in which a constant answer has to be beaten."""
ALLOWED = "not shown to be worse"


def decide(
    spec: PipelineSpec,
    measured: Evaluation,
    compared: Evaluation | None,
    *,
    challenger: str,
    champion: str | None,
    obstacle: str = "",
    rolled_back_at: str | None = None,
    window: str = "",
) -> Decision:
    """The rules above. `challenger` and `champion` are fingerprints.

    `compared` scores both models on rows that neither has seen, see `on_unseen_rows`; None where there is no
    champion to compare with, or it is the challenger itself. `obstacle`: why the champion cannot predict for
    this pipeline any more, so that the challenger is treated as the first model.
    """
    usable = champion is not None and not obstacle
    comparisons = [compare_task(spec, compared, task) for task in spec.tasks] if compared else []
    against = [
        *blind_reasons(measured),
        *constant_reasons(measured),
        *filter(None, map(objection, comparisons)),
    ]
    if rolled_back_at:
        against.insert(0, f"This model was rolled back from on {rolled_back_at}; it is not promoted again.")
    reasons = against or [reason_for(comparisons)]
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
    )


def reason_for(comparisons: list[TaskComparison]) -> str:
    if comparisons:
        return "On no task is it shown to be worse than the champion by more than is allowed."
    return "There is no champion to compare with, and it beats the constant answer on every task."


def blind_reasons(measured: Evaluation) -> list[str]:
    """The tasks of which validation says nothing, and why. A model is neither good nor bad by it: nobody knows."""
    return [
        f"{task.name}: whether it has learned anything cannot be said from the validation rows: {why}. Look at the "
        "check labels_vary_in_validation_and_test of examples."
        for task in measured.tasks
        if (why := blindness(measured, task))
    ]


def blindness(measured: Evaluation, task: Task) -> str:
    """Why the validation rows say nothing of a task: no label at all, or one class only; else empty."""
    metric = {"binary": "roc_auc", "multiclass": "macro_roc_auc"}.get(task.kind, LEARNED[task.kind])
    return measured.score(task.name, measured.candidate, metric, "validation").note


def constant_reasons(measured: Evaluation) -> list[str]:
    """The tasks on which the challenger is no better than a constant answer on validation. Once it was
    calibrated on these very rows no model is worse, whatever it has learned."""
    reasons = []
    for task in measured.tasks:
        if blindness(measured, task):
            continue
        found = metric(task.kind, LEARNED[task.kind])
        scores = measured.calibration.filter(
            pl.col("task") == task.name, pl.col("split") == "validation", pl.col("metric") == found.name
        )
        ours, constant = (
            float(scores.row(by_predicate=pl.col("model") == model, named=True)["before"])
            for model in (measured.candidate, CONSTANT)
        )
        if not ours < constant:
            reasons.append(
                f"{task.name}: on validation its {found.label} before calibration, {format_value(ours)}, "
                f"is not below that of a constant answer, {format_value(constant)}."
            )
    return reasons


def compare_task(spec: PipelineSpec, compared: Evaluation, task: Task) -> TaskComparison:
    found = headline(task.kind)
    row = compared.comparisons.row(
        by_predicate=(pl.col("task") == task.name)
        & (pl.col("metric") == found.name)
        & (pl.col("baseline") == CHAMPION),
        named=True,
    )
    champion = compared.score(task.name, CHAMPION, found.name).value
    margin = spec.margin(task, champion)
    least_loss = -row["high"] if found.higher_is_better else row["low"]
    return TaskComparison(
        task=task.name,
        metric=found.label,
        arrow=arrow(found.higher_is_better),
        champion=champion,
        challenger=compared.score(task.name, compared.candidate, found.name).value,
        difference=row["difference"],
        low=row["low"],
        high=row["high"],
        margin=margin,
        outcome=outcome_of(row["verdict"], least_loss, margin),
        note=row["note"],
    )


def outcome_of(verdict: str, least_loss: float, margin: float) -> str:
    """`least_loss`: what the challenger loses at the interval's favourable end; NaN where there is none."""
    if math.isnan(least_loss):
        return INCOMPARABLE
    if least_loss > margin:
        return WORSE
    return BETTER if verdict == BETTER else ALLOWED


def objection(line: TaskComparison) -> str | None:
    """What one task says against the challenger."""
    if line.outcome == INCOMPARABLE:
        why = line.note or "no interval"
        return f"{line.task}: the two cannot be compared in {line.metric} on the test rows: {why}."
    if line.outcome != WORSE:
        return None
    difference, interval = format_difference(line.difference, line.low, line.high)
    return (
        f"{line.task}: its {line.metric} is {format_value(line.challenger)}, the champion's "
        f"{format_value(line.champion)}; the difference, {difference} {interval}, is surely more than the "
        f"{format_value(line.margin)} allowed."
    )


def on_unseen_rows(
    measured: Evaluation, predictions: pl.DataFrame, unseen: pl.Expr
) -> tuple[Evaluation, str]:
    """Challenger and champion on the test rows that the champion was not trained on, and what rows those are.

    `measured` is taken where those are all test rows, which is the rule: a test split is the newest there is.
    """
    test = pl.col("split") == "test"
    rows = predictions.filter(test).height
    fair = predictions.filter(~test | unseen)
    left = fair.filter(test).height
    if left == rows:
        return measured, f"All {rows:,} test rows are newer than what the champion was trained on."
    others = [
        name
        for name in predictions.columns
        if name.startswith("prediction/") and name.split("/")[1] not in (measured.candidate, CHAMPION)
    ]
    compared = evaluate(
        fair.drop(others),
        measured.tasks,
        candidate=measured.candidate,
        bootstrap_samples=measured.bootstrap_samples,
        seed=measured.seed,
    )
    return compared, (
        f"The champion may have been trained on {rows - left:,} of the {rows:,} test rows, which flatters it "
        f"in the tables of this report; here, both are compared on the other {left:,}."
    )
