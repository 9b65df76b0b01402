"""How well the project's models predict beside peers, on the same rows: Markdown tables of test metrics, with paired
intervals of the difference to the peers.

    python -m mtl_pipeline.workflows movielens    # or make demo: a pipeline that has run
    PYTHONPATH=. python benchmarks/quality.py movielens

Peers: MMoE and PLE of torch-rechub, for all tasks at once, and CatBoost, for each task. They get the inputs that the
project's baselines get, with embeddings or CatBoost's own statistics for ids and categories, are chosen on validation
rows, and are calibrated on these as the project's models are. They are installed once into benchmarks/.venv-peers. Only
binary and regression tasks are compared: torch-rechub knows no others.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from benchmarks.peers import python_with_peers
from mtl_pipeline.evaluation.formatting import format_difference, format_value
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate, in_headline
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.baselines.design import DesignMatrix
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.ranker.ranker import published_columns
from mtl_pipeline.learning.training.held_out import HeldOut
from mtl_pipeline.paths import PipelinePaths, project_root
from mtl_pipeline.spec import PipelineSpec, Task
from mtl_pipeline.workflows.__main__ import declared
from mtl_pipeline.workflows.predictions import wide_predictions

KINDS_OF_PEERS = ("binary", "regression")


def peers_inputs(
    dataset: Dataset, spec: PipelineSpec, tasks: Sequence[Task], held_out: HeldOut
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays by name, and what they hold: what quality_peers.py reads. What a peer does not see cannot help it, so the
    labels of test rows are not among them."""
    columns = [dataset.encoder.tasks.index(task.name) for task in tasks]
    components = DesignMatrix(dataset, spec).components
    arrays: dict[str, Any] = {}
    train = dataset.encode(dataset.split("train"))
    for split, rows in {"train": train, "held_out": held_out.rows}.items():
        texts = [found[rows.text[:, place].numpy()] for place, found in enumerate(components)]
        arrays |= {
            f"{split}/ids": rows.ids.numpy(),
            f"{split}/categorical": rows.categorical.numpy(),
            f"{split}/numeric": np.hstack([rows.numeric.numpy(), *texts]),
            f"{split}/labels": rows.labels[:, columns].numpy(),
        }
    arrays["held_out/labels"] = np.where(held_out.validation[:, None], arrays["held_out/labels"], np.nan)
    return arrays, {
        "ids": {name: len(dataset.encoder.vocabulary.get(name, ())) for name in dataset.encoder.ids},
        "categorical": [vars(field) for field in dataset.encoder.fields],
        "tasks": {task.name: task.kind for task in tasks},
    }


def peers_predictions(
    arrays: dict[str, Any], fields: dict[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """<peer>/<task> → predictions of the held-out rows; and the settings that validation chose."""
    python, script = python_with_peers(), Path(__file__).with_name("quality_peers.py")
    with TemporaryDirectory() as folder:
        np.savez(Path(folder, "inputs.npz"), **arrays)
        Path(folder, "fields.json").write_text(json.dumps(fields))
        subprocess.run([python, script, folder], check=True)
        with np.load(Path(folder, "predictions.npz")) as predictions:
            return dict(predictions), json.loads(Path(folder, "chosen.json").read_text())


def with_peers(frame: pl.DataFrame, predictions: Mapping[str, np.ndarray], held_out: HeldOut) -> pl.DataFrame:
    """The wide predictions frame with what the peers predict, calibrated."""
    for name, values in predictions.items():
        peer, task = name.rsplit("/", 1)
        raw = {task: values}
        columns = published_columns(peer, raw, held_out.calibration(raw))
        theirs = held_out.frame.select(
            "example_id", *(pl.Series(column, found) for column, found in columns.items())
        )
        frame = frame.join(theirs, on="example_id", how="left", maintain_order="left")
    return frame


def table(measured: Evaluation, task: Task) -> str:
    """Every model on the test rows of one task, best first."""
    headline = KINDS[task.kind].headline
    compared = in_headline(measured.comparisons, task).sort(
        "baseline_value", descending=headline.higher_is_better
    )
    name = headline.name.replace("_", "-")
    lines = [
        f"| {task.name} | {name} | {measured.candidate} − it | 95 % interval | {measured.candidate} is |"
    ]
    lines += ["|---|--:|--:|--:|---|"]
    ours = measured.score(task.name, measured.candidate, headline.name).value
    lines += [f"| **{measured.candidate}** | {format_value(ours, 4)} | | | |"]
    for row in compared.iter_rows(named=True):
        difference, interval = format_difference(row["difference"], row["low"], row["high"])
        cells = [
            row["baseline"],
            format_value(row["baseline_value"], 4),
            difference,
            interval,
            row["verdict"],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pipeline")
    pipeline = parser.parse_args().pipeline
    paths, spec = PipelinePaths(project_root(), pipeline), declared(pipeline)
    tasks = [task for task in spec.tasks if task.kind in KINDS_OF_PEERS]
    frame = wide_predictions(paths, spec, truth=paths.truth)  # first: it fails early where nothing has run
    dataset = Dataset(paths, spec)
    held_out = HeldOut(dataset, spec)
    predictions, chosen = peers_predictions(*peers_inputs(dataset, spec, tasks, held_out))
    measured = evaluate(
        with_peers(frame, predictions, held_out),
        tasks,
        bootstrap_samples=spec.evaluation.bootstrap_samples,
        seed=spec.seed,
    )
    for task in tasks:
        print(f"\n{table(measured, task)}")
    print(
        "\nChosen on validation:", *(f"- {name}: {settings}" for name, settings in chosen.items()), sep="\n"
    )


if __name__ == "__main__":
    main()
