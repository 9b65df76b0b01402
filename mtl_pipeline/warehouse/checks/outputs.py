"""What must hold of what is made from the tables: vectors, examples, models, predictions, recommendations."""

from __future__ import annotations

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import Negatives, PipelineSpec, Task
from mtl_pipeline.warehouse.checks.leaks import leak_checks
from mtl_pipeline.warehouse.checks.rules import Check, parquet
from mtl_pipeline.warehouse.features.candidates import items_on_offer
from mtl_pipeline.warehouse.features.point_in_time import entity_ids, id_column, numeric_features
from mtl_pipeline.warehouse.templates import (
    quote_identifier,
    quote_identifiers,
    quote_literal,
)

FARTHEST_SHIFT = 1.0
"""Standard deviations. Features that grow with the log, such as a user's count so far, shift by up to 0.9 in the
pipelines of this project; a count within 30 days, over a log of which nine tenths were written in four months, by
1.3."""


def embedding_checks(paths: PipelinePaths, table: str) -> list[Check]:
    """Checks of the text vectors of users or items."""
    key = id_column(table)
    vectors = f"read_parquet({quote_literal(paths.embeddings(table))})"
    return [
        Check(
            "one_vector_per_row",
            f"Each row of {table} has one vector, and each vector a row.",
            f"SELECT coalesce(id, {key}) AS {key}, vectors, rows FROM "
            f"(SELECT id, count(*) AS vectors FROM {vectors} GROUP BY id) FULL JOIN "
            f"(SELECT {key}, count(*) AS rows FROM {table} GROUP BY {key}) ON id = {key} "
            "WHERE vectors IS DISTINCT FROM 1 OR rows IS DISTINCT FROM 1",
        ),
        Check(
            "vectors_finite",
            "No vector holds NaN or infinity: it would spread through every product it enters.",
            f"SELECT id FROM {vectors} WHERE list_bool_or(list_transform(vector::FLOAT[], "
            "lambda x: NOT isfinite(x)))",
        ),
    ]


def examples_checks(paths: PipelinePaths, spec: PipelineSpec) -> list[Check]:
    examples = parquet(paths.examples / "examples.parquet")
    statistics = parquet(paths.examples / "statistics.parquet")
    checks = [
        Check(
            "example_ids_consecutive",
            "example_id numbers the rows from 0 in file order: predictions are joined by it.",
            f"SELECT example_id, row FROM (SELECT example_id, file_row_number AS row FROM {examples}) "
            "WHERE example_id IS DISTINCT FROM row",
        ),
        Check(
            "splits_not_empty",
            "Train, validation and test all have rows where each task's label is observed.",
            " UNION ALL ".join(
                f"SELECT split, {quote_literal(task.name)} AS task FROM "
                "(VALUES ('train'), ('validation'), ('test')) AS splits(split) "
                f"ANTI JOIN (FROM {examples} WHERE {quote_identifier(task.name)} IS NOT NULL) USING (split)"
                for task in spec.tasks
            ),
        ),
        Check(
            "statistics_finite",
            "Means and standard deviations of the numeric features are finite, the latter positive.",
            f"FROM {statistics} WHERE NOT (isfinite(mean) AND isfinite(standard_deviation) "
            "AND standard_deviation > 0)",
        ),
        *varied_checks(spec, examples),
        *finite_checks(spec, examples),
        *shift_checks(spec, examples, statistics),
        *given_checks(spec, examples),
        *leak_checks(paths, spec),
    ]
    if spec.split.hash_by is None:
        checks.append(time_order_check(examples))
    if spec.negatives:
        checks.append(negatives_check(spec.negatives, examples))
    if spec.negatives and spec.available_from:
        checks.append(availability_check(spec, examples))
    return checks


def negatives_check(negatives: Negatives, examples: str) -> Check:
    when, sign = {
        "never_met_before": ("up to", "<="),
        "same_moment": ("at", "="),
    }[negatives.unmet]
    return Check(
        "negatives_never_met",
        f"No sampled negative is an item that its user met {when} that moment. An item met later may be one: nobody "
        "could know.",
        f"SELECT user_id, item_id, timestamp FROM {examples} AS examples WHERE sampled AND EXISTS (FROM interactions "
        "WHERE interactions.user_id = examples.user_id AND interactions.item_id = examples.item_id "
        f"AND interactions.timestamp {sign} examples.timestamp)",
    )


def varied_checks(spec: PipelineSpec, examples: str) -> list[Check]:
    """Both classes of a binary task, and at least two different labels of any other."""

    def unvaried(*splits: str) -> str:
        return " UNION ALL ".join(
            f"SELECT split, {quote_literal(task.name)} AS task, any_value({label})::VARCHAR AS every_label "
            f"FROM {examples} WHERE split IN ({', '.join(map(quote_literal, splits))}) AND {label} IS NOT NULL "
            f"GROUP BY split HAVING min({label}) = max({label})"
            for task in spec.tasks
            for label in [quote_identifier(task.name)]
        )

    return [
        Check(
            "labels_vary_in_train",
            "Each task has both classes in train, or at least two different labels where it is not binary: of one "
            "label alone nothing can be learned.",
            unvaried("train"),
        ),
        Check(
            "labels_vary_in_validation_and_test",
            "Each task has both classes, or at least two different labels, in validation and in test: without, no "
            "threshold, calibration or comparison says anything, which speaks against every new model. Widen the "
            "split, or look at what the labels are made of.",
            unvaried("validation", "test"),
            blocking=False,
        ),
    ]


def finite_checks(spec: PipelineSpec, examples: str) -> list[Check]:
    names = [name for name, _ in numeric_features(spec)]
    if not names:
        return []
    wrong = " OR ".join(f"NOT isfinite({quote_identifier(name)}::DOUBLE)" for name in names)
    return [
        Check(
            "features_finite",
            "No numeric feature is NaN or infinite, in any split: where a value is unknown, deliver NULL.",
            f"SELECT example_id, split, {quote_identifiers(names)} FROM {examples} WHERE {wrong}",
        )
    ]


def shift_checks(spec: PipelineSpec, examples: str, statistics: str) -> list[Check]:
    shifts = " UNION ALL ".join(
        f"SELECT split, {quote_literal(name)} AS feature, avg({as_transformed(name, transform)}) AS mean_of_split "
        f"FROM {examples} GROUP BY split"
        for name, transform in numeric_features(spec)
    )
    if not shifts:
        return []
    return [
        Check(
            "features_alike_in_every_split",
            f"In validation and test no numeric feature's mean lies more than {FARTHEST_SHIFT:g} standard deviation of "
            "train away from that of train: of such values a model has seen few, and what it says of them may be wrong "
            "altogether. Counts shift while a log is young, and counts within days when it grows or thins out: leave "
            "them out, or take a mean instead.",
            f"SELECT split, feature, round((mean_of_split - mean) / standard_deviation, 2) AS standard_deviations "
            f"FROM ({shifts}) JOIN {statistics} USING (feature) "
            f"WHERE abs(mean_of_split - mean) > {FARTHEST_SHIFT} * standard_deviation",
            blocking=False,
        )
    ]


def as_transformed(name: str, transform: str) -> str:
    value = f"{quote_identifier(name)}::DOUBLE"
    return f"ln(1 + {value})" if transform == "log1p" else value


def availability_check(spec: PipelineSpec, examples: str) -> Check:
    available = quote_identifier(spec.available_from or "")
    return Check(
        "negatives_available",
        "Every negative was there at its time: one that was not would be told by its age.",
        f"SELECT user_id, item_id, examples.timestamp, items.{available} FROM {examples} AS examples "
        f"JOIN items USING (item_id) WHERE sampled AND items.{available} > examples.timestamp",
    )


def time_order_check(examples: str) -> Check:
    return Check(
        "splits_in_order_of_time",
        "No row of a split is older than any row of the split before it: the future would leak.",
        f"""
        SELECT earlier.split, earlier.last, later.split AS next_split, later.first
        FROM (SELECT split, max(timestamp) AS last FROM {examples} GROUP BY split) AS earlier
        JOIN (SELECT split, min(timestamp) AS first FROM {examples} GROUP BY split) AS later
            ON (earlier.split, later.split) IN (('train', 'validation'), ('validation', 'test'))
        WHERE later.first < earlier.last
        """,
    )


def given_checks(spec: PipelineSpec, examples: str) -> list[Check]:
    return [
        Check(
            f"{task.name}_only_given_{task.given}",
            f"{task.name} is observed only where {task.given} happened.",
            f"FROM {examples} WHERE {quote_identifier(task.name)} IS NOT NULL "
            f"AND {quote_identifier(task.given)} IS DISTINCT FROM 1",
        )
        for task in spec.tasks
        if task.given
    ]


def model_checks(paths: PipelinePaths) -> list[Check]:
    log = f"read_json({quote_literal(paths.model / 'training_log.json')}, union_by_name = true)"
    return [
        Check(
            "losses_finite",
            "Every loss of the training log is finite: one that is not means that training diverged.",
            f"SELECT epoch, loss, value FROM (FROM {log}) UNPIVOT (value FOR loss IN (COLUMNS('_loss/'))) "
            "WHERE NOT isfinite(value::DOUBLE)",
        ),
    ]


def baselines_checks(paths: PipelinePaths, spec: PipelineSpec) -> list[Check]:
    predictions = parquet(paths.baselines / "predictions.parquet")
    examples = parquet(paths.examples / "examples.parquet")
    return [
        Check(
            "every_example_predicted",
            "Each validation and test example has one row: models are compared on the same rows.",
            f"SELECT example_id, rows FROM (FROM {examples} WHERE split <> 'train') FULL JOIN "
            f"(SELECT example_id, count(*) AS rows FROM {predictions} GROUP BY example_id) USING (example_id) "
            "WHERE split IS NULL OR rows IS DISTINCT FROM 1",
        ),
        Check(
            "predictions_finite",
            "No prediction is missing, NaN or infinite.",
            " UNION ALL ".join(
                f"SELECT example_id, prediction, value::VARCHAR AS value FROM (FROM {predictions}) "
                f"UNPIVOT INCLUDE NULLS (value FOR prediction IN (COLUMNS({quote_literal(columns)}))) "
                f"WHERE ({wrong}) IS NOT FALSE"
                for columns, wrong in predictions_by_type(spec)
            ),
        ),
    ]


def predictions_by_type(spec: PipelineSpec) -> list[tuple[str, str]]:
    """A pattern of the predictions' columns of one type, and what is wrong with a `value` of theirs."""
    numbers = [task.name for task in spec.tasks if not task.classes]
    classes = [task.name for task in spec.tasks if task.classes]
    wrong_number = "NOT isfinite(value::DOUBLE)"
    wrong_class = "list_bool_or(list_transform(value::DOUBLE[], lambda x: x IS NULL OR NOT isfinite(x)))"
    return [
        (f"^prediction/[^/]+/({'|'.join(tasks)})$", wrong)
        for tasks, wrong in ((numbers, wrong_number), (classes, wrong_class))
        if tasks
    ]


def evaluation_checks(paths: PipelinePaths, spec: PipelineSpec) -> list[Check]:
    return [beats_constant_check(paths, task) for task in spec.tasks]


def beats_constant_check(paths: PipelinePaths, task: Task) -> Check:
    """Needs decision.json: the evaluation's evidence for the promotion, `comparisons` with the constant answer among
    them."""
    decision = f"read_json({quote_literal(paths.evaluation / 'decision.json')})"
    name = quote_literal(task.name)
    return Check(
        f"{task.name}_beats_constant",
        f"On the test rows the model beats a constant answer on {task.name}: the whole 95 % interval of the difference "
        "lies on the better side. Without an interval (fewer than ten users, one class only) nobody knows.",
        f"SELECT task, line.* EXCLUDE (task) FROM (SELECT {name} AS task) LEFT JOIN (SELECT line.task AS task, line "
        f"FROM (SELECT unnest(comparisons) AS line FROM {decision}) WHERE line.against = 'constant') USING (task) "
        "WHERE (line.outcome = 'better') IS NOT TRUE",
        blocking=False,
    )


def recommendations_checks(paths: PipelinePaths, spec: PipelineSpec) -> list[Check]:
    recommendations = parquet(paths.recommendations)
    wanted = spec.recommendations.per_user
    met = {
        "shown": "(SELECT DISTINCT user_id, item_id FROM interactions)",
        "chosen": "(SELECT DISTINCT user_id, item_id FROM interactions "
        f"WHERE {quote_identifier(spec.root_task.column)} > 0)",
        "nothing": "(SELECT user_id, item_id FROM interactions LIMIT 0)",
    }[spec.recommendations.exclude]
    eligible = items_on_offer(spec)
    return [
        Check(
            "none_excluded",
            "No user is recommended an item that recommendations.exclude rules out.",
            f"SELECT user_id, item_id FROM {recommendations} SEMI JOIN {met} USING (user_id, item_id)",
        ),
        Check(
            "ranks_complete",
            f"Every user has items ranked 1 to {wanted}, or every eligible item where fewer are left.",
            f"""
            SELECT user_id, expected, recommended, ranks
            FROM (
                SELECT
                    user_id,
                    least({wanted}, (SELECT count(*) FROM {eligible}) - count(item_id)) AS expected
                FROM {entity_ids(spec, "users")}
                LEFT JOIN (FROM {met} SEMI JOIN {eligible} USING (item_id)) USING (user_id)
                GROUP BY user_id
            )
            LEFT JOIN (
                SELECT user_id, count(DISTINCT item_id) AS recommended, list_sort(list(rank)) AS ranks
                FROM {recommendations} GROUP BY user_id
            ) USING (user_id)
            WHERE coalesce(recommended, 0) <> expected
                OR coalesce(ranks, [])::BIGINT[] <> range(1, expected + 1)
            """,
        ),
        Check(
            "scores_fall_with_rank",
            "Scores are finite, and no item is ranked above one with a higher score.",
            f"SELECT user_id, item_id, rank, score FROM {recommendations} QUALIFY isfinite(score) IS NOT TRUE "
            "OR score > lag(score) OVER (PARTITION BY user_id ORDER BY rank)",
        ),
    ]
