"""Where a pipeline's files live, below one project root."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from mtl_pipeline.errors import UserError

ROOT_VARIABLE = "MTL_PIPELINE_ROOT"
COMMON_SQL = Path(__file__).parent / "warehouse" / "sql"
"""Folder: the SQL that all pipelines share."""


def project_root(project: Path | None = None) -> Path:
    """The folder that holds `sql/` and `data/`: `$MTL_PIPELINE_ROOT`, by default the project's own folder."""
    return Path(os.environ.get(ROOT_VARIABLE) or project or find_project())


def find_project() -> Path:
    """The folder with the pyproject.toml that tells Dagster where definitions are: the checkout that this package is
    part of, or, where it was installed as a package, the nearest one from the current folder upwards.

    Raises UserError where there is none.
    """
    here = Path.cwd()
    for folder in (Path(__file__).resolve().parents[1], here, *here.parents):
        if dagster_project(folder):
            return folder
    raise UserError(
        f"{here} is in no Dagster project: go to the folder of one, whose pyproject.toml has a section "
        "[tool.dg.project] with a root_module (see docs/own-project.md)"
    )


def in_checkout() -> bool:
    """Whether this package is part of a checkout, whose Makefile can run a pipeline."""
    return (Path(__file__).resolve().parents[1] / "Makefile").is_file()


def dagster_project(folder: Path) -> dict[str, str]:
    """What the folder's pyproject.toml says in [tool.dg.project]; empty where it says nothing."""
    file = folder / "pyproject.toml"
    if not file.is_file():
        return {}
    return tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("dg", {}).get("project", {})


def defs_folder() -> Path:
    """The folder that holds one folder for each pipeline. Raises UserError where there is no project."""
    project = find_project()
    declared = dagster_project(project)
    module = declared.get("defs_module") or f"{declared['root_module']}.defs"
    inside = Path(*module.split("."))
    return project / "src" / inside if (project / "src" / inside.parts[0]).is_dir() else project / inside


class InData:
    """A file or folder of a pipeline, below its data folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, paths: PipelinePaths, owner: type) -> Path:
        return paths.data / self.name


@dataclass(frozen=True)
class PipelinePaths:
    """Paths of one pipeline. Nothing is created here."""

    root: Path
    pipeline: str

    @property
    def data(self) -> Path:
        return self.root / "data" / self.pipeline

    @property
    def sql(self) -> Path:
        return self.root / "sql" / self.pipeline

    def embeddings(self, table: str, kind: str = "text") -> Path:
        """Vectors of the texts (`text`, `text_<column>`) or pictures (`image`) of `users` or `items`."""
        name = table if kind == "text" else f"{table.removesuffix('s')}_{kind}s"
        return self.data / "embeddings" / f"{name}.parquet"

    raw = InData("raw")
    warehouse = InData("warehouse.duckdb")
    truth = InData("truth.parquet")
    """True probabilities of a simulated pipeline: the interactions' key and a column per task. May be absent."""
    encoders = InData("encoders")
    """What runtimes make of pretrained encoders."""
    examples = InData("examples")
    """Folder: `examples.parquet`, `statistics.parquet`, `vocabulary.parquet`; with sequences `chosen.parquet`: item_id,
        timestamp and labels of every choice, one user after another, oldest first."""
    model = InData("model")
    """Folder of the newest model, the challenger: weights, `config.json`, `calibration.json`, `statistics.parquet`,
    `vocabulary.parquet`, `training_log.json`, `seen.json`, and `guard.parquet` where the pipeline has a guard."""
    single_task = InData("single_task")
    """Folder: the weights of the networks for single tasks that were trained beside the model, and what with."""
    champions = InData("champions")
    """Folder: one model folder for each of the last champions, named by its fingerprint."""
    champion_history = InData("champion.jsonl")
    """Who was champion since when, and why; the last line names the champion (see champions)."""
    baselines = InData("baselines")
    """Folder: `predictions.parquet`, and what they were trained with."""
    checkpoints = InData("checkpoints")
    """Folder: a folder for each asset that is being trained, or was when it was interrupted."""
    seed_runs = InData("seed_runs")
    """Folder: `predictions.parquet` of the networks trained with further seeds, and `summary.json`."""
    evaluation = InData("evaluation")
    """Folder: `report.html`, `report.md`, `metrics.parquet` and further frames, `decision.json`."""
    evaluation_history = InData("evaluation_history.jsonl")
    """A line of JSON per evaluation, model and version of the examples: see evaluation.studies.runs.history."""
    backtest = InData("backtest")
    """Folder: `report.html`, `report.md`, and `windows`, `metrics`, `comparisons` and `pooled` as Parquet."""
    tuning = InData("tuning")
    """Folder: `trials.parquet`, `best.yaml`, `report.html` and `report.md` of the last search."""
    tuning_study = InData("tuning_study")
    """Folder: `study.db`, which grows with every trial of every search, and `study.lock`."""
    recommendations = InData("recommendations.parquet")
    recommendations_report = InData("recommendations_report")
    """Folder: `report.html`, `report.md` and `figures.parquet` about them."""
