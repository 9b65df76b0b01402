"""Splits that a column decides: the official test of a data set, in a file or a column of its own.

The rows that are named are the test, exactly, and nothing of them is learned. What could carry the test into other rows
is refused, and so is what the column leaves unclear.
"""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths, project_root
from mtl_pipeline.spec import Backtest, PipelineSpec
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.warehouse.features.windows import plan_windows
from mtl_pipeline.warehouse.tables import build_table
from mtl_pipeline.workflows.__main__ import declared
from mtl_pipeline_tests.warehouse.shops import CENSUS, CENSUS_LOG

HEADER = "person,rich,degree,jobs,town,age"
FILES = {"column": "source_file", "values": {"test": ["official.csv"]}}


def person(number: int, town: str, age: int) -> str:
    return f"{number},{number % 2},{['none', 'bachelor', 'master'][number % 3]},{number % 5},{town},{age}"


def census(
    root: Path, split: dict, sql: str = CENSUS_LOG, tested: str = "Testville", age: int = 90
) -> tuple[PipelinePaths, PipelineSpec]:
    """400 people of seven towns in survey.csv; 100 of the town `tested`, as old as `age`, in official.csv."""
    attributes = CENSUS | {"split": split, "raw": {"users": None, "items": None, "interactions": "*.csv"}}
    paths, spec = PipelinePaths(root, "census"), PipelineSpec.model_validate(attributes)
    paths.sql.mkdir(parents=True)
    (paths.sql / "interactions.sql").write_text(sql)
    paths.raw.mkdir(parents=True)
    survey = [person(number, f"x{number % 7}", 20 + number % 50) for number in range(400)]
    official = [person(number, tested, age) for number in range(400, 500)]
    (paths.raw / "survey.csv").write_text("\n".join([HEADER, *survey]) + "\n")
    (paths.raw / "official.csv").write_text("\n".join([HEADER, *official]) + "\n")
    build_table(paths, spec, "interactions")
    return paths, spec


def published(paths: PipelinePaths, table: str = "examples") -> pl.DataFrame:
    return pl.read_parquet(paths.examples / f"{table}.parquet")


def people(paths: PipelinePaths, split: str) -> set[int]:
    return set(published(paths).filter(split=split)["person"])


def test_the_rows_of_the_named_file_are_the_test(tmp_path: Path) -> None:
    paths, spec = census(tmp_path, FILES | {"validation": 0.25})
    build_examples(paths, spec)
    assert people(paths, "test") == set(range(400, 500))
    assert 70 < len(people(paths, "validation")) < 130


def test_nothing_of_the_test_reaches_statistics(tmp_path: Path) -> None:
    """Other people in the test file: the same validation rows, statistics and vocabulary, without their town."""
    learned = []
    for folder, town, age in (("one", "Testville", 90), ("other", "Elsewhere", -5)):
        paths, spec = census(tmp_path / folder, FILES, tested=town, age=age)
        build_examples(paths, spec)
        learned.append(
            (people(paths, "validation"), published(paths, "statistics"), published(paths, "vocabulary"))
        )
        assert town not in published(paths, "vocabulary")["value"]
        ages = published(paths).filter(split="train")["age"]
        assert published(paths, "statistics")["mean"].to_list() == pytest.approx([ages.mean()])
    assert learned[0][0] == learned[1][0]
    assert all(one.equals(other) for one, other in zip(learned[0][1:], learned[1][1:], strict=True))


def test_validation_is_drawn_by_the_key_or_by_what_stays_together(tmp_path: Path) -> None:
    paths, spec = census(tmp_path / "towns", FILES | {"hash_by": ["town"], "validation": 0.3})
    build_examples(paths, spec)
    survey = published(paths).filter(pl.col("split") != "test")
    assert survey.group_by("town").agg(pl.col("split").n_unique())["split"].unique().to_list() == [1]


WORDS = CENSUS_LOG.replace(
    "source_file,",
    "CASE WHEN person::INTEGER % 10 = 0 THEN 'test' WHEN person::INTEGER % 10 = 1 THEN 'validation' ELSE 'train' END "
    "AS part, source_file,",
)


def test_a_column_may_hold_the_three_words(tmp_path: Path) -> None:
    paths, spec = census(tmp_path, {"column": "part"}, WORDS)
    build_examples(paths, spec)
    assert people(paths, "test") == set(range(0, 500, 10))
    assert people(paths, "validation") == set(range(1, 500, 10))


def test_a_column_may_hold_values_of_its_own(tmp_path: Path) -> None:
    values = {"train": ["0", "1"], "validation": ["2"], "test": ["3", "4"]}
    paths, spec = census(tmp_path, {"column": "jobs", "values": values})
    build_examples(paths, spec)
    assert published(paths).filter(pl.col("split") == "test")["jobs"].unique().sort().to_list() == [3, 4]
    assert published(paths).filter(pl.col("split") == "validation")["jobs"].unique().to_list() == [2]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            {"column": "source_file", "values": {"test": ["offical.csv"]}},
            "never has the value 'offical.csv', which `split.values` of defs.yaml gives to test; it has: survey.csv, "
            "official.csv",
        ),
        (
            {"column": "source_file"},
            "has the value 'survey.csv' in 400 rows, which belong to no split; name it in `split.values` of defs.yaml",
        ),
        (
            {"column": "part", "values": {"test": ["validation"]}},
            "split: column part of interactions is NULL in 450 rows, which belong to no split; deliver a value",
        ),
    ],
)
def test_what_a_column_leaves_unclear_is_refused(tmp_path: Path, split: dict, message: str) -> None:
    paths, spec = census(tmp_path, split, WORDS.replace("'train'", "NULL").replace("'test'", "NULL"))
    with pytest.raises(UserError, match=re.escape(message)):
        build_examples(paths, spec)


def test_a_column_that_the_interactions_lack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="part"):
        census(tmp_path, {"column": "part"})


CLICK = {"name": "click", "kind": "binary"}
SINCE = {"by": ["user_id"], "statistic": "count", "label": "click"}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            {"features": {"history": [SINCE]}},
            "split: column goes without features.history: history counts rows of the test",
        ),
        (
            {"negatives": {}},
            "split: column goes without negatives: they are drawn from what users had not met",
        ),
        (
            {"repeats": "merge"},
            "split: column goes without repeats: merge takes labels of events that may be in",
        ),
        ({"evaluation": {"backtest": {"training": "rolling"}}}, "training rolling goes with time"),
        ({"split": {"values": {"test": ["a"]}}}, "split: values goes with column"),
        ({"split": {"column": "part", "values": {"train": ["a"]}}}, "split: values names no value for test"),
        (
            {"split": {"column": "part", "values": {"train": ["a"], "test": ["a"]}}},
            "declared more than once: a",
        ),
        ({"split": {"column": "part", "train": 0.5}}, "with a column, train decides nothing"),
        ({"split": {"column": "part", "hash_by": ["user_id"]}}, "with a column, hash_by decides nothing"),
        (
            {"split": {"column": "part", "validation_from": "2026-01-01", "test_from": "2026-02-01"}},
            "split: a column or times decide, not both",
        ),
    ],
)
def test_what_could_carry_the_test_into_other_rows_is_refused(attributes: dict, message: str) -> None:
    declared = {"tasks": [CLICK], "interaction_key": ["user_id", "item_id"], "split": {"column": "part"}}
    with pytest.raises(ValidationError, match=re.escape(message)):
        PipelineSpec.model_validate(declared | attributes)


def test_there_is_one_test_so_there_is_no_backtest(tmp_path: Path) -> None:
    paths, spec = census(tmp_path, FILES)
    build_examples(paths, spec)
    with pytest.raises(
        UserError, match=r"split\.column source_file in defs.yaml says which rows are the test"
    ):
        plan_windows(paths.examples / "examples.parquet", spec, Backtest())


OFFICIAL = (
    "age,class_of_worker,detailed_industry_recode,detailed_occupation_recode,education,wage_per_hour,"
    "enroll_in_edu_inst_last_wk,marital_stat,major_industry_code,major_occupation_code,race,"
    "hispanic_origin,sex,member_of_a_labor_union,reason_for_unemployment,"
    "full_or_part_time_employment_stat,capital_gains,capital_losses,dividends_from_stocks,tax_filer_stat,"
    "region_of_previous_residence,state_of_previous_residence,detailed_household_and_family_stat,"
    "detailed_household_summary_in_household,migration_code-change_in_msa,migration_code-change_in_reg,"
    "migration_code-move_within_reg,live_in_this_house_1_year_ago,migration_prev_res_in_sunbelt,"
    "num_persons_worked_for_employer,family_members_under_18,country_of_birth_father,"
    "country_of_birth_mother,country_of_birth_self,citizenship,own_business_or_self_employed,"
    "fill_inc_questionnaire_for_veterans_admin,veterans_benefits,weeks_worked_in_year,income"
)


def test_census_full_tests_on_its_official_file(tmp_path: Path) -> None:
    """The pipeline as it is declared, over files in which only the people of the test are foresters."""
    spec, paths = declared("census_full"), PipelinePaths(tmp_path, "census_full")
    shutil.copytree(project_root() / "sql" / "census_full", paths.sql)
    paths.raw.mkdir(parents=True)
    for file, job in (("train", "Sales"), ("test", "Forestry")):
        values = dict.fromkeys(OFFICIAL.split(","), "0") | {
            "marital_stat": "Divorced",
            "class_of_worker": job,
        }
        text = "\n".join([OFFICIAL, *[",".join(values.values())] * 50])
        (paths.raw / f"{file}.csv.gz").write_bytes(gzip.compress(text.encode()))
    build_table(paths, spec, "interactions")
    build_examples(paths, spec)
    rows = published(paths)
    assert set(rows.filter(split="test")["class_of_worker"]) == {"Forestry"}
    assert set(rows.filter(pl.col("split") != "test")["class_of_worker"]) == {"Sales"}
    assert "Forestry" not in published(paths, "vocabulary")["value"]
