"""What the model sees: features of users, items and interactions, and of what came before."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mtl_pipeline.spec.base import Identifier, SpecError, SpecModel, refuse_repeats


class ColumnFeatures(SpecModel):
    """Columns of one canonical table that become model features."""

    categorical: list[Identifier] = []
    """VARCHAR columns, or VARCHAR[] columns for several values per row (genres, tags)."""
    numeric: list[Identifier] = []
    """Numeric columns; standardised with the mean and standard deviation of the training split."""


class EntityFeatures(ColumnFeatures):
    """Features of users or of items."""

    text: Identifier | None = "text"
    """VARCHAR column that the encoder turns into a vector; null where there is nothing to read."""
    further_texts: list[Identifier] = Field(default=[], exclude_if=lambda columns: not columns)
    """Further VARCHAR columns, such as `[description]` beside the title, each with a vector of its own beside that of
    `text`, which alone is shown, finds candidates and makes the columns of `sequence`."""
    image: Identifier | None = Field(default=None, exclude_if=lambda column: column is None)
    """VARCHAR column of paths of pictures, which `image_encoder` turns into a vector beside that of the text. Relative
    ones start at `data/<pipeline>/raw/`. A row whose picture is missing or broken counts as one without."""

    @property
    def texts(self) -> list[str]:
        return [*([self.text] if self.text else []), *self.further_texts]

    @property
    def embedded(self) -> dict[str, str]:
        """The columns that are turned into vectors, by the name of what they make: `text`, `text_<column>`, `image`."""
        further = {f"text_{column}": column for column in self.further_texts}
        return {
            kind: column
            for kind, column in (("text", self.text), *further.items(), ("image", self.image))
            if column
        }

    @model_validator(mode="after")
    def check_texts(self) -> EntityFeatures:
        if self.further_texts and not self.text:
            raise SpecError(
                "further_texts stand beside text, which is null: name one of them there", "further_texts"
            )
        refuse_repeats("further_texts", self.further_texts, "further_texts")
        if self.text in self.further_texts:
            raise SpecError(f"further_texts names {self.text}, as text does", "further_texts")
        return self


class HistoryFeature(SpecModel):
    """A statistic over strictly earlier interactions with the same values in the columns of `by`."""

    by: list[Identifier] = Field(min_length=1)
    """Ids or categorical features of users and items. One of them may be a list, such as genres: the statistic is then
    the mean over the values of the row."""
    statistic: Literal[
        "count", "share", "mean", "standard_deviation", "days_since", "gap", "lift", "relative_mean"
    ]
    """`count` of earlier positive labels; `share`, the log of their share of everybody's, smoothed (give it
    `within_days`, else it falls for ever for what nobody chooses); `mean` and `standard_deviation` of the labels
    observed earlier; `days_since` the last positive one; `gap`, the row's own `of` minus its mean over the positive
    ones (how much newer or dearer than usual). With two keys or more: `lift`, the log of how much more often the first
    key is positive with the others than everybody is (a user's taste for a genre); `relative_mean`, how far the mean
    label is from the first key's overall mean. The last two are smoothed, so that a few rows say little."""
    label: Identifier
    """Column of a task's label."""
    of: Identifier | None = None
    """`gap` only: a numeric feature of users or items."""
    within_days: int | None = Field(default=None, gt=0)
    """How many days to look back; by default all earlier time."""

    @property
    def name(self) -> str:
        keys = "_".join(column.removesuffix("_id") for column in self.by)
        number = f"_{self.of}" if self.of else ""
        window = f"_{self.within_days}_days" if self.within_days else ""
        return f"{keys}_{self.label}{number}_{self.statistic}{window}"

    @property
    def reads(self) -> set[str]:
        """The columns of a row that it depends on."""
        return {*self.by, *([self.of] if self.of else [])}

    @model_validator(mode="after")
    def check_statistic(self) -> HistoryFeature:
        if (self.statistic == "gap") != (self.of is not None):
            raise SpecError("history: `of` goes with the statistic gap, which needs it", "of")
        if self.statistic in ("lift", "relative_mean") and len(self.by) < 2:
            raise SpecError(
                f"history: {self.statistic} compares the first key with the others; by has one", "by"
            )
        if self.statistic == "days_since" and self.within_days:
            raise SpecError(
                "history: days_since looks back over all time; leave within_days out", "within_days"
            )
        return self


class Sequence(SpecModel):
    """What the user chose before, item by item, and how the item of the row is related to it."""

    last: int = Field(default=20, ge=2, le=200)
    """How many of the items that the user chose last; chosen are those on which the first task happened."""
    labels: list[Identifier] = []
    """Labels that say how well the user liked what they chose, such as `rating`: known at the time of their row, and
    numbers."""

    def features(self, with_text: bool) -> list[str]:
        """Names of the columns that say how the row's item is related to the sequence: by the vectors of the items'
        texts, and by who chose both."""
        relations = ["similar", "neighbour"] if with_text else ["neighbour"]
        statistics = ["mean", "max", *self.labels]
        related = [f"{relation}_{statistic}" for relation in relations for statistic in statistics]
        return [f"last_{self.last}_{name}" for name in (*related, "popularity_gap")]

    @model_validator(mode="after")
    def check_labels(self) -> Sequence:
        refuse_repeats("sequence: labels", self.labels, "labels")
        if wrong := {"mean", "max"}.intersection(self.labels):
            raise SpecError(
                f"sequence: labels names '{min(wrong)}', which is also a statistic; give the label another name",
                "labels",
            )
        return self


class Features(SpecModel):
    """What the model sees besides the ids."""

    users: EntityFeatures = EntityFeatures()
    items: EntityFeatures = EntityFeatures()
    interactions: ColumnFeatures = ColumnFeatures()
    """What was known when the item was shown: device, position, hour. When recommending it is unknown (NULL), except
    for what `recommendations.context` sets."""
    clip: bool = True
    """Whether a number beyond those of the training rows counts as the nearest of them, for whatever learns or
    predicts: what a network makes of numbers that it never saw is anybody's guess."""
    history: list[HistoryFeature] = []
    """Statistics over earlier interactions; the interaction itself and all later ones are left out."""
    sequence: Sequence | None = None
    """How the item is related to what the user chose last: how similar its text is to theirs (on the whole, and to the
    most similar), how often others chose both until then (likewise), for each of `labels` how much better than usual
    the user liked what is most related, and by how much the item is more popular. Needs a time and both ids; where
    items have text, examples wait for its vectors."""
