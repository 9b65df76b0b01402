"""Raw files of every shape: what the scaffold writes loads unchanged and runs, without a row lost or rejected."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from mtl_pipeline.components.loading import load_pipelines
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.scaffold.__main__ import main as scaffold
from mtl_pipeline.spec.assets import embeddings_name
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.workflows.__main__ import declared
from mtl_pipeline.workflows.__main__ import main as run
from mtl_pipeline_tests.conftest import SMALL_SETTINGS, quick_evaluations, small_spec

USERS, ITEMS, ROWS = 40, 30, 900
COUNTRIES, TAGS = ["Germany", "Perú", "India"], ["red", "blue", "wool", "silk"]

Write = Callable[[Path], object]


@dataclass(frozen=True)
class Log:
    """The same made-up shop, to be written in many ways: people click on what comes from their country,
    and buy what is cheap."""

    users: pl.DataFrame
    items: pl.DataFrame
    impressions: pl.DataFrame
    """What was shown when, with click and purchase."""


def shop() -> Log:
    chance = random.Random(0)
    users = pl.DataFrame(
        {"userId": [n + 1 for n in range(USERS)], "Country": [COUNTRIES[n % 3] for n in range(USERS)]}
    )
    items = pl.DataFrame(
        {
            "sku": [f"A{n:02}" for n in range(ITEMS)],
            "Title": [f"A {TAGS[n % 4]} thing from {COUNTRIES[n % 3]}, number {n}" for n in range(ITEMS)],
            "tags": [[TAGS[n % 4], TAGS[(n + 1) % 4]] for n in range(ITEMS)],
            "Price": [n + 0.5 for n in range(ITEMS)],
        }
    )
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = []
    for number in range(ROWS):
        user, item = chance.randrange(USERS), chance.randrange(ITEMS)
        click = int(chance.random() < (0.8 if user % 3 == item % 3 else 0.2))
        time = start + timedelta(hours=number)
        purchase = click * int(chance.random() < (0.85 if item < ITEMS / 2 else 0.15))
        rows.append((user + 1, f"A{item:02}", time, click, purchase))
    columns = ["userId", "sku", "shownAt", "click", "purchase"]
    return Log(users, items, pl.DataFrame(rows, schema=columns, orient="row"))


SHOP = shop()
EVENTS = pl.concat(
    SHOP.impressions.filter(pl.col(label) == 1).select("userId", "sku", "shownAt", event_type=pl.lit(event))
    for label, event in (("click", "view"), ("purchase", "buy"))
)
WHOLE = SHOP.impressions.join(SHOP.users, on="userId").join(SHOP.items.drop("tags"), on="sku")


def written(frame: pl.DataFrame) -> pl.DataFrame:
    """As CSV has it: lists with bars, times in ISO."""
    return frame.with_columns(
        pl.col(pl.List(pl.String)).list.join("|"), pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    )


def csv(frame: pl.DataFrame, name: str) -> Write:
    return lambda folder: written(frame).write_csv(folder / name)


def parquet(frame: pl.DataFrame, name: str) -> Write:
    return lambda folder: frame.write_parquet(folder / name)


def json_lines(frame: pl.DataFrame, name: str) -> Write:
    return lambda folder: (folder / name).write_bytes(gzip.compress(frame.write_ndjson().encode()))


def european(frame: pl.DataFrame, name: str) -> Write:
    """As a German Excel exports it."""
    times = frame.with_columns(pl.col(pl.Datetime).dt.strftime("%d.%m.%Y %H:%M:%S"))
    numbers = times.with_columns(pl.col(pl.Float64).cast(pl.String).str.replace(".", ",", literal=True))
    text = written(numbers).write_csv(separator=";", line_terminator="\r\n")
    return lambda folder: (folder / name).write_bytes(text.encode("windows-1252"))


def without_header(frame: pl.DataFrame, name: str) -> Write:
    text = written(frame).write_csv(include_header=False).replace(",", "::")
    return lambda folder: (folder / name).write_text(text)


def days(frame: pl.DataFrame, name: str, write: Callable[[pl.DataFrame, str], Write]) -> Write:
    """A file a day."""
    parts = frame.group_by(pl.col("shownAt").dt.date().alias("day"))
    return lambda folder: [write(part, name.format(day[0]))(folder) for day, part in parts]


@dataclass(frozen=True)
class Shape:
    """Files, what is typed to scaffold them, and what the pipeline is to have."""

    files: list[Write]
    typed: str
    tasks: list[str]
    kept: dict[str, int] = field(
        default_factory=lambda: {"users": USERS, "items": ITEMS, "interactions": ROWS}
    )
    """Rows of each table; nothing is rejected."""
    trained: bool = False
    """Whether the whole line is run, with a tiny network."""


LOG, SHOWN = SHOP.impressions, ["click", "purchase"]
TYPED = "--users users.csv --items items.csv --interactions log.csv"
FLOWERS = pl.DataFrame(
    [(5 + n % 3 + n / 300, n % 7, ["setosa", "virginica", "versicolor"][n % 3]) for n in range(300)],
    schema=["sepal", "petal", "species"],
    orient="row",
)
SHAPES = {
    "relative_paths_and_capitals": Shape(
        [csv(SHOP.users, "users.csv"), csv(SHOP.items, "items.csv"), csv(LOG, "log.csv")],
        TYPED,
        SHOWN,
        trained=True,
    ),
    "one_file_for_all": Shape(
        [csv(WHOLE, "log.csv")],
        "--interactions log.csv",
        SHOWN,
        trained=True,
    ),
    "one_file_for_two": Shape(
        [csv(SHOP.users, "users.csv"), parquet(WHOLE.drop("Country"), "log.parquet")],
        "--users users.csv --items log.parquet --interactions log.parquet",
        SHOWN,
    ),
    "parquet": Shape(
        [
            parquet(SHOP.users, "users.parquet"),
            parquet(SHOP.items.with_columns(pl.col("sku") + " "), "items.parquet"),
            parquet(LOG, "log.parquet"),
        ],
        TYPED.replace("csv", "parquet"),
        SHOWN,
    ),
    "json_lines": Shape(
        [json_lines(SHOP.items, "items.jsonl.gz"), json_lines(LOG, "log.jsonl.gz")],
        "--items items.jsonl.gz --interactions log.jsonl.gz",
        SHOWN,
        {"items": ITEMS, "interactions": ROWS},
    ),
    "a_file_a_day": Shape(
        [csv(SHOP.items, "items.csv"), days(LOG, "log-{}.csv", csv)],
        "--items items.csv --interactions log-{date}.csv",
        SHOWN,
        {"items": ITEMS, "interactions": ROWS},
    ),
    "a_pattern": Shape(
        [csv(SHOP.users, "users.parquet.csv"), days(LOG, "part {}.jsonl.gz", json_lines)],
        "--users users.*.csv --interactions part*.jsonl.gz",
        SHOWN,
        {"users": USERS, "interactions": ROWS},
    ),
    "no_header": Shape(
        [without_header(SHOP.users, "users.dat"), without_header(LOG.drop("purchase"), "ratings.dat")],
        "--users users.dat --interactions ratings.dat --delimiter :: --users-columns userId,country "
        "--interactions-columns userId,item,time,click",
        ["click"],
        {"users": USERS, "interactions": ROWS},
    ),
    "no_time": Shape(
        [csv(SHOP.items, "items.csv"), csv(LOG.drop("shownAt"), "log.csv")],
        "--items items.csv --interactions log.csv",
        SHOWN,
        {"items": ITEMS, "interactions": ROWS},
    ),
    "semicolons_and_decimal_commas": Shape(
        [european(SHOP.users, "users.csv"), european(SHOP.items, "items.csv"), european(LOG, "log.csv")],
        TYPED,
        SHOWN,
    ),
    "events": Shape(
        [csv(EVENTS, "log.csv")],
        "--interactions log.csv",
        ["view", "buy"],
        {"interactions": EVENTS.select("userId", "sku").n_unique()},
    ),
    "purchases": Shape(
        [
            csv(
                LOG.filter(click=1).select("userId", "sku", "shownAt", returned=1 - pl.col("purchase")),
                "log.csv",
            )
        ],
        "--interactions log.csv",
        ["interacted", "returned"],
        {"interactions": int(LOG["click"].sum())},
    ),
    "no_ids": Shape(
        [csv(FLOWERS, "flowers.csv")],
        "--interactions flowers.csv",
        ["species"],
        {"interactions": FLOWERS.height},
        trained=True,
    ),
    "no_ids_but_a_number": Shape(
        [csv(FLOWERS.drop("species"), "flowers.csv")],
        "--interactions flowers.csv",
        ["petal"],
        {"interactions": FLOWERS.height},
    ),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with the pipelines of all shapes, scaffolded from the folder in which their files lie."""
    root = tmp_path_factory.mktemp("project")
    (root / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "zoo"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mtl_pipeline.paths.__file__", str(root / "mtl_pipeline/paths.py"))
        for name, shape in SHAPES.items():
            folder = tmp_path_factory.mktemp(name)
            for write in shape.files:
                write(folder)
            patch.chdir(folder)
            assert scaffold([name, *shape.typed.split()]) == 0
        patch.chdir(root)
        patch.syspath_prepend(str(root))
        yield root


def test_all_load_unchanged(root: Path) -> None:
    definitions = load_pipelines(root / "zoo")
    assert {key.path[0] for key in definitions.resolve_asset_graph().get_all_asset_keys()} == set(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_each_runs_untouched(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape, spec, paths = SHAPES[name], declared(name), PipelinePaths(root, name)
    stages = (
        []
        if shape.trained
        else [*spec.tables, "rejected_rows", *map(embeddings_name, spec.text_tables), "examples"]
    )
    if shape.trained:
        attributes = spec.model_dump(exclude_unset=True)
        model = SMALL_SETTINGS["model"] | attributes.get("model", {})
        training = SMALL_SETTINGS["training"] | {"epochs": 4, "batch_size": 128}  # to beat a constant answer
        small = small_spec(attributes, model=model, training=training)
        monkeypatch.setattr("mtl_pipeline.workflows.__main__.declared", lambda _: small)
    with quick_evaluations():
        assert run([name, *stages]) == 0
    assert [task.name for task in spec.tasks] == shape.tasks
    assert rows_of(paths, "FROM rejected_rows") == []
    assert {table: len(rows_of(paths, f"FROM {table}")) for table in spec.tables} == shape.kept
    assert (paths.examples / "examples.parquet").is_file()
    assert paths.recommendations.is_file() == (shape.trained and spec.recommends)


def test_the_same_shop_becomes_the_same_table_however_it_is_written(root: Path) -> None:
    """Decimal commas, lists in JSON, padded ids in Parquet, capitals, Windows-1252."""
    query = "SELECT item_id, price, tags, text FROM items ORDER BY item_id"
    shops = {
        name: rows_of(PipelinePaths(root, name), query)
        for name in ("relative_paths_and_capitals", "parquet", "json_lines", "semicolons_and_decimal_commas")
    }
    expected = [
        (item, price, tags, f"{title}. {', '.join(tags)}")
        for item, title, tags, price in SHOP.items.iter_rows()
    ]
    assert shops == dict.fromkeys(shops, expected)


def rows_of(paths: PipelinePaths, query: str) -> list[tuple]:
    with open_warehouse(paths.warehouse, read_only=True) as connection:
        return connection.execute(query).fetchall()
