"""The candidate against its baselines over several seeds: what one seed did by chance is no verdict.

The candidate with seed i is held against a baseline with seed i, or against the one model of a baseline that has no
seed, on the same test rows; what is reported is the mean of these differences over the seeds.

Its 95 % interval covers users and seeds. Both are crossed, each seed's models predict for every user, so both are
resampled, independently of each other: the pigeonhole bootstrap (Owen 2007, "The pigeonhole bootstrap", Annals of
Applied Statistics 1:386–411, https://doi.org/10.1214/07-AOAS122), which errs on the side of width. A resample
counts users as `intervals` does, the same for all models, and draws seeds with replacement. Why seeds belong to it:
Bouthillier et al. 2021, "Accounting for variance in machine learning benchmarks", MLSys 3.

Few seeds are a small sample, which a plain bootstrap is too sure of, so that two things are done about n seeds:
n - 1 of them are drawn, which gives the mean the variance s²/n that is unbiased (McCarthy & Snowden 1985, "The
bootstrap and finite population sampling"; n drawn ones give less by (n - 1)/n); and what a seed adds to the mean is
stretched by the ratio of Student's t with n - 1 degrees of freedom to the normal quantile, for the narrowness that
Hesterberg 2015, "What teachers should know about the bootstrap", describes. Still an interval of few seeds is rough:
two or three of them tell little about how much seeds differ. A test says how often the intervals cover.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy import stats

from mtl_pipeline.evaluation.inference.comparing import comparison, enough_clusters, resample_metrics
from mtl_pipeline.evaluation.inference.intervals import (
    CONFIDENCE,
    NORMAL_QUANTILE,
    Interval,
    Key,
    Resampled,
    percentile_interval,
)
from mtl_pipeline.evaluation.studies.chains import chain_name, chain_rows, whole_chains
from mtl_pipeline.evaluation.studies.scoring import Evaluation, chain_scores, score_models
from mtl_pipeline.kinds import KINDS
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

SEEDS_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "task": pl.String,
    "model": pl.String,
    "metric": pl.String,
    "seeds": pl.Int64,
    "mean": pl.Float64,
    "standard_deviation": pl.Float64,
    "lowest": pl.Float64,
    "highest": pl.Float64,
    "values": pl.List(pl.Float64()),
    "note": pl.String,
}


@dataclass(frozen=True)
class SeedRuns:
    """Models that were trained with several seeds, all predicting the same rows."""

    seeds: tuple[int, ...]
    """At least two; the first is that of the candidate which the evaluation puts forward."""
    models: tuple[str, ...]
    """Those that have a fit for each seed."""
    predictions: pl.DataFrame
    """The wide frame, with further columns prediction/<model>@<seed>/<task> for each of `models`."""

    def fits(self, model: str) -> list[str]:
        """One for each seed: of a model without a seed the same one each time."""
        if model not in self.models:
            return [model] * len(self.seeds)
        return [fit_name(model, seed) for seed in self.seeds]


def fit_name(model: str, seed: int) -> str:
    return f"{model}@{seed}"


def with_seed_runs(predictions: pl.DataFrame, replicas: pl.DataFrame, seeds: Sequence[int]) -> SeedRuns:
    """Join the wide frame, whose models have the first seed, with `replicas`: model, seed, example_id,
    prediction/<task>."""
    models, tasks = tuple(replicas["model"].unique(maintain_order=True)), plainly_predicted(replicas)
    frame = predictions.with_columns(
        pl.col(prediction_column(model, task)).alias(prediction_column(fit_name(model, seeds[0]), task))
        for model in models
        for task in tasks
        if prediction_column(model, task) in predictions.columns
    )
    for (model, seed), part in replicas.partition_by("model", "seed", as_dict=True).items():
        name = fit_name(str(model), int(seed))
        names = {plain_prediction_column(task): prediction_column(name, task) for task in tasks}
        fit = part.select("example_id", *names).rename(names)
        frame = frame.join(fit, on="example_id", how="left", maintain_order="left")
    return SeedRuns(tuple(seeds), models, frame)


def compare_over_seeds(evaluation: Evaluation, seed_runs: SeedRuns) -> Evaluation:
    """The evaluation, with the candidate compared over the seeds.

    The champion is left as it was: it is compared with the very model that would follow it. Raises UserError for
    predictions that no metric may hide.
    """
    comparisons = [row for task in evaluation.tasks for row in compare_task(evaluation, seed_runs, task)]
    chains = [
        row for chain in whole_chains(evaluation.tasks) for row in compare_chain(evaluation, seed_runs, chain)
    ]
    return replace(
        evaluation,
        comparisons=pl.DataFrame(comparisons, schema=evaluation.comparisons.schema),
        chain_comparisons=pl.DataFrame(chains, schema=evaluation.chain_comparisons.schema),
        seeds=len(seed_runs.seeds),
    )


def compare_task(evaluation: Evaluation, seed_runs: SeedRuns, task: Task) -> list[dict]:
    """Rows of the frame `comparisons`."""
    as_before = evaluation.comparisons.filter(pl.col("task") == task.name).to_dicts()
    fits = fits_compared(evaluation, seed_runs, as_before)
    check_predictions(seed_runs.predictions, task, fits)
    rows = task_rows(seed_runs.predictions, task.name, fits, "test")
    scores = {fit: found.scores for fit, found in score_models(rows, task.kind, {}).items()}
    return compare_rows(evaluation, seed_runs, rows, task.kind, scores, as_before)


def compare_chain(evaluation: Evaluation, seed_runs: SeedRuns, chain: Sequence[Task]) -> list[dict]:
    """Rows of the frame `chain_comparisons`."""
    as_before = evaluation.chain_comparisons.filter(pl.col("chain") == chain_name(chain)).to_dicts()
    fits = fits_compared(evaluation, seed_runs, as_before)
    others = [
        column for column in seed_runs.predictions.columns if predicting_model(column) not in (None, *fits)
    ]
    rows = chain_rows(seed_runs.predictions.drop(others), chain, fits[0], "test")
    return compare_rows(evaluation, seed_runs, rows, chain[-1].kind, chain_scores(rows), as_before)


def fits_compared(evaluation: Evaluation, seed_runs: SeedRuns, comparisons: Sequence[dict]) -> list[str]:
    """Those of the candidate, its first one first, and of the baselines in these comparisons."""
    baselines = [row["baseline"] for row in comparisons if row["baseline"] != CHAMPION]
    models = (evaluation.candidate, *baselines)
    return list(dict.fromkeys(fit for model in models for fit in seed_runs.fits(model)))


def compare_rows(
    evaluation: Evaluation,
    seed_runs: SeedRuns,
    rows: TaskRows,
    kind: str,
    scores: Mapping[str, Mapping[str, Score]],
    as_before: Sequence[dict],
) -> list[dict]:
    """`as_before`, comparisons of one seed, over all seeds. `rows` and `scores` know every fit."""
    resampled = (
        resample_metrics(rows, kind, evaluation.bootstrap_samples, evaluation.seed)
        if enough_clusters(rows)
        else None
    )
    ours = seed_runs.fits(evaluation.candidate)
    found = []
    for row in as_before:
        if row["baseline"] == CHAMPION:
            found.append(row)
            continue
        name, theirs = row["metric"], seed_runs.fits(row["baseline"])
        pairs = [((a, name), (b, name)) for a, b in zip(ours, theirs, strict=True)]
        names = {key: row[key] for key in ("chain", "task", "metric", "candidate", "baseline") if key in row}
        found.append(
            comparison(
                rows,
                KINDS[kind].metric(name),
                names | {"seeds": len(seed_runs.seeds)},
                mean_score([scores[fit][name] for fit in ours]),
                mean_score([scores[fit][name] for fit in theirs]),
                interval_over_seeds(resampled, pairs, evaluation.seed) if resampled else None,
            )
        )
    return found


def interval_over_seeds(resampled: Resampled, pairs: Sequence[tuple[Key, Key]], seed: int) -> Interval:
    """Of the mean over seeds of ours minus theirs; `pairs` has the two of each seed."""
    differences = np.stack([resampled.values[ours] - resampled.values[theirs] for ours, theirs in pairs])
    quantile = resampled.quantile(pairs)
    return percentile_interval(resample_seeds(differences, seed, quantile), quantile)


def mean_score(scores: Sequence[Score]) -> Score:
    """Undefined where one of them is, with its reason."""
    return Score(
        float(np.mean([score.value for score in scores])),
        next((score.note for score in scores if score.note), ""),
    )


def resample_seeds(differences: np.ndarray, seed: int, quantile: float = NORMAL_QUANTILE) -> np.ndarray:
    """(samples,) means over resampled seeds, from (seeds, samples): what each seed gives on each resample of the
    users. At least two seeds. `quantile`: the one that the interval will have for the sake of few users."""
    count, samples = differences.shape
    drawn = np.random.default_rng([seed, count]).multinomial(count - 1, [1 / count] * count, size=samples)
    mean = differences.mean(axis=0)
    standard_deviation = ((differences - mean) * drawn.T / (count - 1)).sum(axis=0)
    return mean + small_sample_stretch(count, quantile) * standard_deviation


def small_sample_stretch(seeds: int, quantile: float = NORMAL_QUANTILE) -> float:
    """Student's t over the quantile of the interval, the normal one: 6.5 for two seeds, 2.2 for three, 1.4 for five."""
    return max(1.0, float(stats.t.ppf((1 + CONFIDENCE) / 2, seeds - 1)) / quantile)


def measure_seeds(evaluation: Evaluation, seed_runs: SeedRuns) -> pl.DataFrame:
    """The published frame `seeds`: for each task, model with seeds and metric its values on the test rows, one for each
    seed, with mean, standard deviation (n - 1), lowest and highest. Thresholds come from validation rows, each fit's
    its own."""
    found = []
    for task in evaluation.tasks:
        fits = [fit for model in seed_runs.models for fit in seed_runs.fits(model)]
        check_predictions(seed_runs.predictions, task, fits)
        validation, test = (
            task_rows(seed_runs.predictions, task.name, fits, split) for split in ("validation", "test")
        )
        chosen = score_models(validation, task.kind, {})
        thresholds = {fit: score.threshold for fit, score in chosen.items() if score.threshold}
        scores = {fit: score.scores for fit, score in score_models(test, task.kind, thresholds).items()}
        for model, name in itertools.product(seed_runs.models, scores[fits[0]]):
            values = [scores[fit][name] for fit in seed_runs.fits(model)]
            found.append({"task": task.name, "model": model, "metric": name} | spread(values))
    return pl.DataFrame(found, schema=SEEDS_SCHEMA)


def spread(scores: Sequence[Score]) -> dict:
    values = np.array([score.value for score in scores])
    return {
        "seeds": len(values),
        "mean": mean_score(scores).value,
        "standard_deviation": float(values.std(ddof=1)),
        "lowest": float(values.min()),
        "highest": float(values.max()),
        "values": values.tolist(),
        "note": mean_score(scores).note,
    }
