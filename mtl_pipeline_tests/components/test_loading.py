"""A wrong defs.yaml is refused with its file and line, what is wrong, and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mtl_pipeline.components import load_pipelines
from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import Model, PipelineSpec, Tuning
from mtl_pipeline.warehouse.tables import build_table
from mtl_pipeline_tests.components.orders import GOOD, Edit, refusal


def test_the_folder_names_the_pipeline(edit: Edit) -> None:
    definitions = load_pipelines(edit("", ""))
    assert {key.path[0] for key in definitions.resolve_asset_graph().get_all_asset_keys()} == {"orders"}


SHORTEST = """\
type: mtl_pipeline.components.MultiTaskPipeline
attributes:
  tasks:
    - {name: click, kind: binary}
"""
ROWS = {"users": "1,30,Ann", "items": "10,Hat", "interactions": "1,10,2026-01-01 10:00:00,1,0"}


def test_the_shortest_declaration_works(edit: Edit, root: Path) -> None:
    """Everything else has a default."""
    assert len(SHORTEST.splitlines()) < 25
    package = edit(GOOD, SHORTEST)
    assert load_pipelines(package).resolve_asset_graph().get_all_asset_keys()
    spec = PipelineSpec.model_validate(yaml.safe_load(SHORTEST)["attributes"])
    for table, row in ROWS.items():
        with (root / f"data/orders/raw/{table}.csv").open("a") as file:
            file.write(row + "\n")
        assert build_table(PipelinePaths(root, "orders"), spec, table).rows_kept == 1


REFUSALS = [
    # keys
    (
        "numeric: [age]",
        "numbers: [age]",
        (
            "defs.yaml:5: features.users.numbers: there is no such key (did you mean numeric?); the k"
            "eys are: categorical, numeric, text, further_texts, image"
        ),
    ),
    (
        "  tasks:\n",
        "  modle: {}\n  tasks:\n",
        "defs.yaml:8: modle: there is no such key (did you mean model?); the keys are: "
        + ", ".join(PipelineSpec.model_fields),
    ),
    (
        "  tasks:\n",
        "  model: {depth: 3}\n  tasks:\n",
        "defs.yaml:8: model.depth: there is no such key; the keys are: " + ", ".join(Model.model_fields),
    ),
    (
        "attributes:",
        "atributes:",
        (
            "defs.yaml:2: atributes: there is no such key (did you mean attributes?); the keys are: t"
            "ype, attributes, requirements, post_processing, template_vars_module"
        ),
    ),
    # values
    (
        "      kind: binary",
        "      kind: binery",
        (
            "defs.yaml:11: tasks.1.kind: Input should be 'binary', 'regression', 'count', 'multicla"
            "ss' or 'ordinal' (got 'binery') (did you mean binary?)"
        ),
    ),
    ("      kind: binary\n", "", "defs.yaml:10: tasks.1.kind: this key is missing"),
    (GOOD[GOOD.index("  tasks") :], "  seed: 1\n", "defs.yaml:2: tasks: this key is missing"),
    (
        "numeric: [age]",
        "numeric: age",
        "defs.yaml:5: features.users.numeric: Input should be a valid array (got 'age')",
    ),
    (
        "  tasks:\n",
        "  warehouse: {memory_limit: '0GB'}\n  tasks:\n",
        (
            "defs.yaml:8: warehouse.memory_limit: a size above zero and its unit, such as 4GB or 500MB "
            "(got '0GB')"
        ),
    ),
    (
        "  tasks:\n",
        "  warehouse: {memory_limit: '0.0 MB'}\n  tasks:\n",
        (
            "defs.yaml:8: warehouse.memory_limit: a size above zero and its unit, such as 4GB or 500MB "
            "(got '0.0 MB')"
        ),
    ),
    (
        "  tasks:\n",
        "  warehouse: {memory_limit: '4'}\n  tasks:\n",
        (
            "defs.yaml:8: warehouse.memory_limit: a size above zero and its unit, such as 4GB or 500MB "
            "(got '4')"
        ),
    ),
    (
        "  tasks:\n",
        "  warehouse: {memory_limit: '-1GB'}\n  tasks:\n",
        (
            "defs.yaml:8: warehouse.memory_limit: a size above zero and its unit, such as 4GB or 500MB "
            "(got '-1GB')"
        ),
    ),
    (
        "  tasks:\n",
        "  warehouse: {memory_limit: '4GB; DROP'}\n  tasks:\n",
        (
            "defs.yaml:8: warehouse.memory_limit: a size above zero and its unit, such as 4GB or 500MB "
            "(got '4GB; DROP')"
        ),
    ),
    (
        "  tasks:\n",
        "  warehouse: {memory_limit: 'lots'}\n  tasks:\n",
        (
            "defs.yaml:8: warehouse.memory_limit: a size above zero and its unit, such as 4GB or 500MB "
            "(got 'lots')"
        ),
    ),
    (
        "name: purchase",
        "name: Purchase",
        (
            "defs.yaml:10: tasks.1.name: a name is made of lower-case letters, digits and _, and star"
            "ts with a letter (got 'Purchase')"
        ),
    ),
    (
        "  tasks:\n",
        "  training: {epochs: 0}\n  tasks:\n",
        "defs.yaml:8: training.epochs: Input should be greater than or equal to 1 (got 0)",
    ),
    (
        "  tasks:\n",
        "  training: {learning_rate: .inf}\n  tasks:\n",
        "defs.yaml:8: training.learning_rate: Input should be a finite number (got inf)",
    ),
    (
        "  tasks:\n",
        "  seed: soon\n  tasks:\n",
        (
            "defs.yaml:8: seed: Input should be a valid integer, unable to parse string as an integer"
            " (got 'soon')"
        ),
    ),
    # tuning
    (
        "  tasks:\n",
        "  tuning:\n    learning_rate: {low: 0.01, high: 0.001}\n  tasks:\n",
        "defs.yaml:9: tuning: learning_rate: low 0.01 is not below high 0.001; null keeps the value that it has",
    ),
    (
        "  tasks:\n",
        "  tuning:\n    trials: 5\n    learning_rate: {low: 0, high: 0.001}\n  tasks:\n",
        "defs.yaml:10: tuning.learning_rate.low: Input should be greater than 0 (got 0)",
    ),
    (
        "  tasks:\n",
        "  tuning:\n    dropout:\n      low: 0.1\n      high: 1.5\n  tasks:\n",
        "defs.yaml:11: tuning.dropout.high: Input should be less than 1 (got 1.5)",
    ),
    (
        "  tasks:\n",
        "  tuning:\n    hidden: [[64], [0]]\n  tasks:\n",
        "defs.yaml:9: tuning.hidden.1.0: Input should be greater than or equal to 1 (got 0)",
    ),
    (
        "  tasks:\n",
        "  tuning: {batch_size: []}\n  tasks:\n",
        "defs.yaml:8: tuning.batch_size: List should have at least 1 item after validation, not 0 (got [])",
    ),
    (
        "  tasks:\n",
        "  tuning: {experts: [2, 2]}\n  tasks:\n",
        "defs.yaml:8: tuning: experts: declared more than once: 2",
    ),
    (
        "  tasks:\n",
        "  tuning: {architectures: [shared_bottom]}\n  tasks:\n",
        "defs.yaml:8: tuning: architectures lacks mmoe, which the model has and every other is compared with",
    ),
    (
        "  tasks:\n",
        "  tuning: {learning_rates: {low: 0.1, high: 1}}\n  tasks:\n",
        "defs.yaml:8: tuning.learning_rates: there is no such key (did you mean learning_rate?); the keys are: "
        + ", ".join(Tuning.model_fields),
    ),
    # tasks
    (
        "given: click",
        "given: clack",
        "defs.yaml:12: task purchase: given names 'clack'; the other tasks are: click",
    ),
    (
        "given: click",
        "given: purchase",
        "defs.yaml:12: task purchase: given names 'purchase'; the other tasks are: click",
    ),
    (
        "{name: click, kind: binary}",
        "{name: click, kind: binary, given: purchase}",
        "defs.yaml:9: tasks: given forms a cycle: click -> purchase -> click",
    ),
    (
        "{name: click, kind: binary}",
        "{name: click, kind: regression}\n    - {name: x, kind: binary}",
        "defs.yaml:13: task purchase: given names 'click', which is not binary",
    ),
    ("name: purchase", "name: click", "defs.yaml:10: tasks: declared more than once: click"),
    (
        "given: click",
        "given: click\n      loss: huber",
        ("defs.yaml:13: task purchase: a binary task has no loss huber; it may be: cross_entropy, focal"),
    ),
    (
        "given: click",
        "given: click\n      loss: focal\n      positive_weight: 2",
        ("defs.yaml:14: task purchase: positive_weight goes with a binary task and cross_entropy only"),
    ),
    (
        "given: click",
        "given: click\n      loss: focal\n  model: {architecture: esmm}",
        (
            "defs.yaml:13: task purchase: esmm learns its probability from that of both it and click, which only a "
            "plain cross_entropy makes right: leave out loss, or take another architecture"
        ),
    ),
    (
        "given: click",
        "given: click\n      classes: [a, b]",
        "defs.yaml:13: task purchase: classes goes with multiclass and ordinal only",
    ),
    (
        "kind: binary\n      given: click",
        "kind: multiclass\n      classes: [a, b]",
        (
            "defs.yaml:12: task purchase: a multiclass task lists at least three classes; two are a b"
            "inary task"
        ),
    ),
    (
        "kind: binary\n      given: click",
        "kind: multiclass\n      classes:\n        - a\n        - b\n        - a",
        "defs.yaml:15: task purchase: classes: declared more than once: a",
    ),
    # features, split, encoder, ids
    (
        "label: click",
        "label: clock",
        "defs.yaml:7: history: label names 'clock'; the labels are: click, purchase",
    ),
    ("by: [user_id]", "by: [user]", "defs.yaml:7: history: by names user; it may name: item_id, user_id"),
    (
        "  tasks:\n",
        "  evaluation:\n    slices: [device]\n  tasks:\n",
        "defs.yaml:9: evaluation: slices names 'device'; the categorical features are: none",
    ),
    ("numeric: [age]", "numeric: [age, age]", "defs.yaml:5: features: declared more than once: age"),
    (
        "numeric: [age]",
        "numeric: [click]",
        "defs.yaml:5: features: click may not be a feature: reserved or a label",
    ),
    (
        "  tasks:\n",
        "  split: {train: 0.9, validation: 0.1}\n  tasks:\n",
        ("defs.yaml:8: split: train 0.9 + validation 0.1 leaves no test rows; their sum must be below 1"),
    ),
    (
        "  tasks:\n",
        "  encoder: {package: a, hub: b}\n  tasks:\n",
        "defs.yaml:8: encoder: name exactly one of package, hub, folder (got: package, hub)",
    ),
    (
        "  tasks:\n",
        "  encoder: {package: a, revision: b}\n  tasks:\n",
        "defs.yaml:8: encoder: revision goes with hub only",
    ),
    (
        "  tasks:\n",
        "  image_encoder: {package: a, folder: b}\n  tasks:\n",
        "defs.yaml:8: image_encoder: name exactly one of package, hub, folder (got: package, folder)",
    ),
    (
        "numeric: [age]",
        "image: text",
        "defs.yaml:5: features.users.image names pictures, which need an encoder: declare image_encoder",
    ),
    (
        "numeric: [age]",
        "further_texts: [bio, bio]",
        "defs.yaml:5: further_texts: declared more than once: bio",
    ),
    (
        "numeric: [age]",
        "further_texts: [text]",
        "defs.yaml:5: further_texts names text, as text does",
    ),
    (
        "numeric: [age]",
        "text: null\n      further_texts: [bio]",
        "defs.yaml:6: further_texts stand beside text, which is null: name one of them there",
    ),
    (
        "numeric: [age]",
        "further_texts: [bio]",
        (
            "defs.yaml:5: features.users.further_texts: sql/orders/users.sql delivers no column bio; it delivers: "
            "user_id, age, text"
        ),
    ),
    (
        "attributes:\n  features:\n    users:\n      numeric: [age]",
        "attributes:\n  image_encoder: {package: a}\n  features:\n    users:\n      image: photo",
        (
            "defs.yaml:6: features.users.image: sql/orders/users.sql delivers no column photo; it deliv"
            "ers: user_id, age, text"
        ),
    ),
    (
        "  tasks:\n",
        "  ids: [user_id]\n  tasks:\n",
        "defs.yaml:8: ids lacks item_id, but raw.items names a file; set raw.items to null",
    ),
    (
        "  tasks:\n",
        "  raw: {users: null}\n  tasks:\n",
        "defs.yaml:4: features.users names columns, but raw.users names no file",
    ),
    (
        "  tasks:\n",
        "  split: {hash_by: [session]}\n  tasks:\n",
        "defs.yaml:8: split: hash_by names session; it may name: user_id, item_id",
    ),
    # names and labels that could not be told apart later
    (
        "    - name: purchase\n",
        "    - name: rank\n",
        "defs.yaml:10: task rank: the name is reserved; give it another, and `label: <its column>`",
    ),
    # schedule, recommendations, catalogue
    (
        "  tasks:\n",
        "  recommendations: {newest_days: 3}\n  tasks:\n",
        "defs.yaml:8: recommendations: newest_days needs available_from, the time an item was new",
    ),
    (
        "  tasks:\n",
        "  available_from: added\n  tasks:\n",
        "defs.yaml:8: available_from: sql/orders/items.sql delivers no column added; "
        "it delivers: item_id, text",
    ),
    (
        "  tasks:\n",
        "  schedule:\n    cron: nightly\n  tasks:\n",
        (
            "defs.yaml:9: schedule.cron: not a cron schedule: 'nightly'; it has five fields: minute, "
            "hour, day of the month, month, day of the week"
        ),
    ),
    (
        "  tasks:\n",
        "  schedule:\n    timezone: Mars\n  tasks:\n",
        "defs.yaml:9: schedule: there is no timezone 'Mars'; one looks like: UTC, Europe/Berlin",
    ),
    (
        "  tasks:\n",
        "  recommendations: {score: click + buy}\n  tasks:\n",
        ("defs.yaml:8: recommendations.score names buy; it may name: click, purchase, purchase_entire_space"),
    ),
    (
        "  tasks:\n",
        "  recommendations: {score: click +}\n  tasks:\n",
        ("defs.yaml:8: recommendations.score is no SQL expression: unable to parse 'click +' as Expr"),
    ),
    (
        "  tasks:\n",
        "  recommendations: {score: '1'}\n  tasks:\n",
        (
            "defs.yaml:8: recommendations.score names no prediction; it may name: click, purchase, pu"
            "rchase_entire_space"
        ),
    ),
    # columns that the SQL does not deliver
    (
        "numeric: [age]",
        "numeric: [aged]",
        (
            "defs.yaml:5: features.users.numeric: sql/orders/users.sql delivers no column aged (did y"
            "ou mean age?); it delivers: user_id, age, text"
        ),
    ),
    (
        "numeric: [age]",
        "text: bio",
        (
            "defs.yaml:5: features.users.text: sql/orders/users.sql delivers no column bio; it delive"
            "rs: user_id, age, text"
        ),
    ),
    (
        "name: purchase",
        "name: bought",
        (
            "defs.yaml:10: label of task bought: sql/orders/interactions.sql delivers no column bough"
            "t; it delivers: user_id, item_id, timestamp, click, purchase"
        ),
    ),
    (
        "given: click",
        "given: click\n      label: bought",
        (
            "defs.yaml:13: label of task purchase: sql/orders/interactions.sql delivers no column bou"
            "ght; it delivers: user_id, item_id, timestamp, click, purchase"
        ),
    ),
    (
        "  tasks:\n",
        "  interaction_key: [user_id, session]\n  tasks:\n",
        (
            "defs.yaml:8: interaction_key: sql/orders/interactions.sql delivers no column session; it"
            " delivers: user_id, item_id, timestamp, click, purchase"
        ),
    ),
    # the file itself
    (
        "MultiTaskPipeline",
        "MultitaskPipeline",
        (
            "defs.yaml:1: type: there is no mtl_pipeline.components.MultitaskPipeline; it is: mtl_pip"
            "eline.components.MultiTaskPipeline"
        ),
    ),
    ("type: mtl_pipeline.components.MultiTaskPipeline\n", "", "defs.yaml:1: type: this key is missing"),
]


@pytest.mark.parametrize(("old", "new", "message"), REFUSALS)
def test_message_names_file_line_and_what_is_allowed(edit: Edit, old: str, new: str, message: str) -> None:
    assert refusal(edit(old, new)) == message


UNCLEAR = [
    (GOOD, "", "defs.yaml:1: declares nothing: start with `type:` and `attributes:`, or delete the folder"),
    (
        GOOD,
        "# later\n",
        "defs.yaml:1: declares nothing: start with `type:` and `attributes:`, or delete the folder",
    ),
    (
        GOOD,
        "- one\n- two\n",
        "defs.yaml:1: declares nothing: start with `type:` and `attributes:`, or delete the folder",
    ),
    ("numeric: [age]", "numeric: [a\x00ge]", "defs.yaml:5: holds the character '\\x00'; delete it"),
    ("numeric: [age]", "numeric: [a\x1b[2Jge]", "defs.yaml:5: holds the character '\\x1b'; delete it"),
    (
        "  negatives: {per_positive: 4}",
        "  tasks:\n    - {name: like, kind: binary}\n",
        "defs.yaml:13: tasks stands here and in line 8; delete one",
    ),
    (
        "{name: click, kind: binary}",
        "{name: click, kind: binary, name: clack}",
        "defs.yaml:9: name stands here and in line 9; delete one",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), UNCLEAR)
def test_a_file_that_says_nothing_or_two_things_is_refused(
    edit: Edit, old: str, new: str, message: str
) -> None:
    """YAML takes the last of two values without a word, and Dagster an empty file for no pipeline."""
    assert refusal(edit(old, new)) == message


def test_a_file_that_is_not_utf_8_is_refused(edit: Edit) -> None:
    package = edit("", "")
    (package / "defs/orders/defs.yaml").write_bytes(GOOD.replace("click", "kl\xfcck").encode("latin-1"))
    assert refusal(package).startswith("defs.yaml: not UTF-8 (")


def test_aliases_that_circle_do_not_hang(edit: Edit) -> None:
    assert "defs.yaml" in refusal(edit("numeric: [age]", "numeric: &a [*a]"))


def test_the_name_of_the_folder_is_checked(edit: Edit) -> None:
    package = edit("", "")
    (package / "defs/orders").rename(package / "defs/My-Orders")
    assert refusal(package) == (
        f"{package}/defs/My-Orders: a folder that names a pipeline has a name such as news or shop_2"
    )


def test_missing_attributes(edit: Edit) -> None:
    package = edit(GOOD[GOOD.index("attributes") :], "")
    with pytest.raises(UserError, match=r"defs\.yaml: attributes is missing"):
        load_pipelines(package, strict=True)


def test_broken_yaml(edit: Edit) -> None:
    package = edit("[age]", "[age")
    with pytest.raises(UserError, match=r'not valid YAML: (.|\n)*defs\.yaml", line \d+'):
        load_pipelines(package, strict=True)
