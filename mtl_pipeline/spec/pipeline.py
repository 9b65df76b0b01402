"""A whole defs.yaml: its attributes, with the rules that hold between sections."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import model_validator

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.spec.attributes import Attributes
from mtl_pipeline.spec.base import (
    ENTIRE_SPACE,
    RESERVED_COLUMNS,
    RESERVED_TASKS,
    SpecError,
    check_score,
    entire_space_name,
    refuse_any_unknown,
    refuse_repeats,
    refuse_unknown,
)
from mtl_pipeline.spec.tasks import BAD_WORDS


class PipelineSpec(Attributes):
    """Everything a pipeline declares; the attributes of its `defs.yaml`."""

    @model_validator(mode="after")
    def check_tasks(self) -> PipelineSpec:
        names = [task.name for task in self.tasks]
        refuse_repeats("tasks", names, "tasks")
        for position, task in enumerate(self.tasks):
            what, place = f"task {task.name}", f"tasks.{position}"
            if task.name in RESERVED_TASKS or task.name.endswith(ENTIRE_SPACE):
                raise SpecError(
                    f"{what}: the name is reserved; give it another, and `label: <its column>`",
                    f"{place}.name",
                )
            if task.given is None:
                continue
            others = [name for name in names if name != task.name]
            refuse_unknown(f"{what}: given", task.given, others, "the other tasks", f"{place}.given")
            if not KINDS[self.task(task.given).kind].is_event:
                raise SpecError(f"{what}: given names '{task.given}', which is not binary", f"{place}.given")
        for position, task in enumerate(self.tasks):
            seen = [task.name]
            while (parent := self.task(seen[-1]).given) is not None:
                if parent in seen:
                    cycle = " -> ".join([*seen, parent])
                    raise SpecError(f"tasks: given forms a cycle: {cycle}", f"tasks.{position}.given")
                seen.append(parent)
            first = self.label_task(task.column)
            if (task.known_at, task.known_after_days) != (first.known_at, first.known_after_days):
                raise SpecError(
                    f"tasks {first.name} and {task.name} have the same label, which is known at one time: give both "
                    "the same known_at or known_after_days",
                    f"tasks.{position}",
                )
        if self.negatives and not KINDS[self.root_task.kind].is_event:
            raise SpecError(f"negatives: the root task '{self.root_task.name}' must be binary", "negatives")
        for name in self.promotion.margins:
            refuse_unknown("promotion: margins", name, names, "the tasks", f"promotion.margins.{name}")
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
            named = features.categorical or features.numeric or features.image or features.further_texts
            if table not in self.entities and named:
                raise SpecError(
                    f"features.{table} names columns, but raw.{table} names no file", f"features.{table}"
                )
        absent = {"user_id", "item_id"} - set(self.ids)
        if wrong := [column for column in self.interaction_key if column in absent]:
            raise SpecError(
                f"interaction_key names {', '.join(wrong)}, which ids lacks; name other columns",
                "interaction_key",
            )
        if "timestamp" in self.interaction_key and not self.timed:
            raise SpecError(
                "interaction_key names timestamp, which a pipeline split by hash or column need not have",
                "interaction_key",
            )
        # A sampled negative has no key of its own: hashed by it, all negatives would land in one split.
        keys = [] if self.negatives else self.interaction_key
        known = [*self.ids, *keys, *self.context_features]
        refuse_any_unknown("split: hash_by", self.split.hash_by or [], known, "split.hash_by")
        if self.available_from and "items" not in self.entities:
            raise SpecError(
                "available_from names a column of items, but raw.items names no file", "available_from"
            )
        if self.recommendations.newest_days and not self.available_from:
            raise SpecError(
                "recommendations: newest_days needs available_from, the time an item was new",
                "recommendations.newest_days",
            )
        if self.negatives and not self.recommends:
            raise SpecError(
                "negatives: pairs can only be sampled where ids has user_id and item_id", "negatives"
            )
        return self

    @model_validator(mode="after")
    def check_features(self) -> PipelineSpec:
        taken = RESERVED_COLUMNS | {task.column for task in self.tasks} | {task.name for task in self.tasks}
        seen: set[str] = set()
        for column, place in self.feature_places():
            if column in seen:
                raise SpecError(f"features: declared more than once: {column}", place)
            if column in taken:
                raise SpecError(f"features: {column} may not be a feature: reserved or a label", place)
            seen.add(column)
        known = {*self.ids, *self.features.users.categorical, *self.features.items.categorical}
        for position, feature in enumerate(self.features.history):
            place, label = f"features.history.{position}", feature.label
            refuse_any_unknown("history: by", feature.by, sorted(known), f"{place}.by")
            if feature.of:
                numbers = [*self.features.users.numeric, *self.features.items.numeric]
                which = "the numeric features of users and items"
                refuse_unknown("history: of", feature.of, numbers, which, f"{place}.of")
            self.check_number("history: label", label, f"{place}.label")
        if sequence := self.features.sequence:
            for position, label in enumerate(sequence.labels):
                self.check_number("sequence: labels", label, f"features.sequence.labels.{position}")
            if not self.recommends or not KINDS[self.root_task.kind].is_event:
                raise SpecError(
                    "sequence: it is of the items that a user chose: ids needs user_id and item_id, and the first "
                    f"task, '{self.root_task.name}', must be binary",
                    "features.sequence",
                )
        return self

    @model_validator(mode="after")
    def check_images(self) -> PipelineSpec:
        pictures = [table for table, kind in self.embedded if kind == "image"]
        if pictures and not self.image_encoder:
            place = f"features.{pictures[0]}.image"
            raise SpecError(f"{place} names pictures, which need an encoder: declare image_encoder", place)
        return self

    def check_number(self, what: str, label: str, place: str) -> None:
        refuse_unknown(what, label, self.labels, "the labels", place)
        predicting = [task for task in self.tasks if task.column == label]
        if not all(KINDS[task.kind].is_number(task.classes) for task in predicting):
            raise SpecError(f"{what} names '{label}', whose values are classes; it must be a number", place)

    @model_validator(mode="after")
    def check_entire_space(self) -> PipelineSpec:
        if "esmm" not in (self.model.architecture, *(self.tuning.architectures or [])):
            return self
        for position, task in enumerate(self.tasks):
            plain = {"loss": task.loss_name == "cross_entropy", "positive_weight": task.positive_weight == 1}
            for key in plain if task.given and task.kind == "binary" else ():
                if not plain[key]:
                    raise SpecError(
                        f"task {task.name}: esmm learns its probability from that of both it and {task.given}, which "
                        f"only a plain cross_entropy makes right: leave out {key}, or take another architecture",
                        f"tasks.{position}.{key}",
                    )
        return self

    @model_validator(mode="after")
    def check_sequence_encoder(self) -> PipelineSpec:
        if self.model.sequence_encoder and not self.features.sequence:
            raise SpecError(
                "model: sequence_encoder reads the items that features.sequence looks back at; declare it",
                "model.sequence_encoder",
            )
        return self

    @model_validator(mode="after")
    def check_rows_independent(self) -> PipelineSpec:
        """Where time splits, a row may know what came earlier. Where a column does, the test could be among that."""
        dependent = {
            "features.history": (self.features.history, "history counts rows of the test too"),
            "features.sequence": (self.features.sequence, "it looks back at rows of the test too"),
            "negatives": (self.negatives, "they are drawn from what users had not met, which the test tells"),
            "repeats": (self.repeats == "merge", "merge takes labels of events that may be in the test"),
        }
        for place, (declared, why) in dependent.items():
            if self.split.column and declared:
                raise SpecError(
                    f"split: column goes without {place}: {why}; leave one out, or split by time (test_from)",
                    place,
                )
        return self

    def feature_places(self) -> Iterator[tuple[str, str]]:
        """The name of every feature, and where it is declared."""
        for table in ("users", "items", "interactions"):
            for kind in ("categorical", "numeric"):
                for position, column in enumerate(getattr(getattr(self.features, table), kind)):
                    yield column, f"features.{table}.{kind}.{position}"
        for position, feature in enumerate(self.features.history):
            yield feature.name, f"features.history.{position}"
        for name in self.sequence_features:
            yield name, "features.sequence"

    @model_validator(mode="after")
    def check_studies(self) -> PipelineSpec:
        if self.model.architecture not in self.compared_architectures:
            raise SpecError(
                f"tuning: architectures lacks {self.model.architecture}, which the model has and every other is "
                "compared with",
                "tuning.architectures",
            )
        if not self.split.by_time and self.evaluation.backtest.training == "rolling":
            raise SpecError(
                "evaluation.backtest: training rolling goes with time; folds by split.hash_by train on all other rows",
                "evaluation.backtest.training",
            )
        what, place = "evaluation: slices", "evaluation.slices"
        known, which = self.categorical_features, "the categorical features"
        for position, column in enumerate(self.evaluation.slices):
            refuse_unknown(what, column, known, which, f"{place}.{position}")
        refuse_repeats(what, self.evaluation.slices, place)
        return self

    @model_validator(mode="after")
    def check_recommendations(self) -> PipelineSpec:
        for name, value in self.recommendations.context.items():
            place, which = f"recommendations.context.{name}", "the features of interactions"
            refuse_unknown("recommendations: context", name, self.context_features, which, place)
            if name in self.features.interactions.numeric and isinstance(value, str):
                raise SpecError(
                    f"recommendations: context: {name} is numeric, and '{value}' no number", place
                )
        if not self.recommends:
            return self
        if self.recommendations.exclude == "chosen" and KINDS[self.root_task.kind].has_classes:
            raise SpecError(
                f"recommendations.exclude: of the {self.root_task.kind} task '{self.root_task.name}' nobody can say "
                "whether it happened; choose shown or nothing",
                "recommendations.exclude",
            )
        self.check_candidates()
        if self.recommendations.score is None:
            self.check_bad_news()
        numbers = [task.name for task in self.tasks if KINDS[task.kind].is_ordered]
        if self.recommendations.score is None and not self.good_tasks:
            why = "no task is good" if numbers else "classes have no order to rank items by"
            raise SpecError(f"recommendations: {why}; declare one that is, or recommendations.score", "tasks")
        known = [*numbers, *map(entire_space_name, self.entire_space_tasks)]
        check_score(self.recommendations.score or self.default_score, known, "recommendations.score")
        return self

    def check_bad_news(self) -> None:
        """Else what is returned most would be recommended first."""
        for position, task in enumerate(self.tasks):
            if task.good is None and KINDS[task.kind].is_event and BAD_WORDS & set(task.name.split("_")):
                raise SpecError(
                    f"task {task.name}: it sounds like bad news, but more of it would be better: say good: false, "
                    "good: ignore, or good: true if it is good news (docs/recommendations.md)",
                    f"tasks.{position}",
                )

    def check_candidates(self) -> None:
        declared, has_text = self.recommendations, ("items", "text") in self.embedded
        stage, diversity = declared.candidates, declared.diversity
        sources = set(stage.sources) if stage else set()
        looks_back = self.timed and KINDS[self.root_task.kind].is_event
        problems = {
            "candidates: sources needs popular or newest": stage and not sources & {"popular", "newest"},
            "candidates: each must be at least per_user": stage and stage.each < declared.per_user,
            "candidates: sources names text, but items have none": "text" in sources and not has_text,
            "candidates: all sources but popular need times, and a binary first task that says what was chosen": (
                sources - {"popular"} and not looks_back
            ),
            "diversity: similarity is of texts, and items have none": (
                diversity and diversity.similarity and not has_text
            ),
        }
        for problem, is_there in problems.items():
            if is_there:
                place = f"recommendations.{problem.partition(':')[0]}"
                raise SpecError(f"recommendations: {problem}", place)
        if diversity and diversity.by:
            what, place = "recommendations: diversity: by", "recommendations.diversity.by"
            known, which = self.features.items.categorical, "the categorical features of items"
            refuse_unknown(what, diversity.by, known, which, place)
