"""Where a pipeline's files live, below one project root."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT_VARIABLE = "MTL_PIPELINE_ROOT"
COMMON_SQL = Path(__file__).parent / "warehouse" / "sql"
"""Folder: the SQL that all pipelines share."""


def project_root() -> Path:
    """The folder that holds `sql/` and `data/`: `$MTL_PIPELINE_ROOT`, by default the checkout."""
    return Path(os.environ.get(ROOT_VARIABLE) or Path(__file__).resolve().parents[1])


@dataclass(frozen=True)
class PipelinePaths:
    """Paths of one pipeline. Nothing is created here."""

    root: Path
    pipeline: str

    @property
    def data(self) -> Path:
        return self.root / "data" / self.pipeline

    @property
    def raw(self) -> Path:
        return self.data / "raw"

    @property
    def truth(self) -> Path:
        """True probabilities of a simulated pipeline: the interactions' key and a column per task. May be absent."""
        return self.data / "truth.parquet"

    @property
    def sql(self) -> Path:
        return self.root / "sql" / self.pipeline

    @property
    def warehouse(self) -> Path:
        return self.data / "warehouse.duckdb"

    def embeddings(self, table: str) -> Path:
        """Text vectors of `users` or `items`."""
        return self.data / "embeddings" / f"{table}.parquet"

    @property
    def examples(self) -> Path:
        """Folder: `examples.parquet`, `statistics.parquet`, `vocabulary.parquet`."""
        return self.data / "examples"

    @property
    def model(self) -> Path:
        """Folder of the newest model, the challenger: weights, `config.json`, `calibration.json`,
        `statistics.parquet`, `vocabulary.parquet`, `training_log.json`, `seen.json`."""
        return self.data / "model"

    @property
    def champions(self) -> Path:
        """Folder: one model folder for each of the last champions, named by its fingerprint."""
        return self.data / "champions"

    @property
    def champion_history(self) -> Path:
        """Who was champion since when, and why; the last line names the champion (see champions)."""
        return self.data / "champion.jsonl"

    @property
    def baselines(self) -> Path:
        """Folder: `predictions.parquet` and `summary.json`."""
        return self.data / "baselines"

    @property
    def replications(self) -> Path:
        """Folder: `predictions.parquet` of the networks trained with further seeds, and `summary.json`."""
        return self.data / "replications"

    @property
    def evaluation(self) -> Path:
        """Folder: `report.html`, `report.md`, `metrics.parquet` and further frames, `decision.json`."""
        return self.data / "evaluation"

    @property
    def tuning(self) -> Path:
        """Folder: `trials.parquet`, `best.yaml`, `report.html` and `report.md` of the last search."""
        return self.data / "tuning"

    @property
    def tuning_study(self) -> Path:
        """Folder: `study.db`, which grows with every trial of every search, and `study.lock`."""
        return self.data / "tuning_study"

    @property
    def evaluation_history(self) -> Path:
        """What each evaluation found, a line of JSON for each model and version of the examples (see
        evaluation.history)."""
        return self.data / "evaluation_history.jsonl"

    @property
    def backtest(self) -> Path:
        """Folder: `report.html`, `report.md`, `windows.parquet`, `metrics.parquet`, `comparisons.parquet`,
        `pooled.parquet`."""
        return self.data / "backtest"

    @property
    def recommendations(self) -> Path:
        return self.data / "recommendations.parquet"
