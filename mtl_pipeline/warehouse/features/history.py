"""Statistics of what happened earlier, each an SQL expression over tallies.

A tally adds up the log's rows that share some keys, so few passes over the log serve many statistics: two means by user
and a count by user are five tallies of one pass. Sums are of whole numbers and decimals, which come out the same in
any order, so the same log gives the same examples on any number of threads.

A new statistic is a function here, a line of STATISTICS, and its name in `spec.HistoryFeature`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from mtl_pipeline.spec import HistoryFeature
from mtl_pipeline.warehouse.templates import quote_identifier

DECIMAL = "DECIMAL(38, 9)"
AMOUNTS = {
    "positives": "({label} > 0)::INTEGER",
    "observed": "({label} IS NOT NULL)::INTEGER",
    "total": f"{{label}}::{DECIMAL}",
    "squares": f"({{label}}::DOUBLE ** 2)::{DECIMAL}",
    "latest": "CASE WHEN {label} > 0 THEN timestamp END",
    "numbers": "({label} > 0 AND {of} IS NOT NULL)::INTEGER",
    "number_total": f"CASE WHEN {{label}} > 0 THEN {{of}}::{DECIMAL} END",
}
"""What one row of the log adds to a tally; `latest` is the time of the last positive row instead of a sum."""
PRIOR_SHARES = 5.0
"""`lift`: as many events in everybody's proportions are added to the user's own, so that few events say little."""
PRIOR_EVENTS = 20.0
"""`lift`: and as many events spread evenly to everybody's, so that a category that nobody chose yet has a share.
`share` likewise."""
PRIOR_LABELS = 3.0
"""`relative_mean`: as many labels without a difference are added."""


@dataclass(frozen=True)
class Tally:
    """What is added up of earlier rows with the same keys."""

    by: tuple[str, ...]
    amount: str
    """A key of AMOUNTS."""
    label: str
    within_days: int | None
    of: str | None
    """Column of the numbers that are added up."""

    @property
    def sql(self) -> str:
        of = quote_identifier(self.of) if self.of else ""
        return AMOUNTS[self.amount].format(label=quote_identifier(self.label), of=of)

    @property
    def whole_sql(self) -> str:
        """The same of a label that holds whole numbers, which add up faster than decimals."""
        return quote_identifier(self.label) if self.amount == "total" else self.sql


@dataclass
class Tallies:
    """The tallies that statistics ask for, each once, with the name of its column."""

    columns: dict[Tally, str] = field(default_factory=dict)

    def column(self, tally: Tally) -> str:
        return self.columns.setdefault(tally, f"_tally_{len(self.columns)}")

    def groups(self) -> list[TallyGroup]:
        """By keys, so that the log is read once for all tallies that share them."""
        by_keys: dict[tuple[str, ...], dict[str, Tally]] = {}
        for tally, name in self.columns.items():
            by_keys.setdefault(tally.by, {})[name] = tally
        return [TallyGroup(number, keys, tallies) for number, (keys, tallies) in enumerate(by_keys.items())]


@dataclass(frozen=True)
class TallyGroup:
    """Tallies with the same keys."""

    number: int
    keys: tuple[str, ...]
    tallies: dict[str, Tally]
    """By name of the column."""

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(tally.label for tally in self.tallies.values()))

    @property
    def numbers(self) -> list[str]:
        return list(dict.fromkeys(tally.of for tally in self.tallies.values() if tally.of))

    @property
    def periods(self) -> list[int | None]:
        return list(dict.fromkeys(tally.within_days for tally in self.tallies.values()))

    @property
    def table(self) -> str:
        """Name of the table of what is known now of the keys."""
        return f"latest_history_{self.number}"


class Asked:
    """What the expression of one feature asks for: `asked("total")` is the column of that tally."""

    def __init__(self, feature: HistoryFeature, tallies: Tallies, now: str) -> None:
        self.feature, self.tallies, self.now = feature, tallies, now
        self.columns: set[str] = set()

    def __call__(self, amount: str, by: Sequence[str] | None = None) -> str:
        feature, keys = self.feature, tuple(self.feature.by if by is None else by)
        of = feature.of if amount.startswith("number") else None
        column = self.tallies.column(Tally(keys, amount, feature.label, feature.within_days, of))
        self.columns.add(column)
        return column


def count(asked: Asked) -> str:
    return f"coalesce({asked('positives')}, 0)::DOUBLE"


def share(asked: Asked) -> str:
    """ln of the share of all earlier positive labels: what a count says, whatever the traffic."""
    everything = f"coalesce({asked('positives', [])}, 0)"
    return f"ln((coalesce({asked('positives')}, 0) + 1) / ({everything} + {PRIOR_EVENTS}))"


def mean(asked: Asked, by: Sequence[str] | None = None) -> str:
    return f"{asked('total', by)}::DOUBLE / nullif({asked('observed', by)}, 0)"


def standard_deviation(asked: Asked) -> str:
    variance = f"{asked('squares')}::DOUBLE / nullif({asked('observed')}, 0) - ({mean(asked)}) ** 2"
    return f"sqrt(CASE WHEN {variance} < 0 THEN 0 ELSE {variance} END)"


def days_since(asked: Asked) -> str:
    return f"(epoch_us({asked.now}) - epoch_us({asked('latest')})) / 86400e6"


def gap(asked: Asked) -> str:
    average = f"{asked('number_total')}::DOUBLE / nullif({asked('numbers')}, 0)"
    return f"{quote_identifier(asked.feature.of or '')}::DOUBLE - {average}"


def lift(asked: Asked) -> str:
    """ln of P(category | user) / P(category), both smoothed: pointwise mutual information."""
    first, *others = asked.feature.by
    both, own, theirs, everything = (
        f"coalesce({asked('positives', by)}, 0)" for by in (None, [first], others, [])
    )
    share = f"(({theirs} + 1) / ({everything} + {PRIOR_EVENTS}))"
    ratio = f"({both} + {PRIOR_SHARES} * {share}) / ({own} + {PRIOR_SHARES}) / {share}"
    return where_known(asked, f"ln({ratio})")


def relative_mean(asked: Asked) -> str:
    """By how much the mean of a user's labels in a category differs from the mean of all their labels, shrunk."""
    own = mean(asked, asked.feature.by[:1])
    observed = f"coalesce({asked('observed')}, 0)"
    above = f"coalesce({asked('total')}::DOUBLE, 0) - {observed} * ({own})"
    return where_known(asked, f"({above}) / ({observed} + {PRIOR_LABELS})")


def where_known(asked: Asked, expression: str) -> str:
    """NULL for a row that lacks one of the keys."""
    known = " AND ".join(f"{quote_identifier(key)} IS NOT NULL" for key in asked.feature.by)
    return f"CASE WHEN {known} THEN {expression} END"


@dataclass(frozen=True)
class Statistic:
    expression: Callable[[Asked], str]
    transform: str = "identity"
    """What precedes standardisation: a count, or a time, grows without bound."""


STATISTICS = {
    "count": Statistic(count, "log1p"),
    "share": Statistic(share),
    "mean": Statistic(mean),
    "standard_deviation": Statistic(standard_deviation),
    "days_since": Statistic(days_since, "log1p"),
    "gap": Statistic(gap),
    "lift": Statistic(lift),
    "relative_mean": Statistic(relative_mean),
}


@dataclass(frozen=True)
class History:
    """All history features of a pipeline, and what has to be added up for them."""

    expressions: dict[str, str]
    """SQL over the tallies by feature whose keys have one value a row."""
    of_lists: dict[str, dict[str, str]]
    """The same for features with a list among their keys, by the list's column: evaluated per value, then averaged."""
    groups: list[TallyGroup]
    lists: list[str]
    """The columns of `of_lists`."""
    asked: dict[str, set[str]]
    """By feature the columns of the tallies that it is made of."""

    def of_features(self, names: Collection[str]) -> History:
        """Of these features only."""
        expressions = {name: sql for name, sql in self.expressions.items() if name in names}
        of_lists = {
            column: {name: sql for name, sql in features.items() if name in names}
            for column, features in self.of_lists.items()
        }
        of_lists = {column: features for column, features in of_lists.items() if features}
        asked = set().union(*(columns for name, columns in self.asked.items() if name in names))
        groups = [group for group in self.groups if asked.intersection(group.tallies)]
        return History(expressions, of_lists, groups, list(of_lists), self.asked)

    def plain_groups(self) -> list[TallyGroup]:
        return [group for group in self.groups if not set(group.keys) & set(self.lists)]

    def list_groups(self, column: str) -> list[TallyGroup]:
        return [group for group in self.groups if column in group.keys]


def plan_history(features: Sequence[HistoryFeature], lists: Sequence[str], now: str) -> History:
    """`lists`: columns with several values a row. `now`: SQL of the time of a row."""
    tallies = Tallies()
    expressions: dict[str, str] = {}
    of_lists: dict[str, dict[str, str]] = {}
    columns: dict[str, set[str]] = {}
    for feature in features:
        asked = Asked(feature, tallies, now)
        expression = STATISTICS[feature.statistic].expression(asked)
        columns[feature.name] = asked.columns
        several = [column for column in feature.by if column in lists]
        (of_lists.setdefault(several[0], {}) if several else expressions)[feature.name] = expression
    return History(expressions, of_lists, tallies.groups(), list(of_lists), columns)
