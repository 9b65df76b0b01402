"""The search for settings with a lower validation score: equally many trials for each architecture.

The score is the one that stops training: the mean over tasks of validation loss / loss of a constant answer.
Trial 0 has the declared settings, the next ones random settings, and from trial STARTUP_TRIALS on a tree-structured
Parzen estimator draws them (Bergstra et al., NeurIPS 2011). A trial is stopped when its best round so far lies above
the median of the complete trials at that round. Both by Optuna (Akiba et al., KDD 2019,
https://arxiv.org/abs/1907.10902).

Trials are kept in a database, so a search that was killed resumes. The trial that it was killed in is made again, and
each trial draws with its own seed, so that the trials are those of an uninterrupted search.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import polars as pl
import yaml
from optuna.trial import FrozenTrial, TrialState

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.data.streaming import ROWS_AT_ONCE
from mtl_pipeline.learning.training.callbacks.base import Callback
from mtl_pipeline.learning.training.divergence import Diverged
from mtl_pipeline.learning.training.loop import Log, fit_network
from mtl_pipeline.learning.tuning.search_space import (
    enqueue_declared,
    search_space,
    settings_of,
    suggest_values,
    with_settings,
)
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import only_one
from mtl_pipeline.spec import Model, PipelineSpec

STARTUP_TRIALS = 8
"""Trials of an architecture before its sampler learns from them, including the one with the declared settings."""
COMPLETE_BEFORE_PRUNING = 5
ROUNDS_BEFORE_PRUNING = 8
"""Early rounds say little: settings that learn slowly start above the median and may still end lowest."""
COMPLETE_FOR_IMPORTANCE = 8
"""With fewer complete trials, what a setting explains is chance."""


@dataclass(frozen=True)
class Search:
    """What a search found."""

    fingerprint: str
    """Of all that decides what the trials are, except how many."""
    trials: pl.DataFrame
    """See `trials_frame`."""
    importance: pl.DataFrame
    """Columns architecture, setting, importance: the share of the scores' variance that a setting explains
    (functional ANOVA; Hutter, Hoos and Leyton-Brown, ICML 2014). Architectures with few complete trials, or with the
    same score in all, are left out."""
    studies: dict[str, optuna.Study]
    """The trials by architecture, in memory, for Optuna to draw."""
    best: str
    """YAML: the sections `model` and `training` of the trial with the lowest score."""
    resumed: int
    """Trials made by earlier runs."""


class Watch(Callback):
    """Follows the rounds of one trial, and stops it when the pruner says so."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial, self.rounds = trial, 0
        # Of the best round so far: the score, and the same by task.
        self.score, self.relative = float("inf"), list[float]()

    def after_validation(self, relative: np.ndarray) -> None:
        self.rounds += 1
        if relative.mean() < self.score:
            self.score, self.relative = float(relative.mean()), relative.astype(float).tolist()
        self.trial.report(self.score, self.rounds)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def tune(paths: PipelinePaths, spec: PipelineSpec, *, trials: int, log: Log = print) -> Search:
    """Make the trials that each architecture lacks of `trials`; call it inside `one_at_a_time`.

    Test rows are not looked at. Raises UserError when examples or text vectors are missing, when there is nothing to
    search, and when every trial diverged.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not any(search_space(spec, architecture) for architecture in spec.compared_architectures):
        raise UserError("nothing to search: give a setting below tuning in defs.yaml a range or choices")
    dataset = Dataset(paths, spec)
    fingerprint = search_fingerprint(dataset, spec)
    storage = optuna.storages.RDBStorage(f"sqlite:///{paths.tuning_study / 'study.db'}")
    studies: dict[str, optuna.Study] = {
        name: open_study(storage, f"{fingerprint}/{name}") for name in spec.compared_architectures
    }
    resumed = sum(min(trials, len(counted_trials(study))) for study in studies.values())
    if resumed:
        log(f"{resumed} trials are there already")
    for position in range(trials):
        for architecture, study in studies.items():
            if len(counted_trials(study)) == position:
                made = run_trial(study, dataset, spec, architecture, position)
                log(f"{architecture}, trial {position} of 0 to {trials - 1}: {describe_trial(made)}")
    compared = {name: in_memory(counted_trials(study)[:trials], name) for name, study in studies.items()}
    return Search(
        fingerprint=fingerprint,
        trials=trials_frame(compared, spec),
        importance=importance_frame(compared, spec),
        studies=compared,
        best=best_settings(compared, fingerprint),
        resumed=resumed,
    )


def one_at_a_time(folder: Path) -> AbstractContextManager[None]:
    """Hold the folder's lock. Raises UserError when another search holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    return only_one(folder / "study.lock", f"{folder} is in use by another search: wait for it, or stop it")


def search_fingerprint(dataset: Dataset, spec: PipelineSpec) -> str:
    """Of the training and validation rows as the network sees them, and of every setting that matters to it."""
    included = {"ids", "features", "tasks", "model", "training", "seed"}
    space = spec.tuning.model_dump(mode="json", exclude={"trials", "architectures"})
    settings = spec.model_dump(mode="json", include=included) | {"space": space}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    looked_up = vars(dataset.chosen) if dataset.chosen else {}
    encoded = chain(dataset.train.batches(ROWS_AT_ONCE), [dataset.validation])
    rows = (tensor for rows in encoded for tensor in rows.tensors.values())
    for tensor in chain(rows, looked_up.values(), dataset.text.tensors.values()):
        digest.update(repr(tuple(tensor.shape)).encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:16]


def open_study(storage: optuna.storages.BaseStorage, name: str) -> optuna.Study:
    """The study in the database, a new one at first. The trial that a run was killed in counts as failed."""
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        pruner=optuna.pruners.MedianPruner(
            n_startup_trials=COMPLETE_BEFORE_PRUNING, n_warmup_steps=ROUNDS_BEFORE_PRUNING
        ),
        load_if_exists=True,
    )
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def counted_trials(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def run_trial(
    study: optuna.Study, dataset: Dataset, spec: PipelineSpec, architecture: str, position: int
) -> FrozenTrial:
    """Train one network. A network that diverges is a pruned trial, from which the sampler learns too."""
    # Architectures share the seeds: as long as settings are random, they try the same ones.
    (seed,) = np.random.SeedSequence([spec.seed, position]).generate_state(1)
    study.sampler = optuna.samplers.TPESampler(
        seed=int(seed), n_startup_trials=STARTUP_TRIALS, multivariate=True
    )
    space, settings = search_space(spec, architecture), with_settings(spec, {"architecture": architecture})
    if position == 0:
        space = enqueue_declared(study, space, settings)
    trial = study.ask()
    values = suggest_values(trial, space)
    if position > 0:
        settings = with_settings(settings, values)
    watch, state, parameters = Watch(trial), "complete", None
    started = time.perf_counter()
    try:
        fit = fit_network(dataset, settings, spec.tasks, lambda line: None, [watch])
        parameters = sum(parameter.numel() for parameter in fit.ranker.network.parameters())
    except optuna.TrialPruned:
        state = "pruned"
    except Diverged:
        state = "diverged"
    outcome = {
        "state": state,
        "scores": dict(zip([task.name for task in spec.tasks], watch.relative, strict=False)),
        "score": watch.score if watch.relative else None,
        "rounds": watch.rounds,
        "seconds": round(time.perf_counter() - started, 2),
        "parameters": parameters,
        "model": settings.model.model_dump(mode="json"),
        "training": settings.training.model_dump(mode="json"),
    }
    trial.set_user_attr("outcome", outcome)
    if state == "complete":
        return study.tell(trial, watch.score)
    return study.tell(trial, state=TrialState.PRUNED)


def describe_trial(trial: FrozenTrial) -> str:
    outcome = trial.user_attrs["outcome"]
    score = "no score" if outcome["score"] is None else f"score {outcome['score']:.4f}"
    return f"{score}, {outcome['state']} after {outcome['rounds']} rounds, {outcome['seconds']:.0f} s"


def trials_frame(compared: dict[str, optuna.Study], spec: PipelineSpec) -> pl.DataFrame:
    """A row per trial: architecture, trial, state, whether it is the present one, score and score/<task>, its settings,
    rounds, seconds and parameters.

    Scores are those of the trial's best round, lower is better; of a trial that was pruned or diverged they are those
    of the rounds that it had, or NULL. So are settings that the architecture lacks.
    """
    spaces = {architecture: search_space(spec, architecture) for architecture in compared}
    declared = settings_of(spec)
    usual = {name: field.default for name, field in Model.model_fields.items()}  # some are written else only
    schema: dict[str, Any] = {
        "architecture": pl.String,
        "trial": pl.Int64,
        "state": pl.Enum(["complete", "pruned", "diverged"]),
        "present": pl.Boolean,
        "score": pl.Float64,
        **{f"score/{task.name}": pl.Float64 for task in spec.tasks},
        **{name: column_type(declared[name]) for space in spaces.values() for name in space},
        "rounds": pl.Int64,
        "seconds": pl.Float64,
        "parameters": pl.Int64,
    }
    rows = []
    for architecture, study in compared.items():
        for trial in study.trials:
            outcome = trial.user_attrs["outcome"]
            values = usual | outcome["model"] | outcome["training"]
            row = outcome | {"architecture": architecture, "trial": trial.number}
            row["present"] = trial.number == 0 and architecture == spec.model.architecture
            row |= {f"score/{task}": score for task, score in outcome["scores"].items()}
            row |= {name: shown_value(values[name]) for name in spaces[architecture]}
            rows.append({name: row.get(name) for name in schema})
    return pl.DataFrame(rows, schema=schema)


def shown_value(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def importance_frame(compared: dict[str, optuna.Study], spec: PipelineSpec) -> pl.DataFrame:
    rows = []
    for architecture, study in compared.items():
        settings = list(search_space(spec, architecture))
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        # Optuna leaves out a trial whose settings are not all in the space, as the declared ones may not be.
        scores = {trial.value for trial in complete if trial.params.keys() >= set(settings)}
        if len(complete) >= COMPLETE_FOR_IMPORTANCE and len(scores) > 1:
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=spec.seed)
            shares = optuna.importance.get_param_importances(study, evaluator=evaluator, params=settings)
            rows += [(architecture, setting, share) for setting, share in shares.items()]
    schema = {"architecture": pl.String, "setting": pl.String, "importance": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def in_memory(trials: list[FrozenTrial], name: str) -> optuna.Study:
    """A study of these trials only."""
    study = optuna.create_study(study_name=name)
    study.add_trials(trials)
    return study


def best_settings(compared: dict[str, optuna.Study], fingerprint: str) -> str:
    outcomes = [trial.user_attrs["outcome"] for study in compared.values() for trial in study.trials]
    complete = [outcome for outcome in outcomes if outcome["state"] == "complete"]
    if not complete:
        raise UserError(
            "every trial diverged: lower the learning rates in tuning.learning_rate of defs.yaml, and look for "
            "extreme values among labels and features"
        )
    best = min(complete, key=lambda outcome: outcome["score"])
    return (
        f"# Search {fingerprint}: validation score {best['score']:.4f}. It was the lowest of {len(complete)} complete\n"
        "# trials and flatters for that reason: confirm it by `evaluation` after putting it into defs.yaml.\n"
        f"{section_lines('model', best)}{section_lines('training', best)}"
    )


def section_lines(section: str, outcome: dict[str, Any]) -> str:
    """As one writes it in a defs.yaml: a line for each setting."""
    lists = any(isinstance(value, list) for value in outcome[section].values())
    lines = yaml.safe_dump(outcome[section], default_flow_style=None if lists else False, sort_keys=False)
    return f"{section}:\n{textwrap.indent(lines, '  ')}"


def column_type(declared: Any) -> pl.DataType | type:
    """Of the values of a setting, from the declared one; null stands where a width may be left out."""
    return pl.Int64() if declared is None else type(shown_value(declared))
