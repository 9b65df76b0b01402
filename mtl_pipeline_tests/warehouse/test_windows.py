"""Windows of a backtest: what trains lies before what tests, and what is learned comes from it alone."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import Backtest, PipelineSpec
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.warehouse.features.windows import (
    PlannedWindow,
    TimeWindow,
    build_window,
    plan_windows,
    users_tested,
)
from mtl_pipeline_tests.conftest import TinyPipeline
from mtl_pipeline_tests.warehouse.shops import CENSUS, CENSUS_LOG, prepare, shop

DEVICES = ["phone", "tablet", "desktop"]


def shop_spec(**changes: object) -> PipelineSpec:
    features = {
        "interactions": {"categorical": ["device"], "numeric": ["position"]},
        "history": [{"by": ["user_id"], "statistic": "count", "label": "click"}],
    }
    return PipelineSpec.model_validate(
        {
            "raw": {"users": None, "items": None},
            "features": features,
            "tasks": [
                {"name": "click", "kind": "binary"},
                {"name": "stars", "kind": "regression", "given": "click"},
            ],
        }
        | changes
    )


def shop_examples(rows: int = 400) -> pl.DataFrame:
    """As build_examples publishes them: two rows a moment, position grows with time, and a device comes late."""
    rng = np.random.default_rng(0)
    place = np.arange(rows)
    click = rng.integers(2, size=rows)
    return pl.DataFrame(
        {
            "example_id": place,
            "user_id": rng.integers(20, size=rows),
            "item_id": [f"i{number}" for number in rng.integers(30, size=rows)],
            "timestamp": pl.Series(place // 2 * 3_600_000_000, dtype=pl.Int64).cast(pl.Datetime("us")),
            "split": np.where(
                place < 0.8 * rows, "train", np.where(place < 0.9 * rows, "validation", "test")
            ),
            "click": click.astype(float),
            "stars": np.where(click == 1, rng.integers(1, 6, size=rows), np.nan),
            "device": np.where(place > 0.78 * rows, "watch", np.array(DEVICES)[place % 3]),
            "position": place.astype(float),
            "user_click_count": (place % 7).astype(float),
        }
    ).with_columns(pl.col("stars").fill_nan(None))


def paths_with(root: Path, examples: pl.DataFrame) -> PipelinePaths:
    """Of a pipeline whose examples are published."""
    paths = PipelinePaths(root, "shop")
    paths.examples.mkdir(parents=True)
    examples.write_parquet(paths.examples / "examples.parquet")
    return paths


def made_windows(
    paths: PipelinePaths, spec: PipelineSpec, target: Path, backtest: Backtest | None = None
) -> list[tuple[PlannedWindow, dict[str, pl.DataFrame]]]:
    """Each planned window with its three tables."""
    source = paths.examples / "examples.parquet"
    made = []
    for planned in plan_windows(source, spec, backtest or spec.evaluation.backtest):
        folder = target / str(planned.window.number)
        build_window(spec, planned.window, source=source, target=folder)
        tables = {
            name: pl.read_parquet(folder / f"{name}.parquet")
            for name in ("examples", "statistics", "vocabulary")
        }
        made.append((planned, tables))
    return made


def times(examples: pl.DataFrame, split: str) -> tuple[datetime, datetime]:
    part = examples.filter(pl.col("split") == split)["timestamp"]
    first, last = part.min(), part.max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    return first, last


@pytest.mark.parametrize("training", ["expanding", "rolling"])
def test_what_trains_lies_before_what_validates_and_that_before_what_tests(
    tmp_path: Path, training: str
) -> None:
    paths, spec = paths_with(tmp_path / "root", shop_examples()), shop_spec()
    backtest = Backtest.model_validate({"windows": 4, "training": training})
    made = made_windows(paths, spec, tmp_path / "made", backtest)
    end_of_test = None
    for planned, tables in made:
        train, validation, test = (
            times(tables["examples"], split) for split in ("train", "validation", "test")
        )
        assert train[1] < validation[0] <= validation[1] < test[0]
        assert end_of_test is None or end_of_test < test[0]
        end_of_test = test[1]
        known = planned.parts["train"].rows + planned.parts["validation"].rows
        assert planned.parts["train"].rows / known == pytest.approx(8 / 9, abs=0.02)
        assert planned.parts["test"].rows == pytest.approx(40, abs=2)
    trained = [planned.parts["train"].rows for planned, _ in made]
    if training == "expanding":
        assert trained == sorted(set(trained))
        assert {times(tables["examples"], "train")[0] for _, tables in made} == {datetime(1970, 1, 1)}
    else:
        assert max(trained) - min(trained) <= 4


def test_the_last_window_is_the_pipelines_own_split(tmp_path: Path) -> None:
    examples = shop_examples()
    paths = paths_with(tmp_path / "of_shop", examples)
    *_, (planned, tables) = made_windows(paths, shop_spec(), tmp_path / "made")
    assert planned.window.is_test_split
    assert tables["examples"].equals(examples)


def test_windows_test_consecutive_rows_each_once(tmp_path: Path) -> None:
    examples = shop_examples()
    made = made_windows(paths_with(tmp_path / "root", examples), shop_spec(), tmp_path / "made")
    tested = pl.concat([tables["examples"].filter(pl.col("split") == "test") for _, tables in made])
    assert tested["example_id"].to_list() == examples["example_id"].to_list()[-tested.height :]


def test_statistics_and_vocabulary_are_those_of_each_windows_own_training_rows(tmp_path: Path) -> None:
    paths, spec = paths_with(tmp_path / "root", shop_examples()), shop_spec()
    means = []
    for _, tables in made_windows(paths, spec, tmp_path / "made"):
        train = tables["examples"].filter(pl.col("split") == "train")
        found = {row["feature"]: row for row in tables["statistics"].iter_rows(named=True)}
        for feature, values in (
            ("position", train["position"].to_numpy()),
            ("user_click_count", np.log1p(train["user_click_count"].to_numpy())),
        ):
            assert found[feature]["mean"] == pytest.approx(values.mean(), rel=1e-9)
            assert found[feature]["standard_deviation"] == pytest.approx(values.std(), rel=1e-9)
        means.append(found["position"]["mean"])
        for column in ("device", "item_id", "user_id"):
            known = tables["vocabulary"].filter(pl.col("feature") == column)
            counts = train[column].cast(pl.String).value_counts()
            assert dict(known.select("value", "frequency").rows()) == dict(counts.rows())
    assert len(set(means)) == 3
    devices = [
        set(tables["vocabulary"].filter(pl.col("feature") == "device")["value"])
        for _, tables in made_windows(paths, spec, tmp_path / "again")
    ]
    assert devices == [set(DEVICES), set(DEVICES), {*DEVICES, "watch"}]


def test_rows_after_a_window_change_nothing_of_it(tmp_path: Path) -> None:
    examples, spec = shop_examples(), shop_spec()
    first = made_windows(paths_with(tmp_path / "root", examples), spec, tmp_path / "made")
    end = first[0][0].parts["test"].end
    later = pl.col("timestamp") > end
    changed = examples.with_columns(
        pl.when(later).then(1 - pl.col("click")).otherwise("click").alias("click"),
        pl.when(later).then(1e6).otherwise("position").alias("position"),
        pl.when(later).then(pl.lit("toaster")).otherwise("device").alias("device"),
    )
    again = made_windows(paths_with(tmp_path / "changed", changed), spec, tmp_path / "made_again")
    assert again[0][0] == first[0][0]
    assert all(again[0][1][name].equals(table) for name, table in first[0][1].items())
    assert not again[2][1]["examples"].equals(first[2][1]["examples"])


def test_sampled_negatives_stay_with_their_positive(tiny_pipeline: TinyPipeline, tmp_path: Path) -> None:
    from mtl_pipeline.warehouse.tables import build_table

    paths, spec = tiny_pipeline.paths, tiny_pipeline.spec
    for table in spec.tables:
        build_table(paths, spec, table)
    build_examples(paths, spec)
    for _, tables in made_windows(paths, spec, tmp_path / "made"):
        examples = tables["examples"]
        moments = examples.group_by("user_id", "timestamp").agg(
            pl.col("split").n_unique(), pl.len(), pl.col("watched").sum()
        )
        assert moments["split"].to_list() == [1] * moments.height
        assert (moments["len"] == 5 * moments["watched"]).all()


def census(root: Path, **changes: object) -> tuple[PipelinePaths, PipelineSpec]:
    rng = np.random.default_rng(1)
    degrees = ["none", "bachelor", "master"]
    lines = [
        f"{person},{rng.integers(2)},{degrees[rng.integers(3)]},{rng.poisson(1)},town{person % 40},{20 + person % 50}"
        for person in range(600)
    ]
    paths, spec = prepare(root, CENSUS_LOG, CENSUS | changes, "person,rich,degree,jobs,town,age", lines)
    build_examples(paths, spec)
    return paths, spec


@pytest.mark.parametrize("folds", [3, 5])
def test_folds_are_a_partition_and_keep_groups_whole(tmp_path: Path, folds: int) -> None:
    paths, spec = census(tmp_path / "root", split={"hash_by": ["town"]})
    made = made_windows(paths, spec, tmp_path / "made", Backtest(windows=folds))
    everything = set(pl.read_parquet(paths.examples / "examples.parquet")["example_id"])
    tested: list[int] = []
    for planned, tables in made:
        examples = tables["examples"]
        assert set(examples["example_id"]) == everything
        assert examples.group_by("town").agg(pl.col("split").n_unique())["split"].to_list() == [1] * 40
        tested += examples.filter(pl.col("split") == "test")["example_id"].to_list()
        assert not planned.window.is_test_split
    assert sorted(tested) == sorted(everything)


def test_as_many_folds_as_the_test_split_goes_into_the_rows_end_with_that_split(tmp_path: Path) -> None:
    paths, spec = census(tmp_path / "root")
    *_, (_, tables) = made_windows(paths, spec, tmp_path / "made", Backtest(windows=10))
    examples = pl.read_parquet(paths.examples / "examples.parquet")
    assert tables["examples"].equals(examples)
    assert tables["statistics"].equals(pl.read_parquet(paths.examples / "statistics.parquet"))


def test_too_many_windows_for_the_test_split(tmp_path: Path) -> None:
    paths, spec = paths_with(tmp_path / "root", shop_examples()), shop_spec()
    with pytest.raises(UserError, match=r"10 windows as long as the test split, 10% .* choose at most 9"):
        plan_windows(paths.examples / "examples.parquet", spec, Backtest(windows=10))
    assert len(plan_windows(paths.examples / "examples.parquet", spec, Backtest(windows=9))) == 9


def test_too_few_distinct_times(tmp_path: Path) -> None:
    examples = shop_examples().with_columns(
        pl.when(pl.col("example_id") < 270)
        .then(datetime(1969, 1, 1))
        .otherwise("timestamp")
        .alias("timestamp")
    )
    paths, spec = paths_with(tmp_path / "root", examples), shop_spec()
    with pytest.raises(
        UserError, match=r"window 1 of 3 has no rows for train: .* share one timestamp; choose fewer"
    ):
        plan_windows(paths.examples / "examples.parquet", spec, Backtest())
    one_time = examples.with_columns(
        pl.when(pl.col("split") == "test")
        .then("timestamp")
        .otherwise(datetime(1969, 1, 1))
        .alias("timestamp")
    )
    paths = paths_with(tmp_path / "one", one_time)
    with pytest.raises(UserError, match="too few distinct times for 3 test windows"):
        plan_windows(paths.examples / "examples.parquet", spec, Backtest())


def test_a_task_that_a_window_cannot_learn(tmp_path: Path) -> None:
    examples = shop_examples().with_columns(
        pl.when(pl.col("example_id") > 300).then("stars").otherwise(None).alias("stars")
    )
    paths, spec = paths_with(tmp_path / "root", examples), shop_spec()
    with pytest.raises(UserError, match="window 1 of 3: no row for train has a label of task stars"):
        plan_windows(paths.examples / "examples.parquet", spec, Backtest())


def test_a_task_without_labels_to_test_on_is_planned(tmp_path: Path) -> None:
    examples = shop_examples().with_columns(
        pl.when(pl.col("split") == "test").then(None).otherwise("stars").alias("stars")
    )
    paths, spec = paths_with(tmp_path / "root", examples), shop_spec()
    planned = plan_windows(paths.examples / "examples.parquet", spec, Backtest())
    assert [one.parts["test"].labels["stars"] > 0 for one in planned] == [True, True, False]


def test_tested_users_are_those_of_any_test_rows(tmp_path: Path) -> None:
    examples, spec = shop_examples(), shop_spec()
    examples = examples.with_columns(
        pl.when(pl.col("example_id") < 10).then(99).otherwise("user_id").alias("user_id")
    )
    paths = paths_with(tmp_path / "root", examples)
    source = paths.examples / "examples.parquet"
    planned = plan_windows(source, spec, Backtest())
    users = users_tested(source, spec, planned)
    first = planned[0].window
    assert isinstance(first, TimeWindow)
    expected = examples.filter(pl.col("timestamp") >= first.test_start)["user_id"].unique().sort()
    assert users is not None
    assert users.to_list() == expected.to_list()
    assert 99 not in users


def test_a_chain_of_tasks_keeps_its_masks(tmp_path: Path) -> None:
    paths, spec = shop(tmp_path / "root")
    build_examples(paths, spec)
    for _, tables in made_windows(paths, spec, tmp_path / "made", Backtest(windows=2)):
        broken = tables["examples"].filter(pl.col("click") == 0)
        assert broken["purchase"].null_count() == broken.height
