"""The search for settings with a lower validation score: equally many trials for each architecture.

The score is that of training (see training): the mean over tasks of validation loss / loss of a constant answer.
Settings are drawn by a tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011) from trial
STARTUP_TRIALS on, at random before, but for trial 0, which has the declared ones; a trial whose best round so far
lies above the median of the complete trials at that round is stopped. Both by Optuna (Akiba et al., KDD 2019, https://arxiv.org/abs/1907.10902).

Trials are kept in a database: a search that was killed goes on where it was. The trial it was killed in is
forgotten, and each trial draws with a seed of its own, so that the trials are those of a search in one go.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import polars as pl
import yaml
from optuna.trial import FrozenTrial, TrialState

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training.callbacks.base import Callback
from mtl_pipeline.learning.training.loop import Diverged, Log, fit_network
from mtl_pipeline.learning.training.search_space import (
    enqueue_present,
    present_settings,
    search_space,
    suggest_values,
    with_values,
)
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import only_one
from mtl_pipeline.spec import PipelineSpec, Task

STARTUP_TRIALS = 8
"""Trials of an architecture before its sampler learns from them, with that of the declared settings."""
COMPLETE_BEFORE_PRUNING = 5
ROUNDS_BEFORE_PRUNING = 8
"""Early rounds say little: settings that learn slowly lie above the median at first and may end lowest."""
COMPLETE_FOR_IMPORTANCE = 8
"""With fewer complete trials than that, what a setting explains is chance."""

COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Search:
    """What a search found."""

    fingerprint: str
    """Of all that decides which trials there are, but their number."""
    trials: pl.DataFrame
    """A row per trial, the columns of `trials_schema`."""
    importance: pl.DataFrame
    """Columns architecture, setting, importance: the share of the scores' variance that a setting explains
    (functional ANOVA; Hutter, Hoos and Leyton-Brown, ICML 2014). Without architectures of few complete
    trials or of one score."""
    studies: dict[str, optuna.Study]
    """The trials by architecture, in memory, for Optuna to draw."""
    best: str
    """YAML: the sections `model` and `training` of the trial with the lowest score."""
    resumed: int
    """Trials that earlier runs had made."""


@dataclass
class Watch(Callback):
    """Follows the rounds of one trial, and stops it where the pruner says so."""

    trial: optuna.Trial
    rounds: int = 0
    score: float = float("inf")
    """Of the best round so far."""
    relative: list[float] = field(default_factory=list)
    """The same by task."""

    def after_validation(self, relative: np.ndarray) -> None:
        self.rounds += 1
        if relative.mean() < self.score:
            self.score, self.relative = float(relative.mean()), [float(score) for score in relative]
        self.trial.report(self.score, self.rounds)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def tune(paths: PipelinePaths, spec: PipelineSpec, *, trials: int, log: Log = print) -> Search:
    """Make what is missing of `trials` trials for each architecture; to be called inside of `one_at_a_time`.

    Test rows are not looked at. Raises UserError when examples or text vectors are missing, when there is nothing to
    search, and when every trial diverged.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not any(search_space(spec, architecture) for architecture in spec.tuning.architectures):
        raise UserError("nothing to search: give a setting below tuning in defs.yaml a range or choices")
    dataset = Dataset(paths, spec)
    fingerprint = search_fingerprint(dataset, spec)
    storage = optuna.storages.RDBStorage(f"sqlite:///{paths.tuning_study / 'study.db'}")
    studies: dict[str, optuna.Study] = {
        architecture: open_study(storage, fingerprint, architecture)
        for architecture in spec.tuning.architectures
    }
    resumed = sum(min(trials, len(counted_trials(study))) for study in studies.values())
    if resumed:
        log(f"{resumed} trials are there already")
    for position in range(trials):
        for architecture, study in studies.items():
            if len(counted_trials(study)) == position:
                made = run_trial(study, dataset, spec, architecture, position)
                log(f"{architecture}, trial {position} of 0 to {trials - 1}: {describe_trial(made)}")
    compared = {architecture: counted_trials(study)[:trials] for architecture, study in studies.items()}
    return Search(
        fingerprint=fingerprint,
        trials=trials_frame(compared, spec),
        importance=importance_frame(compared, spec),
        studies={architecture: study_of(trials, architecture) for architecture, trials in compared.items()},
        best=best_settings(compared, spec, fingerprint),
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
    for tensor in (*tensors(dataset.train), *tensors(dataset.validation), *dataset.text.tensors.values()):
        digest.update(repr(tuple(tensor.shape)).encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:16]


def tensors(rows: Any) -> list:
    return [getattr(rows, column) for column in ("ids", "categorical", "numeric", "text", "labels")]


def open_study(storage: optuna.storages.BaseStorage, fingerprint: str, architecture: str) -> optuna.Study:
    """The study of this search and architecture, without what a killed run left of its last trial."""
    study = optuna.create_study(
        storage=storage,
        study_name=f"{fingerprint}/{architecture}",
        direction="minimize",
        pruner=optuna.pruners.MedianPruner(
            n_startup_trials=COMPLETE_BEFORE_PRUNING, n_warmup_steps=ROUNDS_BEFORE_PRUNING
        ),
        load_if_exists=True,
    )
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def counted_trials(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=COUNTED)


def run_trial(
    study: optuna.Study, dataset: Dataset, spec: PipelineSpec, architecture: str, position: int
) -> FrozenTrial:
    """Train one network. A network that diverges is a pruned trial, from which the sampler learns too."""
    # Architectures share the seeds: at first, while settings are random, they try the same ones.
    (seed,) = np.random.SeedSequence([spec.seed, position]).generate_state(1)
    study.sampler = optuna.samplers.TPESampler(
        seed=int(seed), n_startup_trials=STARTUP_TRIALS, multivariate=True
    )
    space, settings = search_space(spec, architecture), present_settings(spec, architecture)
    if position == 0:
        inside = enqueue_present(study, space, settings)
        trial = study.ask()
        suggest_values(trial, inside)
    else:
        trial = study.ask()
        settings = with_values(settings, suggest_values(trial, space))
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


def trials_schema(settings: Sequence[str], tasks: Sequence[Task]) -> dict[str, Any]:
    """Column → type. `score` and `score/<task>` are those of the best round of the trial, lower is better; of a
    trial that is not complete they are what it had come to, or NULL."""
    texts, numbers = (
        ("weighting", "loss_normalisation", "hidden", "tower"),
        ("learning_rate", "weight_decay", "dropout", "id_dropout"),
    )
    types = dict.fromkeys(texts, pl.String) | dict.fromkeys(numbers, pl.Float64)
    return {
        "architecture": pl.String,
        "trial": pl.Int64,
        "state": pl.Enum(["complete", "pruned", "diverged"]),
        "present": pl.Boolean,
        "score": pl.Float64,
        **{f"score/{task.name}": pl.Float64 for task in tasks},
        **{name: types.get(name, pl.Int64) for name in settings},
        "rounds": pl.Int64,
        "seconds": pl.Float64,
        "parameters": pl.Int64,
    }


def trials_frame(compared: dict[str, list[FrozenTrial]], spec: PipelineSpec) -> pl.DataFrame:
    settings = list(dict.fromkeys(name for arm in compared for name in search_space(spec, arm)))
    rows = []
    for architecture, trials in compared.items():
        space = search_space(spec, architecture)
        for position, trial in enumerate(trials):
            outcome = trial.user_attrs["outcome"]
            values = outcome["model"] | outcome["training"]
            rows.append(
                {
                    "architecture": architecture,
                    "trial": position,
                    "present": position == 0 and architecture == spec.model.architecture,
                    **{name: outcome[name] for name in ("state", "score", "rounds", "seconds", "parameters")},
                    **{f"score/{task.name}": outcome["scores"].get(task.name) for task in spec.tasks},
                    **{name: shown_value(values[name]) if name in space else None for name in settings},
                }
            )
    return pl.DataFrame(rows, schema=trials_schema(settings, spec.tasks))


def shown_value(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def importance_frame(compared: dict[str, list[FrozenTrial]], spec: PipelineSpec) -> pl.DataFrame:
    rows = []
    for architecture, trials in compared.items():
        settings = list(search_space(spec, architecture))
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        # Optuna leaves out a trial whose settings are not all in the space, as the declared ones may not be.
        scores = {trial.value for trial in complete if trial.params.keys() >= set(settings)}
        if len(complete) >= COMPLETE_FOR_IMPORTANCE and len(scores) > 1:
            shares = optuna.importance.get_param_importances(
                study_of(complete, architecture),
                evaluator=optuna.importance.FanovaImportanceEvaluator(seed=spec.seed),
                params=settings,
            )
            rows += [(architecture, setting, share) for setting, share in shares.items()]
    schema = {"architecture": pl.String, "setting": pl.String, "importance": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def study_of(trials: list[FrozenTrial], architecture: str) -> optuna.Study:
    """In memory, with these trials only."""
    study = optuna.create_study(study_name=architecture)
    study.add_trials(trials)
    return study


def best_settings(compared: dict[str, list[FrozenTrial]], spec: PipelineSpec, fingerprint: str) -> str:
    complete = [
        trial for trials in compared.values() for trial in trials if trial.state == TrialState.COMPLETE
    ]
    if not complete:
        raise UserError(
            "every trial diverged: lower the learning rates in tuning.learning_rate of defs.yaml, and look for "
            "extreme values among labels and features"
        )
    best = min(complete, key=lambda trial: trial.user_attrs["outcome"]["score"]).user_attrs["outcome"]
    return (
        f"# Search {fingerprint}: validation score {best['score']:.4f}. It was the lowest of {len(complete)} complete\n"
        "# trials and flatters for that reason: confirm it by `evaluation` after putting it into defs.yaml.\n"
        f"{''.join(section_lines(name, best[name]) for name in ('model', 'training'))}"
    )


def section_lines(section: str, settings: dict[str, Any]) -> str:
    """As one writes it in a defs.yaml: a line for each setting."""
    lines = "".join(
        yaml.safe_dump({name: value}, default_flow_style=None if isinstance(value, list) else False)
        for name, value in settings.items()
    )
    return f"{section}:\n{textwrap.indent(lines, '  ')}"
