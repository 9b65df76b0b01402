"""Which architecture and which balancer: the networks for all tasks, and those for each task alone, on the same rows
with an equal budget: as many learning rates (by default that of the pipeline and three times it), of which the first
seed's validation loss chooses one; then three seeds, and the test rows once. A Markdown table.

    make demo PIPELINE=shop
    PYTHONPATH=. python benchmarks/methods.py shop --rows 100000

`--screen` shows every balancer with one architecture and one seed instead, on validation rows: which loss method and
which gradient method are the best there, and so are in the table, is for `--balancers` to say.

Nothing is guarded, calibrated or averaged over networks: it is the methods that are compared. What has been trained is
kept in benchmarks/.methods and not trained again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
from scipy import stats

from benchmarks.joint_training import changed
from mtl_pipeline.evaluation.formatting import format_value
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training.held_out import HeldOut
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline.paths import PipelinePaths, project_root
from mtl_pipeline.spec import PipelineSpec, Task
from mtl_pipeline.spec.architectures import Architecture
from mtl_pipeline.spec.weighting import Weighting
from mtl_pipeline.workflows.__main__ import declared

KEPT = Path(__file__).with_name(".methods")
SEEDS = 3
OWN = "own networks"


@dataclass(frozen=True)
class Trial:
    """One network, for all tasks or for one."""

    architecture: str
    weighting: str
    seed: int
    learning_rate: float
    task: str | None = None


class Bench:
    def __init__(self, pipeline: str, rows: int | None, rates: Sequence[float]) -> None:
        """`rates`: learning rates to try, over that of the pipeline."""
        self.spec = changed(declared(pipeline), declared(pipeline).seed, rows=rows)
        self.rates = [rate * self.spec.training.learning_rate for rate in rates]
        self.paths = PipelinePaths(project_root(), pipeline)
        self.file = KEPT / f"{pipeline}-{rows or 'all'}.jsonl"
        KEPT.mkdir(exist_ok=True)
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.known = {Trial(**line["trial"]): line["found"] for line in map(json.loads, lines)}

    @cached_property
    def dataset(self) -> Dataset:
        return Dataset(self.paths, self.spec)

    @cached_property
    def held_out(self) -> HeldOut:
        return HeldOut(self.dataset, self.spec)

    def run(self, trial: Trial) -> dict[str, dict[str, float]]:
        """By task: `validation`, the loss of the round that is kept; `test`, the headline metric of test rows; `loss`,
        theirs over that of a constant answer."""
        if trial not in self.known:
            self.known[trial] = self.train(trial)
            line = {"trial": asdict(trial), "found": self.known[trial]}
            with self.file.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
        return self.known[trial]

    def train(self, trial: Trial) -> dict[str, dict[str, float]]:
        settings = {key: value for key, value in asdict(trial).items() if key not in ("seed", "task")}
        spec = changed(self.spec, trial.seed, **settings)
        tasks = [task for task in spec.tasks if trial.task in (None, task.name)]
        fit = fit_network(self.dataset, spec, tasks, lambda line: None)
        predicted = fit.ranker.predict_uncalibrated(self.held_out.rows)
        found = {}
        for task in tasks:
            on_test = pl.Series(~self.held_out.validation) & self.held_out.frame[task.name].is_not_null()
            labels = self.held_out.frame.filter(on_test)[task.name].cast(pl.Float64).to_numpy()
            values = predicted[task.name][on_test.to_numpy()].astype(np.float64)
            mean = float(self.dataset.split("train")[task.name].cast(pl.Float64).mean())  # type: ignore[arg-type]
            found[task.name] = {
                "validation": fit.best[f"validation_loss/{task.name}"],
                "test": headline(task, labels, values),
                "loss": loss(task, labels, values) / loss(task, labels, np.full(len(labels), mean)),
            }
        return found

    def chosen(self, architecture: str, weighting: str, task: str | None = None) -> list[dict]:
        """What was found with each seed at the learning rate that the first seed's validation loss chose."""
        first = {
            rate: self.run(Trial(architecture, weighting, self.spec.seed, rate, task)) for rate in self.rates
        }
        best = min(first, key=lambda rate: sum(self.relative(first[rate])))
        return [
            self.run(Trial(architecture, weighting, self.spec.seed + seed, best, task))
            for seed in range(SEEDS)
        ]

    def relative(self, found: Mapping[str, Mapping[str, float]]) -> list[float]:
        """Validation losses over those of the network that the pipeline declares."""
        reference = self.run(
            Trial(self.spec.model.architecture, "static", self.spec.seed, self.spec.training.learning_rate)
        )
        return [of_task["validation"] / reference[task]["validation"] for task, of_task in found.items()]


def headline(task: Task, labels: np.ndarray, values: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    if KINDS[task.kind].headline.name == "roc_auc":
        return float(roc_auc_score(labels, values))
    return float(np.sqrt(np.mean((labels - values) ** 2)))


def loss(task: Task, labels: np.ndarray, values: np.ndarray) -> float:
    if task.kind != "binary":
        return float(np.mean((labels - values) ** 2))
    sure = np.clip(values, 1e-7, 1 - 1e-7)
    return float(-np.mean(np.log(np.where(labels > 0, sure, 1 - sure))))


def rows_of(
    bench: Bench, architectures: Sequence[str], balancers: Sequence[str]
) -> Iterator[tuple[str, str, list[dict]]]:
    """Architecture, balancer, and what was found with each seed, by task."""
    own_by_task = [
        bench.chosen(bench.spec.model.architecture, "static", task.name) for task in bench.spec.tasks
    ]
    yield (
        OWN,
        "",
        [
            {name: of for found in seed for name, of in found.items()}
            for seed in zip(*own_by_task, strict=True)
        ],
    )
    for weighting in balancers:
        for architecture in architectures:
            yield architecture, weighting, bench.chosen(architecture, weighting)


def table(spec: PipelineSpec, cells: Sequence[tuple[str, str, list[dict]]]) -> str:
    """Mean over seeds of each headline metric; and transfer: by how much less the test loss is than that of the own
    networks of the same seed, mean over tasks, with its 95 % interval over seeds (Student's t)."""
    names = [f"{task.name} ({KINDS[task.kind].headline.name.replace('_', '-')})" for task in spec.tasks]
    lines = [
        f"| | balancer | {' | '.join(names)} | transfer, % | 95 % interval |",
        "|---|---|" + "--:|" * (len(names) + 2),
    ]
    own = cells[0][2]
    for architecture, weighting, seeds in cells:
        means = [
            format_value(float(np.mean([of[task.name]["test"] for of in seeds])), 4) for task in spec.tasks
        ]
        gains = [
            100 * np.mean([1 - of[task]["loss"] / theirs[task]["loss"] for task in of])
            for of, theirs in zip(seeds, own, strict=True)
        ]
        half = stats.t.ppf(0.975, len(gains) - 1) * np.std(gains, ddof=1) / len(gains) ** 0.5
        interval = (
            "" if architecture == OWN else f"[{np.mean(gains) - half:+.2f}, {np.mean(gains) + half:+.2f}]"
        )
        transfer = "" if architecture == OWN else f"{np.mean(gains):+.2f}"
        lines.append(f"| {architecture} | {weighting} | {' | '.join(means)} | {transfer} | {interval} |")
    return "\n".join(lines)


def screened(bench: Bench, architecture: str) -> str:
    """Every balancer on validation rows: mean over tasks of the loss over that with static weights, at the better of
    the learning rates."""
    found = {
        weighting: min(
            float(np.mean(bench.relative(bench.run(Trial(architecture, weighting, bench.spec.seed, rate)))))
            for rate in bench.rates
        )
        for weighting in get_args(Weighting)
    }
    ranked = sorted(found.items(), key=lambda item: item[1])
    return "\n".join(
        [
            "| balancer | validation loss ÷ static |",
            "|---|--:|",
            *(f"| {name} | {value:.4f} |" for name, value in ranked),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pipeline")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 3.0])
    parser.add_argument("--screen", action="store_true")
    parser.add_argument("--architectures", nargs="+", default=list(get_args(Architecture)))
    parser.add_argument("--balancers", nargs="+", default=["static", "uncertainty", "famo", "nash_mtl"])
    options = parser.parse_args()
    bench = Bench(options.pipeline, options.rows, options.rates)
    if options.screen:
        print(screened(bench, bench.spec.model.architecture))
        return
    print(table(bench.spec, list(rows_of(bench, options.architectures, options.balancers))))


if __name__ == "__main__":
    main()
