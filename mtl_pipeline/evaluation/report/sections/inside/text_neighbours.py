"""Items alike by their text vectors: the nearest ones of a few, and a map of all, for a person to judge."""

from __future__ import annotations

import polars as pl

from mtl_pipeline.evaluation.formatting import format_value, percent, shortened
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Cell, Section, Table
from mtl_pipeline.evaluation.report.figures.canvas import ReportFigure, add_legend, new_figure
from mtl_pipeline.evaluation.report.figures.palette import BASELINES, LIGHT
from mtl_pipeline.evaluation.report.figures.task_figures import MARKERS
from mtl_pipeline.evaluation.studies.inside.slices import MISSING_VALUE, OTHER
from mtl_pipeline.evaluation.studies.inside.text_neighbours import NEIGHBOURS
from mtl_pipeline.evaluation.studies.scoring import Evaluation

LONGEST_TEXT = 60
LONGEST_CATEGORY = 16
"""Characters in the legend, which has three columns."""
NAMED = 0.1
"""From this share on it is said that texts name their category: what is then found may be words, not meaning."""
COLOURS = [LIGHT[name] for name in ("accent", *BASELINES[1:])]
MARKERS_BY_PLACE = f"o{MARKERS}.p"

HOW_TO_READ = (
    "Read the texts: are neighbours about the same thing? The first item is the most popular one, each next is less "
    "popular; of items with the same text only one counts. Bad signs: neighbours that share no more than a phrase, a "
    "language or their length; the same neighbours everywhere; neighbours hardly closer, or hardly more often alike, "
    "than items drawn by chance."
)


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    """Nothing where items have no text."""
    if "text_neighbours" not in context.parts:
        return []
    neighbours, items = context.parts["text_neighbours"], context.parts["text_map"]
    points = neighbour_sentences(neighbours.row(0, named=True))
    table, figure = neighbour_table(neighbours), map_figure(items, neighbours["feature"][0])
    return [Section("Alike by text", [HOW_TO_READ], points, [table], [figure])]


def neighbour_sentences(row: dict) -> list[str]:
    """`row`: any of the frame of `measure_neighbours`."""
    among = f"Two of {row['items']:,} items have a cosine of {format_value(row['chance_cosine'])} on average."
    if row["neighbours_alike"] is None:
        return [among]
    alike = (
        f"Of the {NEIGHBOURS} nearest neighbours of an item, {percent(row['neighbours_alike'])} are alike in "
        f"{row['feature']}, with a value in common; of items drawn by chance {percent(row['chance_alike'])} are "
        f"(measured on {row['measured']:,} items)."
    )
    named = f"{percent(row['named'])} of the texts name their {row['feature']}, so much of this may be the word alone."
    return [alike, *([named] if row["named"] >= NAMED else []), among]


def neighbour_table(neighbours: pl.DataFrame) -> Table:
    feature = neighbours["feature"][0]
    rows: list[list[Cell | str]] = []
    for of_item in neighbours.partition_by("item_id", maintain_order=True):
        for place, row in enumerate(of_item.to_dicts()):
            item = "" if place else shortened(row["item_text"], LONGEST_TEXT)
            shared = [Cell("✓", "better") if row["shares"] else ""] if feature else []
            near = shortened(row["neighbour_text"], LONGEST_TEXT)
            rows.append([item, near, format_value(row["cosine"]), *shared])
    return Table(["item", "nearest by text", "cosine", *([f"alike in {feature}"] if feature else [])], rows)


def map_figure(items: pl.DataFrame, feature: str | None) -> ReportFigure:
    """Of the frame of `map_items`: each category has a marker as well as a colour."""
    figure, axes = new_figure()
    by_category = items.sort("category").partition_by("category", maintain_order=True)
    for place, rows in enumerate(by_category):
        name = rows["category"][0]
        colour = COLOURS[place % len(COLOURS)] if name not in (OTHER, MISSING_VALUE) else LIGHT["baseline-0"]
        dots = {"marker": MARKERS_BY_PLACE[place], "markersize": 4, "linestyle": "none", "markeredgewidth": 0}
        label = shortened(name, LONGEST_CATEGORY)
        axes.plot(rows["x"], rows["y"], color=colour, alpha=0.8, label=label, **dots)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    coloured = ""
    if feature:
        add_legend(figure, axes)
        coloured = f" Coloured by {feature}, of several values the first."
    caption = (
        f"{len(items):,} items, each a dot, by the two directions in which their text vectors differ most. These hold "
        f"{percent(items['variance'][0])} of all differences, so dots may be close that are not.{coloured} Groups of "
        "one colour, or colours that change from side to side, are a good sign; colours mixed evenly, or one lump with "
        "a few dots far off, a bad one."
    )
    return ReportFigure("Map of the items", caption, figure)
