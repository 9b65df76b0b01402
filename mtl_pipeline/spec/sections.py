"""The sections of a defs.yaml, each with the rules that concern it alone."""

from __future__ import annotations

from itertools import chain
from typing import Annotated, ClassVar, Literal, Self
from zoneinfo import available_timezones

from pydantic import Field, NaiveDatetime, StringConstraints, model_validator

from mtl_pipeline.spec.base import Identifier, SpecError, SpecModel, refuse_repeats

Part = Literal["train", "validation", "test"]
SIZE_PATTERN = r"^(0\.0*[1-9]\d*|[1-9]\d*(\.\d+)?)\s?[KMGT]i?B$"


class RawFiles(SpecModel):
    """Where the raw files are, relative to `data/<pipeline>/raw/`, and how CSV files are written.

    Each table names one file (`users.csv`), a pattern (`events-*.csv`), a file per day (`events-{date}.csv`, any
    YYYY-MM-DD), or an s3://, gs:// or https:// address. Files are CSV, JSON lines (`.jsonl`, `.ndjson`, `.json`: an
    object a line), either with gzip (`.gz`), or Parquet (`.parquet`); all files of a table need the same columns.
    """

    users: str | None = "users.csv"
    """Users, one line each; null if there is no such file."""
    items: str | None = "items.csv"
    """Items, one line each; null if there is no such file."""
    interactions: str = "interactions.csv"
    """What users did, one line per event or impression."""
    delimiter: str | None = Field(default=None, min_length=1, max_length=4)
    """Of CSV files, up to four characters; by default comma, semicolon, tab or bar, whichever the header has."""
    quote: Literal['"', "'", ""] = '"'
    """Around fields that contain delimiters or line breaks; empty if quotes are ordinary characters."""
    encoding: Literal["utf-8", "latin-1", "windows-1252"] = "utf-8"
    """Encoding of CSV files."""
    longest_record_lines: int = Field(default=100, ge=1, le=100_000)
    """A quote still open after this many lines is taken for a stray one: the line where its record starts is refused,
    and reading goes on after that line."""
    longest_record_bytes: int = Field(default=1_000_000, ge=1_000, le=8_000_000)
    """The same limit in bytes. Longer lines are refused."""
    may_be_empty: list[Literal["users", "items", "interactions"]] = []
    """Tables of which any file may have no readable row, and every row may be refused. For other tables either is an
    error, and the table of the last run stays."""
    derived: list[Literal["users", "items"]] = []
    """Tables that are read off a file with many lines for each id, such as the log of interactions: the first of these
    lines (of items with `available_from`, the earliest) makes the row; the others are merged into it, not rejected."""
    columns: dict[Literal["users", "items", "interactions"], Annotated[list[str], Field(min_length=1)]] = {}
    """Column names, by table, for CSV files without a header line."""

    def columns_of(self, table: str) -> list[str] | None:
        """Column names where the CSV files of a table have no header line."""
        return {str(name): columns for name, columns in self.columns.items()}.get(table)

    @property
    def how_written(self) -> tuple[str | int | None, ...]:
        limits = self.longest_record_lines, self.longest_record_bytes
        return self.delimiter, self.quote, self.encoding, *limits, *self.derived

    @model_validator(mode="after")
    def check_delimiter(self) -> RawFiles:
        if set(self.delimiter or "") & {self.quote, "\n", "\r"}:
            raise ValueError("raw: delimiter may hold neither the quote nor a line end")
        try:
            (self.delimiter or "").encode(self.encoding)
        except UnicodeEncodeError as error:
            raise ValueError(f"raw: delimiter {self.delimiter} does not exist in {self.encoding}") from error
        if self.columns and not self.delimiter:
            raise ValueError("raw: columns needs `delimiter:` too: there is no header line to find it in")
        return self


class Warehouse(SpecModel):
    """What DuckDB may use while it builds tables and examples."""

    memory_limit: Annotated[str, StringConstraints(pattern=SIZE_PATTERN)] = "4GB"
    """How much a process may grow while DuckDB works. 128 MiB of it (at most half) are set aside for memory that DuckDB
    does not count. What does not fit is spilled to temporary files beside the warehouse."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of DuckDB; by default one per core."""


class Negatives(SpecModel):
    """Unobserved user-item pairs sampled as negative examples of the root task."""

    per_positive: int = Field(default=4, ge=0, le=100)
    """Pairs sampled for each interaction, with its time and its features of `interactions`."""
    unmet: Literal["never_met_before", "same_moment"] = "never_met_before"
    """Which items may be a user's negatives. never_met_before: items that the user had not interacted with up to the
    time of the positive; later ones may be among them, since nobody could know. same_moment: all items but those of the
    same moment, for users who come back to the same items (repeat purchases)."""


class Split(SpecModel):
    """How interactions are split, oldest first; what train and validation leave is the test split. Instead, a hash may
    decide, or a column."""

    column: Identifier | None = None
    """Column of `interactions` that says to which split a row belongs, as where a data set comes with an official test:
    its own column, or `source_file`, the raw file. Rows may not depend on each other then: it goes without history,
    negatives and merged events."""
    values: dict[Part, Annotated[list[str], Field(min_length=1)]] | None = None
    """Which values of `column` make which split: `{test: [test.csv]}`. By default the words train, validation and test.
    Without train, all values that are not named train. Without validation, it is drawn from the rows that train, by a
    hash of `hash_by` or else of the interaction key: the share `validation` of them."""
    hash_by: list[Identifier] | None = Field(default=None, min_length=1)
    """Columns of `interactions` whose hash decides the split if there is no time to split by."""
    train: float = Field(default=0.8, gt=0, lt=1)
    """Share of the training split, which weights, statistics and vocabularies come from."""
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Share of the validation split, which decides when training stops."""
    validation_from: NaiveDatetime | None = None
    """Time (UTC) at which the validation split starts, instead of shares; goes with `test_from`."""
    test_from: NaiveDatetime | None = None
    """Time (UTC) at which the test split starts."""

    @property
    def by_time(self) -> bool:
        return not (self.hash_by or self.column)

    @property
    def parts(self) -> dict[Part, list[str]]:
        """By split, the values of `column` that are declared to make it."""
        words: tuple[Part, ...] = ("train", "validation", "test")
        return self.values or {word: [word] for word in words}

    @model_validator(mode="after")
    def check_column(self) -> Split:
        if self.column is None:
            if self.values:
                raise SpecError("split: values goes with column, whose values they are", "values")
            return self
        if self.test_from:
            raise SpecError(
                "split: a column or times decide, not both; leave out test_from and validation_from",
                "test_from",
            )
        if "test" not in self.parts:
            raise SpecError("split: values names no value for test", "values")
        refuse_repeats("split: values", list(chain(*self.parts.values())), "values")
        unread = ["train", *(["validation", "hash_by"] if "validation" in self.parts else [])]
        fields = type(self).model_fields
        if given := [name for name in unread if getattr(self, name) != fields[name].default]:
            raise SpecError(
                f"split: with a column, {' and '.join(given)} decides nothing: "
                "the values make the splits, and only a validation split that they do not name is drawn; leave it out",
                given[0],
            )
        return self

    @model_validator(mode="after")
    def check_split(self) -> Split:
        if (self.validation_from is None) != (self.test_from is None):
            raise SpecError("split: validation_from and test_from go together; declare both")
        if self.validation_from and self.test_from and self.validation_from >= self.test_from:
            raise SpecError("split: validation_from must lie before test_from", "test_from")
        if self.validation_from and self.hash_by:
            raise SpecError("split: a hash or times decide, not both; leave out hash_by", "validation_from")
        if self.column is None and self.train + self.validation >= 1:
            raise SpecError(
                f"split: train {self.train} + validation {self.validation} leaves no test rows; "
                "their sum must be below 1"
            )
        return self


class Pretrained(SpecModel):
    """What all frozen pretrained encoders share."""

    section: ClassVar[str]
    """The key that declares it."""
    package: str | None = None
    """An installed Python package with the weights in its `model/` folder."""
    hub: str | None = None
    """A Hugging Face hub id such as `bert-base-uncased`, or of pictures `google/siglip-base-patch16-224`."""
    folder: str | None = None
    """A local folder written by `save_pretrained`."""
    revision: str | None = None
    """Commit, tag or branch of the hub id; pin a commit for reproducible runs."""
    store: str | None = None
    """A folder where vectors stay for all pipelines that name it: what one of them has read is not computed again by
    another with the same encoder. A relative one starts at the project's root."""
    storage: Literal["float32", "float16"] = "float32"
    """Of the vectors in the file: float16 takes half the room, and keeps three digits of each number."""

    @model_validator(mode="after")
    def name_one_source(self) -> Self:
        sources = [name for name in ("package", "hub", "folder") if getattr(self, name)]
        if len(sources) != 1:
            given = ", ".join(sources) or "none"
            raise SpecError(f"{self.section}: name exactly one of package, hub, folder (got: {given})")
        if self.revision and not self.hub:
            raise SpecError(f"{self.section}: revision goes with hub only", "revision")
        return self


class Encoder(Pretrained):
    """The frozen pretrained text encoder. One source: `package`, `hub` or `folder`."""

    section = "encoder"
    pooling: Literal["mean", "cls", "last"] | None = None
    """How a text's token vectors become one: their mean, the first token's, or the last token's, as embeddings of the
    GPT kind are made. By default as the encoder's own modules.json says, or else the mean."""
    prompt: str | None = None
    """Put before each text, where the encoder was trained with it: `passage: ` of e5 models. By default the one that
    the encoder's own files name as default, or else none."""
    layers: list[int] = Field(default=[-1], min_length=1)
    """Of which layers token vectors are pooled, one result after the other: -1 is the last, 0 what words are before the
    first. The last says what a text is about, the first ones in which words: `[0]` or `[0, -1]` where these matter."""
    max_tokens: int | None = Field(default=None, ge=2)
    """That are read at once. By default what the encoder's own sentence_bert_config.json says, or else 256."""
    long_texts: Literal["cut", "windows"] = "cut"
    """Of texts of more tokens: cut them there, or read them in windows that overlap by an eighth, up to 64 of them, and
    take the mean of their vectors, which takes as much longer as they are."""
    dimensions: int | None = Field(default=None, ge=1)
    """Keep the first so many numbers of each vector, of an encoder that was trained for it (Matryoshka). By default as
    the encoder's own files say, or else all."""
    normalised: bool = False
    """Give each vector a length of 1, as many sentence encoders do. By default not, whatever the encoder's own files
    say: cosines are the same, and the ranker may read the length, which tells how typical a text is."""
    runtime: Literal["auto", "torch", "openvino"] = "auto"
    """What computes vectors. auto: what those that are there were made by, or else the fastest that is installed and
    can read the encoder: on a GPU torch, on a CPU openvino (`pip install 'mtl_pipeline[openvino]'`), or else torch."""
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    """Of the computation. auto: as above, or else bfloat16, where the hardware has it and the vectors of the pipeline's
    own texts stay the same (mean cosine of at least .999), or else float32. int8 is half as fast again, on a CPU with
    VNNI, by openvino (`pip install 'mtl_pipeline[int8]'`), and loses more: look at the share of neighbours kept."""
    batch_size: int = Field(default=32, ge=1)
    """Texts encoded at once; on a GPU more, until they have 65,536 tokens, and fewer where memory is too small."""

    @model_validator(mode="after")
    def check_precision(self) -> Encoder:
        if self.precision == "int8" and self.runtime == "torch":
            raise SpecError("encoder: precision int8 needs runtime openvino", "precision")
        return self


class ImageEncoder(Pretrained):
    """The frozen pretrained encoder of pictures, such as CLIP, SigLIP or ViT. Exactly one source."""

    section = "image_encoder"
    runtime: ClassVar[str] = "torch"
    normalised: ClassVar[bool] = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the computation. auto: what the vectors that are there were made in, or else bfloat16, where the hardware has
    it and the vectors of the pipeline's own pictures stay the same, or else float32."""
    batch_size: int = Field(default=32, ge=1)
    """Pictures read at once; fewer where a GPU's memory is too small."""


class Backtest(SpecModel):
    """The test windows of `<pipeline>/backtest`, which runs only on request (docs/backtest.md)."""

    windows: int = Field(default=3, ge=2)
    """How many test windows, each as long as the test split, which is the last of them; with `split.hash_by`, how many
    folds of a cross-validation. There is none with `split.column`, which leaves one test only."""
    training: Literal["expanding", "rolling"] = "expanding"
    """What each window trains on. expanding: all rows before it, so later windows have more of them. rolling: the same
    number for every window, the last ones before it."""


class Evaluation(SpecModel):
    """How models are compared: intervals, seeds, slices of the test rows, earlier test windows."""

    bootstrap_samples: int = Field(default=500, ge=1)
    """Bootstrap resamples behind each interval but those that the guard goes by; more make its ends more stable."""
    seeds: int = Field(default=1, ge=1)
    """How many seeds the multi-task network is compared with its baselines over: `seed`, which the model has, and the
    next ones. With more than one, every run of the pipeline trains them as `seed_runs` (docs/seed-runs.md)."""
    slices: list[Identifier] = []
    """Categorical features whose most frequent values are also scored separately on the test rows, as new and known
    users and items, popular and rare items, and periods of the test time always are."""
    backtest: Backtest = Backtest()


class Promotion(SpecModel):
    """When the newest model, the challenger, replaces the champion, the model that recommends.

    It does unless on some task the whole 95 % interval of the difference puts it more than the margin below the
    champion or the reference; or it is not shown to beat a constant answer; or it has been rolled back from before.
    """

    margins: dict[Identifier, Annotated[float, Field(ge=0)]] = {}
    """How much worse the challenger may be, by task. For binary tasks, the loss in ROC-AUC (default 0.002); for others,
    the growth of the error they are compared by (docs/promotion.md), as a share of the champion's (default 0.005)."""
    reference: Annotated[str, StringConstraints(pattern=r"^(best|[0-9a-f]{6,64})$")] = "best"
    """Guards against small losses that add up night by night. best: on each task the best of the earlier champions that
    are kept; or the start of a fingerprint such as `"1f0c2a9b"`: always that earlier champion."""
    keep: int = Field(default=5, ge=2)
    """How many champions stay on disk, to roll back to and to compare challengers with. The best one on any task stays
    longer."""


class Schedule(SpecModel):
    """When the whole pipeline runs. The schedule is off until it is switched on in the UI."""

    cron: str = "0 2 * * *"
    """When to run: minute, hour, day of the month, month, day of the week."""
    timezone: str = "UTC"
    """A name from the IANA database: `UTC`, `Europe/Berlin`."""

    @model_validator(mode="after")
    def know_the_timezone(self) -> Schedule:
        if self.timezone not in available_timezones():
            raise SpecError(
                f"schedule: there is no timezone '{self.timezone}'; one looks like: UTC, Europe/Berlin",
                "timezone",
            )
        return self
