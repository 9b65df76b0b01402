"""The evaluation: every model on the same untouched test rows, as a report and as numbers."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
import yaml

from mtl_pipeline.champions import Decision, short
from mtl_pipeline.components.checks import asset_checks
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.promotion import Champion, decide_promotion, find_champion
from mtl_pipeline.components.understanding import understand_model, with_texts
from mtl_pipeline.publishing import folder_fingerprint, publish_folder, reading
from mtl_pipeline.spec.assets import code_version
from mtl_pipeline.warehouse.checks import evaluation_checks
from mtl_pipeline.warehouse.facts import describe_data

if TYPE_CHECKING:
    from mtl_pipeline.evaluation.facts import Facts
    from mtl_pipeline.evaluation.report.context import ReportContext
    from mtl_pipeline.evaluation.report.document import Document
    from mtl_pipeline.evaluation.studies.history import Record
    from mtl_pipeline.evaluation.studies.scoring import Evaluation

VERSIONED = ("dagster", "duckdb", "polars", "scikit-learn", "torch", "transformers")
FRAMES = ("metrics", "comparisons", "thresholds", "calibration", "whole_chains", "chain_comparisons")


def evaluation_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec

    @pipeline.asset(
        reads=[*reads(pipeline), "replications"],
        kinds={"scikitlearn", "html"},
        code_version=code_version(
            settings={
                "tasks": spec.tasks,
                "evaluation": spec.evaluation,
                "promotion": spec.promotion,
                "seed": spec.seed,
            }
        ),
    )
    def evaluation(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Metrics of every model on the test split, with the thresholds that validation chose."""
        from mtl_pipeline.evaluation.report.evaluation import evaluation_report, report_texts
        from mtl_pipeline.evaluation.studies.history import append_record, read_records, with_record
        from mtl_pipeline.evaluation.studies.ranked_lists import list_scores
        from mtl_pipeline.evaluation.studies.scoring import evaluate

        champion = find_champion(pipeline)
        predictions = all_predictions(pipeline, champion)
        measured = evaluate(
            predictions,
            spec.tasks,
            bootstrap_samples=spec.evaluation.bootstrap_samples,
            seed=spec.seed,
        )
        decision = decide_promotion(pipeline, measured, predictions, champion)
        parts = measure_parts(pipeline, predictions, measured, context.log.info)
        compared, over_seeds, left_out = measure_over_seeds(pipeline, predictions, measured)
        parts |= over_seeds
        page = report_context(context, pipeline, predictions, decision, read(pipeline, compared))
        record = history_record(pipeline, measured, decision, page.facts)
        past = with_record(read_records(paths.evaluation_history), record)
        caveats = [*filter(None, [baselines_caveat(pipeline), left_out])]
        report = evaluation_report(compared, replace(page, parts=parts, past=past, caveats=caveats))
        publish_evaluation(pipeline, compared, decision, report, parts)
        append_record(paths.evaluation_history, record)
        context.log.info(f"report: {paths.evaluation / 'report.html'}")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(str(measured.metrics.hash_rows(seed=0).sum())),
            metadata={
                **{name: dg.MetadataValue.md(text) for name, text in report_texts(report).items()},
                "promotion": decision.verdict,
                **({"beware": " ".join(caveats)} if caveats else {}),
                "champion before": decision.champion or "none",
                "page": dg.MetadataValue.path(paths.evaluation / "report.html"),
                "dagster/uri": dg.MetadataValue.path(paths.evaluation),
                **main_metrics(measured),
                **list_scores(parts["ranking"], measured.candidate),
            },
        )

    return evaluation


def reads(pipeline: PipelineContext) -> list[str]:
    """What an evaluation needs; replications it uses where there are some."""
    return ["model", "baselines", "examples", *pipeline.embeddings]


def read(pipeline: PipelineContext, measured: "Evaluation") -> list[str]:
    """What this evaluation was made from."""
    return [*reads(pipeline), *(["replications"] if measured.seeds > 1 else [])]


def all_predictions(pipeline: PipelineContext, champion: Champion | None) -> pl.DataFrame:
    """The wide frame of validation and test rows: labels, the baselines' predictions, the model's, those of a
    champion that is another model, all also as they were before calibration, and where the data are simulated
    the true probabilities. Raises UserError where model or baselines were made from other examples."""
    from mtl_pipeline.learning.training.provenance import refuse_other_examples
    from mtl_pipeline.workflows.predictions import wide_predictions

    refuse_other_examples(pipeline.paths)
    return wide_predictions(
        pipeline.paths,
        pipeline.spec,
        truth=pipeline.paths.truth,
        champion=champion.predictions if champion else None,
    )


def baselines_caveat(pipeline: PipelineContext) -> str:
    from mtl_pipeline.learning.training.provenance import outdated_text, unequal_training

    if outdated_text(pipeline.paths, pipeline.spec):
        return (
            "The baselines were not trained with the present text vectors, which the model reads: materialize model "
            f"and baselines of {pipeline.name}."
        )
    if others := unequal_training(pipeline.paths):
        return (
            f"The baselines were not trained with the {', '.join(others)} of the model, so a difference from them may "
            f"come from that: materialize baselines of {pipeline.name}."
        )
    return ""


def report_context(
    context: dg.AssetExecutionContext,
    pipeline: PipelineContext,
    predictions: pl.DataFrame,
    decision: Decision,
    made_from: list[str],
) -> "ReportContext":
    from mtl_pipeline.evaluation.facts import Facts
    from mtl_pipeline.evaluation.report.context import ReportContext
    from mtl_pipeline.learning.training.calibrator import load_calibration

    with reading(pipeline.paths.model) as model:
        training_log = json.loads((model / "training_log.json").read_text())
    return ReportContext(
        pipeline=pipeline.name,
        predictions=predictions,
        training_log=training_log,
        facts=Facts(
            **describe_data(pipeline.paths, pipeline.spec),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            versions={package: version(package) for package in VERSIONED},
            fingerprints=data_versions(context, pipeline, made_from),
        ),
        decision=decision,
        configuration=yaml.safe_dump(pipeline.spec.model_dump(mode="json"), sort_keys=False),
        calibration={task: str(found) for task, found in load_calibration(pipeline.paths.model).items()},
    )


def measure_parts(
    pipeline: PipelineContext,
    predictions: pl.DataFrame,
    measured: "Evaluation",
    log: Callable[[str], None] = print,
) -> dict[str, pl.DataFrame]:
    """The published frames `slices`, `ranking` and `people`: the test rows in parts, as each user's list, and the lists
    of a few users; and those that explain the model."""
    from mtl_pipeline.evaluation.studies.people import lists_of_people
    from mtl_pipeline.evaluation.studies.ranked_lists import measure_ranking
    from mtl_pipeline.evaluation.studies.slice_scores import measure_slices
    from mtl_pipeline.evaluation.studies.slices import read_slices

    samples = pipeline.spec.evaluation.bootstrap_samples
    slices = read_slices(pipeline.paths, pipeline.spec)
    with reading(pipeline.paths.examples) as folder:
        people = lists_of_people(
            predictions,
            pl.scan_parquet(folder / "examples.parquet"),
            pipeline.spec.tasks,
            candidate=measured.candidate,
            seed=pipeline.spec.seed,
        )
    return {
        "slices": measure_slices(predictions, slices, measured, bootstrap_samples=samples),
        "ranking": measure_ranking(
            predictions,
            pipeline.spec.tasks,
            candidate=measured.candidate,
            bootstrap_samples=samples,
            seed=pipeline.spec.seed,
        ),
        "people": with_texts(pipeline, people),
        **understand_model(pipeline, predictions, slices, measured, log),
    }


def measure_over_seeds(
    pipeline: PipelineContext, predictions: pl.DataFrame, measured: "Evaluation"
) -> tuple["Evaluation", dict[str, pl.DataFrame], str]:
    """The evaluation with comparisons over all seeds that there are, the published frames `seeds` and `text`, and why
    replications were left out, if they were."""
    from mtl_pipeline.evaluation.studies.seeds import SEEDS_SCHEMA, compare_over_seeds, measure_seeds
    from mtl_pipeline.evaluation.studies.slices import read_cold
    from mtl_pipeline.evaluation.studies.text_effect import TEXT_SCHEMA, measure_text
    from mtl_pipeline.workflows.replicate import find_replications

    replications, left_out = find_replications(pipeline.paths, pipeline.spec, predictions)
    if replications is None:
        return (
            measured,
            {"seeds": pl.DataFrame(schema=SEEDS_SCHEMA), "text": pl.DataFrame(schema=TEXT_SCHEMA)},
            left_out,
        )
    frames = {
        "seeds": measure_seeds(measured, replications),
        "text": measure_text(measured, replications, read_cold(pipeline.paths, pipeline.spec)),
    }
    return compare_over_seeds(measured, replications), frames, left_out


def history_record(
    pipeline: PipelineContext, measured: "Evaluation", decision: Decision, facts: "Facts"
) -> "Record":
    from mtl_pipeline.evaluation.studies.history import make_record

    return make_record(
        measured,
        decision,
        facts,
        time=facts["created_at"],
        examples=short(folder_fingerprint(pipeline.paths.examples)),
    )


def publish_evaluation(
    pipeline: PipelineContext,
    measured: "Evaluation",
    decision: Decision,
    report: "Document",
    parts: Mapping[str, pl.DataFrame],
) -> None:
    from mtl_pipeline.evaluation.report.html import to_html
    from mtl_pipeline.evaluation.report.markdown import to_markdown

    with publish_folder(pipeline.paths.evaluation) as folder:
        (folder / "report.html").write_text(to_html(report), encoding="utf-8")
        (folder / "report.md").write_text(to_markdown(report.sections), encoding="utf-8")
        decision.write(folder / "decision.json")
        for name in FRAMES:
            getattr(measured, name).write_parquet(folder / f"{name}.parquet")
        for name, frame in parts.items():
            frame.write_parquet(folder / f"{name}.parquet")


def data_versions(
    context: dg.AssetExecutionContext, pipeline: PipelineContext, made_from: list[str]
) -> dict[str, str]:
    """The data version of each asset that this evaluation was made from."""
    versions = {}
    for asset in made_from:
        event = context.instance.get_latest_materialization_event(pipeline.key(asset))
        if event and event.asset_materialization and event.asset_materialization.tags:
            versions[asset] = short(event.asset_materialization.tags.get("dagster/data_version", ""))
    return versions


def main_metrics(measured: "Evaluation") -> dict[str, float]:
    """The candidate's compared metrics of each task, and by how much they differ from those of one network per
    task, as numbers that the UI plots over runs."""
    from mtl_pipeline.kinds import KINDS
    from mtl_pipeline.predictions import SINGLE_TASK

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
    found = scores | differences
    return {name: value for name, value in found.items() if math.isfinite(value)}


def evaluation_asset_checks(pipeline: PipelineContext) -> dg.AssetChecksDefinition:
    return asset_checks(pipeline, "evaluation", evaluation_checks(pipeline.paths, pipeline.spec))
