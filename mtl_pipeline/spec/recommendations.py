"""The section of a declaration that says what is recommended, and by what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl_pipeline.spec.base import Identifier, SpecModel


class CandidateStage(SpecModel):
    """Which items are scored for a user: the union of what several sources find, `each` their best. Without it, all."""

    sources: list[Literal["popular", "newest", "neighbours", "text"]] = Field(min_length=1)
    """popular: what was chosen most within the last 30 days. newest: what came last into the catalogue
    (`available_from`) or, without that, was first met last. neighbours: what others chose together with the items that
    the user chose last. text: what is nearest to these by its text vector. One of the first two is needed, so that
    users without a past have candidates too."""
    each: int = Field(default=200, ge=1)
    """Items from each source, at least `per_user`."""
    sample: int = Field(default=200, ge=1)
    """Users for whom all items are scored too, each time, to measure what the stage misses: every n-th user, so that it
    may be up to twice as many."""


class Diversity(SpecModel):
    """What keeps the items of a list apart. The list is chosen anew from ten times as many of its best items."""

    by: Identifier | None = None
    """Categorical feature of items, such as `category`; of a list the first value."""
    at_most: int = Field(default=2, ge=1)
    """Items of one list with the same value of `by`; more only where nothing else is left."""
    similarity: float = Field(default=0, ge=0, le=1)
    """Weight against being like the items before it by the text vectors (maximal marginal relevance: Carbonell and
    Goldstein, SIGIR 1998, https://doi.org/10.1145/290941.291025), where scores of a list go from 0 to 1."""


class Recommendations(SpecModel):
    """What is recommended to each user."""

    per_user: int = Field(default=10, ge=1)
    """Items for each user."""
    exclude: Literal["shown", "chosen", "nothing"] = "chosen"
    """Which items are never recommended to a user. shown: those of any earlier interaction. chosen: those of earlier
    interactions on which the first task happened. nothing: none."""
    newest_days: int | None = Field(default=None, gt=0)
    """Recommend only items that became available within this many days before the last interaction (news)."""
    context: dict[Identifier, str | int | float] = {}
    """The situation to recommend for: values of features of `interactions`, such as `device: phone`. By default they
    are unknown (NULL)."""
    candidates: CandidateStage | None = None
    """For large catalogues; by default every item is scored for every user."""
    diversity: Diversity | None = None
    popularity_correction: float = Field(default=0, ge=0, le=1)
    """Weight against what is popular: so much is taken off the most popular item, nothing off the least
    popular one, where scores of a list go from 0 to 1."""
    score: str | None = None
    """SQL expression over the tasks' predictions: `<task>`, conditional on its `given` task, and for binary tasks with
    `given` also `<task>_entire_space`, the probability of the whole chain; multiclass tasks have no single number. By
    default what is to be expected of the tasks that are `good` (docs/recommendations.md)."""
