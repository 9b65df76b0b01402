"""The evaluation: every model on the same untouched test rows, as a report and as numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version

import yaml

from mtl_pipeline.champions import Decision, short
from mtl_pipeline.evaluation.facts import Facts
from mtl_pipeline.evaluation.formatting import join_words
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.evaluation import evaluation_report, report_texts
from mtl_pipeline.evaluation.report.html import to_html
from mtl_pipeline.evaluation.report.markdown import to_markdown
from mtl_pipeline.evaluation.studies.lists.ranked_lists import list_scores
from mtl_pipeline.evaluation.studies.runs.history import append_record, make_record, read_records, with_record
from mtl_pipeline.evaluation.studies.scoring import FRAMES, Evaluation, evaluate
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.calibration.calibrator import load_calibration
from mtl_pipeline.learning.ranker.provenance import (
    BASELINE_ROWS,
    made_quickly,
    outdated_text,
    read_trained_with,
    refuse_other_examples,
    rows_limit,
    started_from,
    unequal_training,
)
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import SINGLE_TASK
from mtl_pipeline.publishing import folder_fingerprint, publish_folder, reading
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.spec.assets import code_version
from mtl_pipeline.warehouse.facts import describe_data
from mtl_pipeline.workflows.champion import decide_promotion, find_champion
from mtl_pipeline.workflows.log import Log
from mtl_pipeline.workflows.measure import measure_over_seeds, measure_parts
from mtl_pipeline.workflows.predictions import wide_predictions

VERSIONED = ("dagster", "duckdb", "polars", "scikit-learn", "lightgbm", "torch", "transformers")

FIRST_LOOK = (
    "This is a first look (QUICK=1): its models learned from few rows and stopped early. Every number changes with a "
    "run without QUICK, and this model is never promoted."
)


@dataclass(frozen=True)
class Evaluated:
    """What was published, and the decision about the newest model, which is not carried out yet."""

    fingerprint: str
    """Of the metrics, and of the model that is to recommend: a decision for another one has to be carried out."""
    decision: Decision
    caveats: list[str]
    texts: dict[str, str]
    """Parts of the report as Markdown, by title."""
    numbers: dict[str, float]
    """What can be followed over runs, by name."""


def evaluate_models(
    paths: PipelinePaths, spec: PipelineSpec, versions: Mapping[str, str] | None = None, *, log: Log = print
) -> Evaluated:
    """Metrics of every model on the test split, with the thresholds that validation chose; and what follows from them
    for the newest model. The report names the `versions` of the assets that this is made from.

    Raises UserError where model or baselines are missing, or were made from other examples.
    """
    refuse_other_examples(paths)
    champion = find_champion(paths, spec)
    predictions = wide_predictions(paths, spec, truth=paths.truth, champion=champion.predictions)
    measured = evaluate(
        predictions, spec.tasks, bootstrap_samples=spec.evaluation.bootstrap_samples, seed=spec.seed
    )
    quick = made_quickly(paths.model) or spec.is_quick
    decision = decide_promotion(paths, spec, measured, predictions, champion, quick=quick)
    parts = measure_parts(paths, spec, predictions, measured, log)
    compared, over_seeds, left_out = measure_over_seeds(paths, spec, predictions, measured)
    parts |= over_seeds
    made_from = dict(versions or {})
    if compared.seeds == 1:
        made_from.pop("seed_runs", None)
    facts = Facts(
        **describe_data(paths, spec),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={package: version(package) for package in VERSIONED},
        fingerprints=made_from,
    )
    examples = short(folder_fingerprint(paths.examples))
    record = make_record(measured, decision, facts, time=facts["created_at"], examples=examples)
    said = (
        warm_start_caveat(paths),
        fewer_rows(paths, facts),
        fewer_baselines(paths, measured, facts),
        baselines_caveat(paths, spec),
        left_out,
    )
    caveats = [*([FIRST_LOOK] if quick else []), *filter(None, said)]
    record = replace(record, caveats=caveats, quick=quick)
    with reading(paths.model) as model:
        training_log = json.loads((model / "training_log.json").read_text())
    report = evaluation_report(
        compared,
        ReportContext(
            pipeline=paths.pipeline,
            predictions=predictions,
            training_log=training_log,
            facts=facts,
            decision=decision,
            configuration=yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False),
            calibration={task: str(fitted) for task, fitted in load_calibration(paths.model).items()},
            parts=parts,
            past=with_record(read_records(paths.evaluation_history), record),
            caveats=caveats,
        ),
    )
    with publish_folder(paths.evaluation) as folder:
        (folder / "report.html").write_text(to_html(report), encoding="utf-8")
        (folder / "report.md").write_text(to_markdown(report.sections), encoding="utf-8")
        decision.write(folder / "decision.json")
        for name, frame in ({name: getattr(compared, name) for name in FRAMES} | parts).items():
            frame.write_parquet(folder / f"{name}.parquet")
    append_record(paths.evaluation_history, record)
    log(f"report: {paths.evaluation / 'report.html'}")
    metrics = str(measured.metrics.hash_rows(seed=0).sum())
    to_recommend = decision.challenger if decision.promote else decision.champion
    return Evaluated(
        fingerprint=code_version(settings={"metrics": metrics, "to_recommend": to_recommend}),
        decision=decision,
        caveats=caveats,
        texts=report_texts(report),
        numbers=main_metrics(measured) | list_scores(parts["ranking"], measured.candidate),
    )


def warm_start_caveat(paths: PipelinePaths) -> str:
    """What is to be said where the network for all tasks did not start as those for single tasks did."""
    if not (champion := started_from(paths.model)):
        return ""
    return (
        f"The network for all tasks started from the weights of champion {short(champion)} (training.warm_start), "
        "those for single tasks and of further seeds with random ones: differences are not of joint training alone."
    )


def fewer_rows(paths: PipelinePaths, facts: Facts) -> str:
    """What is to be said where `training.rows` thins what all models learned from."""
    rows, all_rows = rows_limit(paths.model), facts["rows_by_split"]["train"]
    if rows is None or rows >= all_rows:
        return ""
    return f"All models learned from at most {rows:,} of {all_rows:,} training rows (training.rows of defs.yaml)."


def fewer_baselines(paths: PipelinePaths, measured: Evaluation, facts: Facts) -> str:
    """What is to be said where the declaration thins the baselines, so that nobody takes them for all of them."""
    made, rows = (
        measured.models(measured.tasks[0].name),
        read_trained_with(paths.baselines).get(BASELINE_ROWS),
    )
    missing = [name for name in ("linear", "boosted_trees", SINGLE_TASK) if name not in made]
    said = [f"{join_words(missing)} left out"] if missing else []
    if rows and rows < (all_rows := facts["rows_by_split"]["train"]):
        said.append(f"learned from at most {rows:,} of {all_rows:,} training rows")
    return (
        f"Beating the baselines says less here: {', '.join(said)} (baselines of defs.yaml)." if said else ""
    )


def baselines_caveat(paths: PipelinePaths, spec: PipelineSpec) -> str:
    if outdated_text(paths, spec):
        return (
            "The baselines were not trained with the present text vectors, which the model reads: materialize model "
            f"and baselines of {paths.pipeline}."
        )
    if others := unequal_training(paths):
        return (
            f"The baselines were not trained with the {', '.join(others)} of the model, so a difference from them may "
            f"come from that: materialize baselines of {paths.pipeline}."
        )
    return ""


def main_metrics(measured: Evaluation) -> dict[str, float]:
    """The candidate's compared metrics of each task, and their differences from those of one network per task."""
    scores = {
        f"{task.name} {metric}": measured.score(task.name, measured.candidate, metric).value
        for task in measured.tasks
        for metric in KINDS[task.kind].compared
    }
    for row in measured.comparisons.filter(baseline=SINGLE_TASK).iter_rows(named=True):
        scores[f"{row['task']} {row['metric']} minus {SINGLE_TASK}"] = row["difference"]
    return {name: value for name, value in scores.items() if math.isfinite(value)}
