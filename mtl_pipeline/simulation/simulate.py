"""The door of the simulator: draw a world, let its days pass, write its logs.

Days pass one after the other, because what happened until midnight shapes the next day. Within a day
rows are drawn in blocks with a generator of their own each, while other threads turn the blocks drawn
before into CSV and Parquet. Memory holds the users, the items and a few blocks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mtl_pipeline.errors import UserError
from mtl_pipeline.publishing import publish_file
from mtl_pipeline.simulation.clock import draw_times, rows_per_day
from mtl_pipeline.simulation.exposure import Exposure
from mtl_pipeline.simulation.history import History
from mtl_pipeline.simulation.news import News
from mtl_pipeline.simulation.planting import Planter, structural_defects, to_line
from mtl_pipeline.simulation.scenario import Scenario
from mtl_pipeline.simulation.shop import Shop
from mtl_pipeline.simulation.social import Social
from mtl_pipeline.simulation.writing import Block, to_csv, write_logs

SCENARIOS: dict[str, type[Scenario]] = {world.name: world for world in (Shop, Social, News)}
VERSION = 2
"""Raise it whenever the same seed gives other files."""
FEWEST, MOST = 10_000, 100_000_000
BLOCK_ROWS = 100_000
CHUNK_ROWS = 50_000
SUMMARY, TRUTH = "planted.json", "truth.parquet"
FILES = (SUMMARY, TRUTH, "raw/users.csv", "raw/items.csv", "raw/interactions.csv")
WORLD, USERS, ITEMS, IMPRESSIONS, PLANTING = range(5)  # streams of random numbers


@dataclass(frozen=True)
class PlantedRows:
    """How many rows of a file must be rejected for one reason."""

    file: str
    column: str | None
    reason: str
    rows: int


@dataclass(frozen=True)
class SimulationSummary:
    """What was written. Counts of users, items and interactions leave the planted rows out."""

    version: int
    scenario: str
    seed: int
    dirty: bool
    users: int
    items: int
    interactions: int
    planted: list[PlantedRows]


def simulate(
    scenario: str,
    folder: Path,
    *,
    interactions: int,
    seed: int,
    dirty: bool = True,
    on_progress: Callable[[int], object] = lambda rows: None,
) -> SimulationSummary:
    """Write raw/users.csv, raw/items.csv and raw/interactions.csv, truth.parquet and planted.json below `folder`.

    truth.parquet has a row for each good interaction: user_id, item_id, timestamp and, by task, the true
    probability or expected value, given that the task before it happened. planted.json is the summary.
    The same arguments give the same bytes. `on_progress` is told how many more interactions were written.

    Raises UserError for an unknown scenario, a size or seed out of bounds, or a folder that cannot be written.
    """
    if scenario not in SCENARIOS:
        raise UserError(f"no scenario '{scenario}'; there are: {', '.join(SCENARIOS)}")
    if not FEWEST <= interactions <= MOST:
        raise UserError(f"interactions: {interactions:,} is not between {FEWEST:,} and {MOST:,}")
    if seed < 0:
        raise UserError(f"seed: {seed} is below 0")
    world = draw_world(scenario, interactions, seed)
    planters = make_planters(world, interactions, dirty)
    summary = SimulationSummary(
        VERSION, scenario, seed, dirty, len(world.users), len(world.items), interactions,
        planted=[
            PlantedRows(file, column, reason, rows)
            for file, planter in planters.items()
            for (column, reason), rows in planter.planted().items()
        ],
    )  # fmt: skip
    with ExitStack() as stack:
        # The stack unwinds backwards: the summary is the last file to appear.
        paths = {name: stack.enter_context(publish_file(folder / name)) for name in FILES}
        paths[SUMMARY].write_text(json.dumps(asdict(summary), indent=2) + "\n")
        for name, stream in (("users.csv", USERS), ("items.csv", ITEMS)):
            write_entities(paths[f"raw/{name}"], world, name, planters[name], seed, stream)
        write_logs(
            paths["raw/interactions.csv"],
            paths[TRUTH],
            draw_blocks(world, interactions, seed),
            world.tasks,
            planters["interactions.csv"],
            lambda first: generator(seed, PLANTING, first),
            on_progress,
        )
        # Should this be killed now, its absence shows that old and new files may be mixed.
        (folder / SUMMARY).unlink(missing_ok=True)
    return summary


def read_summary(folder: Path) -> SimulationSummary | None:
    """The summary of the files in `folder`; None where one is missing or another version wrote them."""
    if not all((folder / name).exists() for name in FILES):
        return None
    content = json.loads((folder / SUMMARY).read_text())
    if content.get("version") != VERSION:
        return None
    return SimulationSummary(**content | {"planted": [PlantedRows(**row) for row in content["planted"]]})


def generator(seed: int, *stream: int) -> np.random.Generator:
    """A generator of its own for each stream of numbers."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *stream])))


def draw_world(scenario: str, interactions: int, seed: int) -> Scenario:
    """The users and items that so many interactions are about.

    There are fewer than in proportion: the larger the log, the more of it each user and item has.
    """
    users, items = round(0.25 * interactions**0.8), round(0.6 * interactions**0.7)
    return SCENARIOS[scenario](generator(seed, WORLD), users, items)


def make_planters(world: Scenario, interactions: int, dirty: bool) -> dict[str, Planter]:
    tables = {
        "users.csv": ("user_id", len(world.users)),
        "items.csv": ("item_id", len(world.items)),
        "interactions.csv": ("user_id, item_id, timestamp", interactions),
    }
    return {
        file: Planter(
            header := world.headers[file],
            [*world.defects[file], *structural_defects(header, key)] if dirty else [],
            rows,
        )
        for file, (key, rows) in tables.items()
    }


def write_entities(path: Path, world: Scenario, name: str, planter: Planter, seed: int, stream: int) -> None:
    with path.open("wb") as file:
        file.write(to_line(planter.header))
        for first in range(0, planter.rows, CHUNK_ROWS):
            rng = generator(seed, stream, first)
            chunk = world.rows(name, rng, np.arange(first, min(first + CHUNK_ROWS, planter.rows)))
            file.write(planter.plant(rng, to_csv(chunk), first))


def draw_blocks(world: Scenario, interactions: int, seed: int) -> Iterator[Block]:
    """The interactions in order of time."""
    categories = len(world.vocabulary.categories)
    exposure = Exposure(world.users, world.items, categories, world.lifetime)
    history = History(len(world.users), world.items.category, categories)
    first = 0
    for day, day_rows in enumerate(rows_per_day(interactions).tolist()):
        offer = exposure.on(day)
        for start in range(0, day_rows, BLOCK_ROWS):
            rng = generator(seed, IMPRESSIONS, day, start)
            times = draw_times(rng, day, day_rows, start, min(BLOCK_ROWS, day_rows - start))
            shown = exposure.draw(rng, offer, *times)
            outcomes = world.outcomes(rng, shown, history)
            clicked, converted, _ = (label == 1 for label in outcomes.labels.values())
            history.note(shown, clicked, converted)
            yield Block(first, shown, outcomes)
            first += len(shown)
        history.close_day()
