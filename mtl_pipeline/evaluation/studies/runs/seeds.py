"""The candidate against its baselines over several seeds, so that no verdict rests on the chance of one.

The candidate with seed i is compared with a baseline with seed i, or with the one model of a baseline that has no seed,
on the same test rows; what is reported is the mean of these differences over the seeds.

Its 95 % interval covers users and seeds, see `intervals.resample_seeds`. Why seeds belong in it: Bouthillier et al.
2021, "Accounting for variance in machine learning benchmarks", MLSys 3. An interval over few seeds stays rough: two or
three of them tell little about how much seeds differ. A test says how often the intervals cover.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from mtl_pipeline.evaluation.inference.comparing import compare, mean_score
from mtl_pipeline.evaluation.studies import scoring
from mtl_pipeline.evaluation.studies.chains import chain_name, chain_rows, whole_chains
from mtl_pipeline.evaluation.studies.frames import published
from mtl_pipeline.evaluation.studies.scoring import Evaluation, chain_scores, score_models, score_splits
from mtl_pipeline.metrics.metric import Score
from mtl_pipeline.predictions import (
    CHAMPION,
    TaskRows,
    check_predictions,
    plain_prediction_column,
    plainly_predicted,
    predicting_model,
    prediction_column,
    task_rows,
)
from mtl_pipeline.spec import Task

SPREAD = ("seeds", "mean", "standard_deviation", "lowest", "highest", "values", "note")
SEEDS = ("task", "model", "metric", *SPREAD)


@dataclass(frozen=True)
class SeedRuns:
    """Models that were trained with several seeds, all predicting the same rows."""

    seeds: tuple[int, ...]
    """At least two; the first is the seed of the candidate."""
    models: tuple[str, ...]
    """Those that have a fit for each seed."""
    predictions: pl.DataFrame
    """The wide frame, with additional columns prediction/<model>@<seed>/<task> for each of `models`."""

    def fits(self, model: str) -> list[str]:
        """One for each seed; of a model without a seed, the same one each time."""
        if model not in self.models:
            return [model] * len(self.seeds)
        return [fit_name(model, seed) for seed in self.seeds]


def fit_name(model: str, seed: int) -> str:
    return f"{model}@{seed}"


def with_seed_runs(predictions: pl.DataFrame, further_runs: pl.DataFrame, seeds: Sequence[int]) -> SeedRuns:
    """Join the wide frame, whose models have the first seed, with the runs of further seeds: model, seed, example_id,
    prediction/<task>."""
    models, tasks = tuple(further_runs["model"].unique(maintain_order=True)), plainly_predicted(further_runs)
    frame = predictions.with_columns(
        pl.col(prediction_column(model, task)).alias(prediction_column(fit_name(model, seeds[0]), task))
        for model in models
        for task in tasks
        if prediction_column(model, task) in predictions.columns
    )
    for (model, seed), part in further_runs.partition_by("model", "seed", as_dict=True).items():
        name = fit_name(str(model), int(seed))
        names = {plain_prediction_column(task): prediction_column(name, task) for task in tasks}
        fit = part.select("example_id", *names).rename(names)
        frame = frame.join(fit, on="example_id", how="left", maintain_order="left")
    return SeedRuns(tuple(seeds), models, frame)


def compare_over_seeds(evaluation: Evaluation, seed_runs: SeedRuns) -> Evaluation:
    """The evaluation, with the candidate compared over the seeds.

    Comparisons with the champion stay as they were: it is compared with the very model that would follow it. Raises
    UserError for predictions that no metric may hide.
    """
    tasks = [row for task in evaluation.tasks for row in compare_task(evaluation, seed_runs, task)]
    chains = [
        row for chain in whole_chains(evaluation.tasks) for row in compare_chain(evaluation, seed_runs, chain)
    ]
    return replace(
        evaluation,
        comparisons=published(scoring.FRAMES["comparisons"], tasks),
        chain_comparisons=published(scoring.FRAMES["chain_comparisons"], chains),
        seeds=len(seed_runs.seeds),
    )


def compare_task(evaluation: Evaluation, seed_runs: SeedRuns, task: Task) -> list[dict]:
    """Rows of the frame `comparisons`."""
    single_seed = evaluation.comparisons.filter(task=task.name)
    fits = fits_compared(evaluation, seed_runs, single_seed)
    names = distinct(fits)
    check_predictions(seed_runs.predictions, task, names)
    rows = task_rows(seed_runs.predictions, task.name, names, "test")
    scores = {fit: measured.scores for fit, measured in score_models(rows, task.kind, {}).items()}
    return compare_fits(evaluation, single_seed, task, rows, scores, fits)


def compare_chain(evaluation: Evaluation, seed_runs: SeedRuns, chain: Sequence[Task]) -> list[dict]:
    """Rows of the frame `chain_comparisons`."""
    single_seed = evaluation.chain_comparisons.filter(chain=chain_name(chain))
    fits = fits_compared(evaluation, seed_runs, single_seed)
    kept, frame = (None, *distinct(fits)), seed_runs.predictions
    columns = [column for column in frame.columns if predicting_model(column) in kept]
    rows = chain_rows(frame.select(columns), chain, fits[evaluation.candidate][0])
    return compare_fits(evaluation, single_seed, chain[-1], rows, chain_scores(rows), fits)


def fits_compared(
    evaluation: Evaluation, seed_runs: SeedRuns, comparisons: pl.DataFrame
) -> dict[str, list[str]]:
    """The candidate and the baselines in these comparisons → their fits."""
    models = (evaluation.candidate, *comparisons["baseline"].unique(maintain_order=True))
    return {model: seed_runs.fits(model) for model in models if model != CHAMPION}


def distinct(fits: Mapping[str, Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(itertools.chain(*fits.values())))


def compare_fits(
    evaluation: Evaluation,
    single_seed: pl.DataFrame,
    task: Task,
    rows: TaskRows,
    scores: Mapping[str, Mapping[str, Score]],
    fits: Mapping[str, Sequence[str]],
) -> list[dict]:
    """The comparisons of `single_seed` over all seeds, those with the champion as they were."""
    compared = compare(
        rows, task, scores, evaluation.candidate, fits, evaluation.bootstrap_samples, evaluation.seed
    )
    over_seeds = {(row["metric"], row["baseline"]): row for row in compared}
    return [row | over_seeds.get((row["metric"], row["baseline"]), {}) for row in single_seed.to_dicts()]


def measure_seeds(evaluation: Evaluation, seed_runs: SeedRuns) -> pl.DataFrame:
    """The published frame `seeds`: for each task, model with seeds and metric its values on the test rows, one for each
    seed, with mean, standard deviation (n - 1), lowest and highest. Each fit has its own thresholds, from validation
    rows."""
    rows = []
    for task in evaluation.tasks:
        fits = [fit for model in seed_runs.models for fit in seed_runs.fits(model)]
        check_predictions(seed_runs.predictions, task, fits)
        *_, (_, _, measured) = score_splits(seed_runs.predictions, task, fits)
        for model, metric in itertools.product(seed_runs.models, measured[fits[0]].scores):
            scores = [measured[fit].scores[metric] for fit in seed_runs.fits(model)]
            rows.append({"task": task.name, "model": model, "metric": metric} | spread(scores))
    return published(SEEDS, rows)


def spread(scores: Sequence[Score]) -> dict:
    values, mean = np.array([score.value for score in scores]), mean_score(scores)
    return {
        "seeds": len(values),
        "mean": mean.value,
        "standard_deviation": float(values.std(ddof=1)),
        "lowest": float(values.min()),
        "highest": float(values.max()),
        "values": values.tolist(),
        "note": mean.note,
    }
