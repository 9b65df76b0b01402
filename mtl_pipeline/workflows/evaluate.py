"""The evaluation: every model on the same untouched test rows, as a report and as numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import polars as pl
import yaml

from mtl_pipeline.champions import Decision, short
from mtl_pipeline.evaluation.facts import Facts
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Document
from mtl_pipeline.evaluation.report.evaluation import evaluation_report, report_texts
from mtl_pipeline.evaluation.report.html import to_html
from mtl_pipeline.evaluation.report.markdown import to_markdown
from mtl_pipeline.evaluation.studies.frames import published
from mtl_pipeline.evaluation.studies.history import append_record, make_record, read_records, with_record
from mtl_pipeline.evaluation.studies.people import lists_of_people
from mtl_pipeline.evaluation.studies.ranked_lists import list_scores, measure_ranking
from mtl_pipeline.evaluation.studies.scoring import FRAMES, Evaluation, evaluate
from mtl_pipeline.evaluation.studies.seeds import SEEDS, compare_over_seeds, measure_seeds
from mtl_pipeline.evaluation.studies.slice_scores import measure_slices
from mtl_pipeline.evaluation.studies.slices import cold_of, slices_of
from mtl_pipeline.evaluation.studies.text_effect import TEXT, measure_text
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.training.calibrator import load_calibration
from mtl_pipeline.learning.training.provenance import outdated_text, refuse_other_examples, unequal_training
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import SINGLE_TASK
from mtl_pipeline.publishing import folder_fingerprint, publish_folder, reading
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.facts import describe_data
from mtl_pipeline.workflows.decide import decide_promotion, find_champion
from mtl_pipeline.workflows.explain import explain_model, with_texts
from mtl_pipeline.workflows.log import Log
from mtl_pipeline.workflows.predictions import wide_predictions
from mtl_pipeline.workflows.seed_runs import usable_seed_runs

VERSIONED = ("dagster", "duckdb", "polars", "scikit-learn", "lightgbm", "torch", "transformers")


@dataclass(frozen=True)
class Evaluated:
    """What was published, and the decision about the newest model, which nothing has carried out yet."""

    fingerprint: str
    """Of the metrics."""
    decision: Decision
    caveats: list[str]
    texts: dict[str, str]
    """Parts of the report as Markdown, by title."""
    numbers: dict[str, float]
    """What may be followed over runs, by name."""


def evaluate_models(
    paths: PipelinePaths, spec: PipelineSpec, versions: Mapping[str, str] | None = None, *, log: Log = print
) -> Evaluated:
    """Metrics of every model on the test split, with the thresholds that validation chose; and what follows from them
    for the newest model. `versions`, of the assets that this is made from, are told in the report.

    Raises UserError where model or baselines are missing, or were made from other examples.
    """
    refuse_other_examples(paths)
    champion = find_champion(paths, spec)
    predictions = wide_predictions(
        paths, spec, truth=paths.truth, champion=champion.predictions if champion else None
    )
    measured = evaluate(
        predictions, spec.tasks, bootstrap_samples=spec.evaluation.bootstrap_samples, seed=spec.seed
    )
    decision = decide_promotion(paths, spec, measured, predictions, champion)
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
    caveats = [*filter(None, [baselines_caveat(paths, spec), left_out])]
    report = evaluation_report(
        compared,
        ReportContext(
            pipeline=paths.pipeline,
            predictions=predictions,
            training_log=read_training_log(paths),
            facts=facts,
            decision=decision,
            configuration=yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False),
            calibration={task: str(fitted) for task, fitted in load_calibration(paths.model).items()},
            parts=parts,
            past=with_record(read_records(paths.evaluation_history), record),
            caveats=caveats,
        ),
    )
    publish_evaluation(paths, compared, decision, report, parts)
    append_record(paths.evaluation_history, record)
    log(f"report: {paths.evaluation / 'report.html'}")
    return Evaluated(
        fingerprint=str(measured.metrics.hash_rows(seed=0).sum()),
        decision=decision,
        caveats=caveats,
        texts=report_texts(report),
        numbers=main_metrics(measured) | list_scores(parts["ranking"], measured.candidate),
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


def read_training_log(paths: PipelinePaths) -> Sequence[dict[str, float]]:
    with reading(paths.model) as model:
        return json.loads((model / "training_log.json").read_text())


def measure_parts(
    paths: PipelinePaths, spec: PipelineSpec, predictions: pl.DataFrame, measured: Evaluation, log: Log
) -> dict[str, pl.DataFrame]:
    """The published frames `slices`, `ranking` and `people`: the test rows in parts, as each user's list, and the lists
    of a few users; and those that explain the model."""
    samples, candidate = spec.evaluation.bootstrap_samples, measured.candidate
    with reading(paths.examples) as folder:
        examples = pl.scan_parquet(folder / "examples.parquet")
        slices = slices_of(examples, spec)
        people = lists_of_people(predictions, examples, spec.tasks, candidate=candidate, seed=spec.seed)
    return {
        "slices": measure_slices(predictions, slices, measured),
        "ranking": measure_ranking(
            predictions, spec.tasks, candidate=candidate, bootstrap_samples=samples, seed=spec.seed
        ),
        "people": with_texts(paths, spec, people),
        **explain_model(paths, spec, predictions, slices, measured, log),
    }


def measure_over_seeds(
    paths: PipelinePaths, spec: PipelineSpec, predictions: pl.DataFrame, measured: Evaluation
) -> tuple[Evaluation, dict[str, pl.DataFrame], str]:
    """The evaluation with comparisons over all seeds that there are, the published frames `seeds` and `text`, and why
    seed runs were left out, if they were."""
    seed_runs, left_out = usable_seed_runs(paths, spec, predictions)
    if seed_runs is None:
        empty = {"seeds": published(SEEDS), "text": published(TEXT)}
        return measured, empty, left_out
    with reading(paths.examples) as folder:
        cold = cold_of(pl.scan_parquet(folder / "examples.parquet"), spec)
    frames = {"seeds": measure_seeds(measured, seed_runs), "text": measure_text(measured, seed_runs, cold)}
    return compare_over_seeds(measured, seed_runs), frames, left_out


def publish_evaluation(
    paths: PipelinePaths,
    measured: Evaluation,
    decision: Decision,
    report: Document,
    parts: Mapping[str, pl.DataFrame],
) -> None:
    with publish_folder(paths.evaluation) as folder:
        (folder / "report.html").write_text(to_html(report), encoding="utf-8")
        (folder / "report.md").write_text(to_markdown(report.sections), encoding="utf-8")
        decision.write(folder / "decision.json")
        for name in FRAMES:
            getattr(measured, name).write_parquet(folder / f"{name}.parquet")
        for name, part in parts.items():
            part.write_parquet(folder / f"{name}.parquet")


def main_metrics(measured: Evaluation) -> dict[str, float]:
    """The candidate's compared metrics of each task, and by how much they differ from those of one network per
    task."""
    scores = {
        f"{task.name} {metric}": measured.score(task.name, measured.candidate, metric).value
        for task in measured.tasks
        for metric in KINDS[task.kind].compared
    }
    alone = measured.comparisons.filter(pl.col("baseline") == SINGLE_TASK)
    differences = {
        f"{row['task']} {row['metric']} minus {SINGLE_TASK}": row["difference"]
        for row in alone.iter_rows(named=True)
    }
    return {name: value for name, value in (scores | differences).items() if math.isfinite(value)}
