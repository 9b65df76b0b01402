"""What a pipeline's model misses of the ceiling: `make demo PIPELINE=shop`, then `python benchmarks/missed.py shop`.

Only for simulated logs of the default size and seed, whose truth is drawn again. The error of a prediction is the true
log odds minus the predicted ones (of ratings: stars), on the validation and test rows where the task was observed. It
is regressed on the parts that the truth is the sum of: a user's taste as far as age and gender explain it, the rest of
that taste, the rest of the second trait (see attainable.py), an item's individual appeal, and all else, which every row
shows. Printed is the share of the error's variance by part, with the slope: how much of the part is missed, 1 all of
it. What no part explains is noise: what the network made of labels that are few.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
import yaml
from attainable import HIDDEN, Log, read_log, taste_prior

import mtl_pipeline.defs
from mtl_pipeline.learning.ranker.ranker import predict_examples
from mtl_pipeline.paths import PipelinePaths, project_root
from mtl_pipeline.predictions import CANDIDATE, prediction_column
from mtl_pipeline.simulation.scenario import Scenario
from mtl_pipeline.simulation.shop import Shop, expected_stars
from mtl_pipeline.simulation.simulate import draw_world
from mtl_pipeline.spec import PipelineSpec

INTERACTIONS, SEED = 200_000, 0


def parts(world: Scenario, log: Log, task: int) -> dict[str, np.ndarray]:
    """By name, float [rows]: what the logit of a task is the sum of."""
    hidden, items = HIDDEN[type(world)], world.items
    known, _ = taste_prior(world, favourites=False)
    share, weight = world.main_share[log.item], hidden.affinity[task]

    def of_taste(taste: np.ndarray) -> np.ndarray:
        main, second = (taste[log.user, topic[log.item]] for topic in (items.main_topic, items.second_topic))
        return weight * (share * main + (1 - share) * second)

    mean, _ = hidden.second_prior(world)
    factor = np.array([hidden.second(world, item)[task] for item in range(len(items))], dtype=float)[log.item]
    found = {
        "taste by age and gender": of_taste(known),
        "taste of one's own": of_taste(world.users.taste - known),
        "second trait of one's own": factor * (hidden.second_true(world) - mean)[log.user],
        "appeal of an item": hidden.appeal(world)[log.item] * (task == 0),
    }
    return found | {"all else": log.logit[:, task] - sum(found.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pipeline", choices=[world.name for world in HIDDEN])
    name = parser.parse_args().pipeline
    declared = Path(mtl_pipeline.defs.__file__ or "").parent / name / "defs.yaml"
    spec = PipelineSpec.model_validate(yaml.safe_load(declared.read_text())["attributes"])
    paths = PipelinePaths(project_root(), name)
    world = draw_world(name, INTERACTIONS, SEED)
    log = read_log(world, INTERACTIONS, SEED)
    ids = [pl.col(name).cast(pl.Int64) for name in spec.ids]
    truth = pl.read_parquet(paths.truth).select(*ids, "timestamp").with_row_index("row")
    predicted = predict_examples(paths, spec, paths.model).join(truth, on=[*spec.ids, "timestamp"])
    for number, task in enumerate(spec.tasks):
        rows = predicted.filter(pl.col(f"label/{task.name}").is_not_null())
        said = rows[prediction_column(CANDIDATE, task.name)].to_numpy().astype(float)
        at, stars = rows["row"].to_numpy(), isinstance(world, Shop) and number == 2
        logit = log.logit[at, number]
        true = expected_stars(logit) if stars else logit
        error = true - (said if stars else np.log(said / (1 - said)))
        columns = {part: values[at] for part, values in parts(world, log, number).items()}
        matrix = np.column_stack([*columns.values(), np.ones(len(at))])
        slopes = np.linalg.lstsq(matrix, error, rcond=None)[0]
        print(f"{task.name}: variance of the error {error.var():.3f}, of the truth {true.var():.3f}")
        for slope, (part, values) in zip(slopes, columns.items(), strict=False):
            print(f"    {part}: {slope**2 * values.var() / error.var():.2f} (slope {slope:+.2f})")
        print(f"    noise: {(error - matrix @ slopes).var() / error.var():.2f}")


if __name__ == "__main__":
    main()
