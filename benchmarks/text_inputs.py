"""What the ranker makes of text: the network for all tasks, trained with other readings of the same text vectors, and
without them. A Markdown table, against the pipeline's own declaration.

    make demo PIPELINE=shop
    PYTHONPATH=. python benchmarks/text_inputs.py shop --rows 20000

Variants are chosen on validation rows: the loss of the round that is kept, over that of the declared network with the
same seed, mean over tasks. Then the test rows: log-loss (of numbers RMSE) likewise, with a 95 % interval of the
difference by a bootstrap over users and seeds, paired; all rows, and those of cold items, which no training row has but
as a sampled negative, of tasks with at least FEWEST of these. A ✓ or ✗ beside a headline metric: better or worse beyond
its interval.

Nothing is guarded, calibrated or averaged over networks. What has been trained is kept in benchmarks/.text_inputs.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.joint_training import changed
from mtl_pipeline.embedding import embed_texts
from mtl_pipeline.evaluation.formatting import format_value
from mtl_pipeline.evaluation.inference.comparing import resample_metrics
from mtl_pipeline.evaluation.inference.intervals import (
    BETTER,
    UNDECIDED,
    Interval,
    Resampled,
    percentile_interval,
    resample_seeds,
    verdict,
)
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.data.dataset import Dataset, TextVectors, fused
from mtl_pipeline.learning.training.held_out import HeldOut
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline.paths import PipelinePaths, project_root
from mtl_pipeline.predictions import TaskRows
from mtl_pipeline.spec import PipelineSpec, Task
from mtl_pipeline.vectors import read_vectors
from mtl_pipeline.warehouse.tables import read_texts
from mtl_pipeline.workflows.__main__ import declared

KEPT = Path(__file__).with_name(".text_inputs")
SEEDS, SAMPLES, FEWEST = 3, 1000, 100
DECLARED, COLUMNS_APART = "as declared", "columns of items apart"
VARIANTS: dict[str, dict] = {
    DECLARED: {},
    "16 components": {"text_components": 16},
    "64 components": {"text_components": 64},
    "64 components, whitened": {"text_components": 64, "text_whitened": True},
    "32 components, whitened": {"text_components": 32, "text_whitened": True},
    "a third of texts hidden": {"text_dropout": 1 / 3},
    "two thirds hidden": {"text_dropout": 2 / 3},
    "earlier items not read": {"sequence_encoder": None},
    "earlier items: their mean": {"sequence_encoder": "mean"},
    "earlier items: attention": {"sequence_encoder": "target_attention"},
}
"""Settings of `model`."""


def without_relations(dataset: Dataset, spec: PipelineSpec) -> Dataset:
    """Text vectors, but no columns that say how an item's text is related to those chosen before."""
    other = dataset.without_text(spec)
    other.text = dataset.text
    return other


def without_vectors(dataset: Dataset, _: PipelineSpec) -> Dataset:
    """These columns, but no text vectors."""
    other = copy.copy(dataset)
    other.text = TextVectors({})
    return other


APART = {"deskdrop": ("title", "body"), "shop": ("title", "description"), "news": ("title", "summary")}
"""Columns of items, of which their text is put together."""


def with_columns_apart(dataset: Dataset, spec: PipelineSpec) -> Dataset:
    """A vector for each column, side by side, in place of one for the text that they are put together to."""
    columns = APART[dataset.paths.pipeline]
    items = spec.features.items.model_copy(update={"text": columns[0], "further_texts": [*columns[1:]]})
    apart = spec.model_copy(update={"features": spec.features.model_copy(update={"items": items})})
    files = [KEPT / f"{dataset.paths.pipeline}-{column}.parquet" for column in columns]
    for kind, file in zip(items.embedded, files, strict=True):
        embed_texts(read_texts(dataset.paths, apart, "items", kind), spec.encoder, file)
    other = copy.copy(dataset)
    other.text = TextVectors({**dataset.text.tables, "items": fused(*map(read_vectors, files))})
    return other


OTHER_ROWS: dict[str, Callable[[Dataset, PipelineSpec], Dataset]] = {
    "vectors, no text relations": without_relations,
    "text relations, no vectors": without_vectors,
    "no text at all": Dataset.without_text,
    COLUMNS_APART: with_columns_apart,
}
Found = Mapping[str, np.ndarray]
"""`validation/<task>`, the loss of the round that is kept; `predicted/<task>`, of the held-out rows."""


class Bench:
    def __init__(self, pipeline: str, rows: int | None) -> None:
        self.spec = changed(declared(pipeline), declared(pipeline).seed, rows=rows)
        self.dataset = Dataset(PipelinePaths(project_root(), pipeline), self.spec)
        self.held_out = HeldOut(self.dataset, self.spec)
        self.folder = KEPT / f"{pipeline}-{rows or 'all'}"
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def variants(self) -> list[str]:
        """Without those that are the declaration by another name."""
        model = self.spec.model
        other = [
            name
            for name, settings in VARIANTS.items()
            if name == DECLARED or any(getattr(model, key) != value for key, value in settings.items())
        ]
        return [
            *other,
            *(n for n in OTHER_ROWS if n != COLUMNS_APART or self.dataset.paths.pipeline in APART),
        ]

    def run(self, variant: str, seed: int) -> Found:
        file = self.folder / f"{variant.replace(' ', '_')}-{seed}.npz"
        if not file.exists():
            found = self.train(variant, seed)
            np.savez(file, allow_pickle=False, **found)
            losses = [f"{loss:.4f}" for name, loss in found.items() if name.startswith("validation/")]
            print(variant, seed, *losses, flush=True)
        with np.load(file) as kept:
            return dict(kept)

    def train(self, variant: str, seed: int) -> dict[str, np.ndarray]:
        spec, dataset, rows = self.spec, self.dataset, self.held_out.rows
        if variant in OTHER_ROWS:
            dataset = OTHER_ROWS[variant](dataset, spec)
            rows = dataset.encode(dataset.split("validation", "test"))
        spec = changed(spec, spec.seed + seed, **VARIANTS.get(variant, {}))
        fit = fit_network(dataset, spec, spec.tasks, lambda line: None)
        losses = {task.name: np.array(fit.best[f"validation_loss/{task.name}"]) for task in spec.tasks}
        parts = {"validation": losses, "predicted": fit.ranker.predict_uncalibrated(rows)}
        return {f"{part}/{name}": values for part, of in parts.items() for name, values in of.items()}

    def resampled(self, found: Mapping[str, list[Found]], cold: bool) -> dict[str, Resampled]:
        """By task, the metrics of `<variant>/<seed>` on test rows, or on those of `cold` items. All tasks draw the same
        users."""
        frame = self.held_out.frame.with_columns(
            user=pl.col("user_id").rank("dense").cast(pl.Int64) - 1, row=pl.int_range(pl.len())
        )
        rows = frame.filter(pl.col("split") == "test").sort("user")
        if cold:
            train = self.dataset.split("train")
            logged = train.filter(~pl.col("sampled")) if "sampled" in train.columns else train
            rows = rows.join(logged, on="item_id", how="anti", maintain_order="left")
        return {
            task.name: self.of_task(found, task, observed)
            for task in self.spec.tasks
            if len(observed := rows.filter(pl.col(task.name).is_not_null())) >= FEWEST
        }

    def of_task(self, found: Mapping[str, list[Found]], task: Task, rows: pl.DataFrame) -> Resampled:
        users = self.held_out.frame["user_id"].n_unique()
        predicted = {
            f"{variant}/{seed}": of[f"predicted/{task.name}"][rows["row"].to_numpy()].astype(np.float64)
            for variant, seeds in found.items()
            for seed, of in enumerate(seeds)
        }
        labels = rows[task.name].cast(pl.Float64).to_numpy()
        test = TaskRows(labels, rows["user"].to_numpy(), users, True, predicted)
        return resample_metrics(test, task.kind, SAMPLES, self.spec.seed)


def relative_loss(
    resampled: Mapping[str, Resampled], tasks: list[Task], variant: str
) -> tuple[float, Interval]:
    """By how many percent the loss differs from the declared network's, mean over the tasks that there is something
    of; and its interval."""
    differences = np.stack(
        [
            np.mean(
                [
                    100 * (values[f"{variant}/{seed}", loss] / values[f"{DECLARED}/{seed}", loss] - 1)
                    for task in tasks
                    if task.name in resampled
                    for values, loss in [(resampled[task.name].values, KINDS[task.kind].learned)]
                ],
                axis=0,
            )
            for seed in range(SEEDS)
        ]
    )
    return float(np.nanmean(differences)), percentile_interval(resample_seeds(differences, 0))


def cell(value: float, interval: Interval) -> str:
    return f"{value:+.2f} | [{interval.low:+.2f}, {interval.high:+.2f}]"


def headline(resampled: Resampled, task: Task, variant: str) -> str:
    metric = KINDS[task.kind].headline
    mean = np.mean([np.nanmean(resampled.values[f"{variant}/{seed}", metric.name]) for seed in range(SEEDS)])
    pairs = [
        ((f"{variant}/{seed}", metric.name), (f"{DECLARED}/{seed}", metric.name)) for seed in range(SEEDS)
    ]
    judged = verdict(resampled.paired_interval(pairs, 0), metric.higher_is_better)
    mark = "" if judged == UNDECIDED else " ✓" if judged == BETTER else " ✗"
    return f"{format_value(float(mean), 4)}{mark}"


def table(bench: Bench, variants: list[str]) -> Iterator[str]:
    found: dict[str, list[Found]] = {variant: [] for variant in bench.variants if variant in variants}
    for seed in range(SEEDS):
        for variant in found:
            found[variant].append(bench.run(variant, seed))
    tasks, of_all, of_cold = bench.spec.tasks, bench.resampled(found, False), bench.resampled(found, True)
    names = [f"{task.name} ({KINDS[task.kind].headline.name.replace('_', '-')})" for task in tasks]
    yield f"| | validation, % | test, % | 95 % interval | cold, % | 95 % interval | {' | '.join(names)} |"
    yield "|---|" + "--:|" * (len(names) + 5)
    for variant, seeds in found.items():
        validation = [
            100 * (of[f"validation/{task.name}"] / theirs[f"validation/{task.name}"] - 1)
            for of, theirs in zip(seeds, found[DECLARED], strict=True)
            for task in tasks
        ]
        losses = [cell(*relative_loss(of, tasks, variant)) for of in (of_all, of_cold)]
        first = " | | | | " if variant == DECLARED else f"{np.mean(validation):+.2f} | {' | '.join(losses)}"
        metrics = [headline(of_all[task.name], task, variant) for task in tasks]
        yield f"| {variant} | {first} | {' | '.join(metrics)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pipelines", nargs="+")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--variants", nargs="+", default=[*VARIANTS, *OTHER_ROWS])
    options = parser.parse_args()
    for pipeline in options.pipelines:
        bench = Bench(pipeline, options.rows)
        print(f"\n## {pipeline}\n", *table(bench, [DECLARED, *options.variants]), sep="\n", flush=True)


if __name__ == "__main__":
    main()
