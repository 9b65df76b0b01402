"""The files of docs/walkthrough.md: `python -m mtl_pipeline_tests.walkthrough.invoices`.

A wholesaler's invoices with the columns and the kinds of dirt of UCI's Online Retail
(https://archive.ics.uci.edu/dataset/352/online+retail), simulated from a fixed seed: customers come back to the kinds
of goods they like, some goods are returned more than others, and whoever typed the lines was human.
"""

import csv
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

CUSTOMERS, LINES, DAYS = 400, 8_000, 370
FIRST_DAY, LAST_DAY = datetime(2025, 11, 1), datetime(2026, 11, 1)
KINDS = {
    "candles": ["T-LIGHT HOLDER", "SCENTED CANDLE", "LANTERN", "CANDLE PLATE"],
    "kitchen": ["CAKE STAND", "MUG", "TEA TOWEL", "MEASURING SPOONS", "LUNCH BOX"],
    "garden": ["WATERING CAN", "PLANT POT", "BIRD FEEDER", "HERB MARKER"],
    "paper": ["GIFT WRAP", "NOTEBOOK", "BIRTHDAY CARD", "PAPER CHAIN"],
    "toys": ["DOLL", "JIGSAW", "BUILDING BLOCKS", "SPINNING TOP"],
    "storage": ["HAT AND COAT RACK", "STORAGE BAG", "CABINET", "KEY HOLDER"],
}
STYLES = [
    "WHITE",
    "RED RETROSPOT",
    "VINTAGE",
    "WOODEN",
    "BLUE",
    "PINK",
    "IVORY",
    "GLASS",
    'ZINC 12"',
    "FLORAL",
    "£1",
]
FRAGILE = {"CABINET", "HAT AND COAT RACK", "LANTERN", "JIGSAW"}
COUNTRIES = ["United Kingdom", "Germany", "France", "EIRE", "Spain"]


def goods(random: np.random.Generator) -> pl.DataFrame:
    """One row for each product: code, description, kind, price, how popular it is, how often it comes back."""
    named = [
        (f"{style} {name}", kind, name) for kind, names in KINDS.items() for name in names for style in STYLES
    ]
    count = len(named)
    return pl.DataFrame(
        {
            "code": [
                f"{20_000 + 7 * number}{'ABC'[number % 3] if number % 5 == 0 else ''}"
                for number in range(count)
            ],
            "description": [text for text, _, _ in named],
            "kind": [list(KINDS).index(kind) for _, kind, _ in named],
            "price": np.round(np.exp(random.normal(0.9, 0.8, count)), 2),
            "appeal": random.gamma(0.6, 1.0, count),
            "returned": [0.3 if name in FRAGILE else 0.02 for _, _, name in named],
        }
    )


Line = tuple[datetime, str, str, str, int, float, str, str]
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"


def draw_lines(seed: int = 1) -> list[Line]:
    """The lines of all invoices, in the order of time."""
    random = np.random.default_rng(seed)
    products = goods(random)
    taste = random.dirichlet(np.full(len(KINDS), 0.35), CUSTOMERS)
    activity = random.gamma(0.5, 1.0, CUSTOMERS)
    baskets = LINES // 8
    customers = random.choice(CUSTOMERS, baskets, p=activity / activity.sum())
    chance = taste[:, products["kind"].to_numpy()] * products["appeal"].to_numpy()
    chance /= chance.sum(axis=1, keepdims=True)

    lines: list[Line] = []
    for number, (buyer, day) in enumerate(
        zip(customers, np.sort(random.uniform(0, DAYS, baskets)), strict=True), 536_365
    ):
        date = FIRST_DAY + timedelta(days=float(day))
        known = f"{12_346 + buyer}" if random.random() > 0.17 else ""
        country = COUNTRIES[int(buyer) % 5 if buyer % 6 == 0 else 0]
        for index in random.choice(len(products), random.integers(2, 15), p=chance[buyer]):
            code, text, _, price, _, returned = products.row(index)
            amount = int(random.choice([1, 2, 6, 12, 24, 480], p=[0.3, 0.25, 0.2, 0.17, 0.075, 0.005]))
            lines.append((date, str(number), code, text, amount, price, known, country))
            if random.random() < returned:
                back = date + timedelta(days=float(random.gamma(2, 5)))
                lines.append((back, f"C{number + 9}", code, text, -amount, price, known, country))
        if random.random() < 0.06:
            lines.append((date, str(number), "POST", "POSTAGE", 1, 18.0, known, country))
    for _ in range(40):  # what the warehouse writes off has neither customer nor price
        date = FIRST_DAY + timedelta(days=float(random.uniform(0, DAYS)))
        code, text = (
            products["code"][int(random.integers(len(products)))],
            ["", "damaged", "?"][random.integers(3)],
        )
        lines.append((date, f"{600_000 + len(lines)}", code, text, -20, 0.0, "", COUNTRIES[0]))
    return sorted(lines, key=lambda line: line[0])


def write(file: Path, lines: list[Line]) -> None:
    with file.open("w", encoding="cp1252", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADER.split(","))
        for date, number, code, text, amount, price, known, country in lines:
            writer.writerow((number, code, text, amount, f"{date:%d/%m/%Y %H:%M}", price, known, country))


def main(folder: Path) -> None:
    """Those of a year, and apart from them those of the days after it."""
    lines = draw_lines()
    write(folder / "invoices.csv", [line for line in lines if line[0] < LAST_DAY])
    write(folder / "invoices-2026-11.csv", [line for line in lines if line[0] >= LAST_DAY])


if __name__ == "__main__":
    main(Path(*sys.argv[1:]))
