"""What must hold of what is made from the tables: vectors, examples, models, predictions, recommendations."""

from __future__ import annotations

from collections.abc import Iterator

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.catalogue import limited
from mtl_pipeline.warehouse.checks.leaks import leak_checks
from mtl_pipeline.warehouse.checks.rules import Check, not_finite, parquet
from mtl_pipeline.warehouse.features.candidates import excluded_pairs, items_on_offer
from mtl_pipeline.warehouse.features.point_in_time import entity_ids, id_column, numeric_features
from mtl_pipeline.warehouse.templates import (
    quote_identifier,
    quote_identifiers,
    quote_literal,
    quote_literals,
)

FARTHEST_SHIFT = 1.0
"""Standard deviations. Features that grow with the log, such as a user's count so far, shift by up to 0.9 in the
pipelines of this project; a count within 30 days, over a log of which nine tenths were written in four months, by
1.3."""


def embedding_checks(paths: PipelinePaths, table: str, kind: str = "text") -> Iterator[Check]:
    """Checks of the vectors of users or items, of their texts or pictures."""
    key = id_column(table)
    vectors = f"read_parquet({quote_literal(paths.embeddings(table, kind))})"
    yield Check(
        "one_vector_per_row",
        f"Each row of {table} has one vector, and each vector a row.",
        f"SELECT coalesce(id, {key}) AS {key}, vectors, rows FROM "
        f"(SELECT id, count(*) AS vectors FROM {vectors} GROUP BY id) FULL JOIN "
        f"(SELECT {key}, count(*) AS rows FROM {table} GROUP BY {key}) ON id = {key} "
        "WHERE vectors IS DISTINCT FROM 1 OR rows IS DISTINCT FROM 1",
    )
    yield Check(
        "vectors_finite",
        "No vector holds NaN or infinity: it would spread through every product it enters.",
        f"SELECT id FROM {vectors} WHERE list_bool_or(list_transform(vector::FLOAT[], lambda x: NOT isfinite(x)))",
    )
    yield Check(
        "vectors_as_exact_ones",
        "On a sample, vectors are as near to those of PyTorch in float32 (mean cosine) as their precision "
        "allows: .99999 in float32, .999 in bfloat16, .99 in int8. Where they are not, choose `encoder.precision`.",
        "SELECT (made->>'cosine')::DOUBLE AS cosine, (made->>'wanted')::DOUBLE AS wanted FROM (SELECT "
        "CASE WHEN decode(key) = 'fidelity' THEN decode(value)::JSON END AS made FROM "
        f"parquet_kv_metadata({quote_literal(paths.embeddings(table, kind))})) WHERE cosine < wanted",
    )
    if kind == "image":
        yield Check(
            "pictures_present",
            "Every row has a picture that can be read: one without gets a vector of zeros, which tells the model "
            "nothing. The asset's log names some that are missing or broken.",
            f"SELECT id FROM {vectors} WHERE NOT list_bool_or(list_transform(vector, lambda x: x != 0))",
            blocking=False,
        )


def examples_checks(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Check]:
    examples = parquet(paths.examples / "examples.parquet")
    statistics = parquet(paths.examples / "statistics.parquet")
    yield Check(
        "example_ids_consecutive",
        "example_id numbers the rows from 0 in file order: predictions are joined by it.",
        f"SELECT example_id, row FROM (SELECT example_id, file_row_number AS row FROM {examples}) "
        "WHERE example_id IS DISTINCT FROM row",
    )
    yield Check(
        "splits_not_empty",
        "Train, validation and test all have rows where each task's label is observed. Where one has none, give it "
        "more room with `split`, or leave the task out.",
        " UNION ALL ".join(
            f"SELECT split, {quote_literal(task.name)} AS task FROM "
            "(VALUES ('train'), ('validation'), ('test')) AS splits(split) "
            f"ANTI JOIN (FROM {examples} WHERE {quote_identifier(task.name)} IS NOT NULL) USING (split)"
            for task in spec.tasks
        ),
    )
    yield Check(
        "statistics_finite",
        "Means and standard deviations of the numeric features are finite, the latter positive.",
        f"FROM {statistics} WHERE NOT (isfinite(mean) AND isfinite(standard_deviation) "
        "AND standard_deviation > 0)",
    )
    yield from label_checks(spec, examples)
    yield from feature_checks(spec, examples, statistics)
    yield from leak_checks(paths, spec)
    if spec.split.by_time:
        yield Check(
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
    if spec.negatives:
        yield from negatives_checks(spec, examples)


def label_checks(spec: PipelineSpec, examples: str) -> Iterator[Check]:
    def unvaried(*splits: str) -> str:
        return " UNION ALL ".join(
            f"SELECT split, {quote_literal(task.name)} AS task, any_value({label})::VARCHAR AS every_label "
            f"FROM {examples} WHERE split IN ({quote_literals(splits)}) AND {label} IS NOT NULL "
            f"GROUP BY split HAVING min({label}) = max({label})"
            for task in spec.tasks
            for label in [quote_identifier(task.name)]
        )

    yield Check(
        "labels_vary_in_train",
        "Each task has both classes in train, or at least two different labels where it is not binary: from "
        "one label alone nothing can be learned. Check how the label is made in sql/, or leave the task out.",
        unvaried("train"),
    )
    yield Check(
        "labels_vary_in_validation_and_test",
        "Each task has both classes, or at least two different labels, in validation and in test: without "
        "them thresholds, calibration and comparisons mean nothing, which counts against every new model. Widen "
        "the split, or check how the labels are made.",
        unvaried("validation", "test"),
        blocking=False,
        stops_training=True,
    )
    for task in spec.tasks:
        if task.given:
            yield Check(
                f"{task.name}_only_given_{task.given}",
                f"{task.name} is observed only where {task.given} happened.",
                f"FROM {examples} WHERE {quote_identifier(task.name)} IS NOT NULL "
                f"AND {quote_identifier(task.given)} IS DISTINCT FROM 1",
            )


def feature_checks(spec: PipelineSpec, examples: str, statistics: str) -> Iterator[Check]:
    numeric = {name: f"{quote_identifier(name)}::DOUBLE" for name, _ in numeric_features(spec)}
    if not numeric:
        return
    yield Check(
        "features_finite",
        "No numeric feature is NaN or infinite, in any split: where a value is unknown, deliver NULL.",
        f"SELECT example_id, split, {quote_identifiers(numeric)} FROM {examples} WHERE "
        + " OR ".join(f"NOT isfinite({value})" for value in numeric.values()),
    )
    means = " UNION ALL ".join(
        f"SELECT split, {quote_literal(name)} AS feature, "
        f"avg({f'ln(1 + {numeric[name]})' if transform == 'log1p' else numeric[name]}) AS mean_of_split "
        f"FROM {examples} GROUP BY split"
        for name, transform in numeric_features(spec)
    )
    yield Check(
        "features_alike_in_every_split",
        f"In validation and test no numeric feature's mean lies more than {FARTHEST_SHIFT:g} standard deviation of "
        "train away from that of train: a model has seen few such values, and its predictions for them may be "
        "entirely wrong. Counts shift while a log is young, and counts within days when it grows or thins out: leave "
        "them out, or take a mean instead.",
        f"SELECT split, feature, round((mean_of_split - mean) / standard_deviation, 2) AS standard_deviations "
        f"FROM ({means}) JOIN {statistics} USING (feature) "
        f"WHERE abs(mean_of_split - mean) > {FARTHEST_SHIFT} * standard_deviation",
        blocking=False,
    )


def negatives_checks(spec: PipelineSpec, examples: str) -> Iterator[Check]:
    assert spec.negatives is not None
    when, sign = {"never_met_before": ("up to", "<="), "same_moment": ("at", "=")}[spec.negatives.unmet]
    yield Check(
        "negatives_never_met",
        f"No sampled negative is an item that its user met {when} that moment. An item met later may be one: that "
        "was not known yet.",
        f"SELECT user_id, item_id, timestamp FROM {examples} AS examples WHERE sampled AND EXISTS (FROM interactions "
        "WHERE interactions.user_id = examples.user_id AND interactions.item_id = examples.item_id "
        f"AND interactions.timestamp {sign} examples.timestamp)",
    )
    if spec.available_from:
        available = quote_identifier(spec.available_from)
        yield Check(
            "negatives_available",
            "The item of every negative was available at its time: otherwise its age would give the negative away.",
            f"SELECT user_id, item_id, examples.timestamp, items.{available} FROM {examples} AS examples "
            f"JOIN items USING (item_id) WHERE sampled AND items.{available} > examples.timestamp",
        )


def model_checks(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Check]:
    log = f"read_json({quote_literal(paths.model / 'training_log.json')}, union_by_name = true)"
    yield Check(
        "losses_finite",
        "Every loss of the training log is finite: one that is not means that training diverged. Lower "
        "training.learning_rate, and look for extreme values among labels and features.",
        f"SELECT epoch, loss, value FROM (FROM {log}) UNPIVOT (value FOR loss IN (COLUMNS('_loss/'))) "
        "WHERE NOT isfinite(value::DOUBLE)",
    )
    if not spec.is_quick:  # a first look stops early on purpose
        yield Check(
            "stopped_improving",
            "Training is to end because no task improves any more. Where training.epochs runs out before, raise it.",
            f"SELECT epoch, name AS not_yet FROM (FROM {log} QUALIFY epoch = max(epoch) OVER ()) "
            "UNPIVOT (value FOR name IN (COLUMNS(* EXCLUDE (epoch)))) WHERE name LIKE 'frozen/%' AND value = 0",
            blocking=False,
        )


def baselines_checks(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Check]:
    predictions = parquet(paths.baselines / "predictions.parquet")
    examples = parquet(paths.examples / "examples.parquet")
    yield Check(
        "every_example_predicted",
        "Each validation and test example has one row: models are compared on the same rows.",
        f"SELECT example_id, rows FROM (FROM {examples} WHERE split <> 'train') FULL JOIN "
        f"(SELECT example_id, count(*) AS rows FROM {predictions} GROUP BY example_id) USING (example_id) "
        "WHERE split IS NULL OR rows IS DISTINCT FROM 1",
    )
    numbers = [task.name for task in spec.tasks if not task.classes]
    classes = [task.name for task in spec.tasks if task.classes]
    yield Check(
        "predictions_finite",
        "No prediction is missing, NaN or infinite.",
        " UNION ALL ".join(
            f"SELECT example_id, prediction, value::VARCHAR AS value FROM (FROM {predictions}) "
            f"UNPIVOT INCLUDE NULLS (value FOR prediction IN (COLUMNS('^prediction/[^/]+/({'|'.join(tasks)})$'))) "
            f"WHERE ({not_finite('value', is_list)}) IS NOT FALSE"
            for tasks, is_list in (
                (numbers, False),
                (classes, True),
            )  # what is unpivoted together has one type
            if tasks
        ),
    )


def evaluation_checks(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Check]:
    """Over decision.json: the evidence for the promotion, with comparisons against the constant answer."""
    decision = f"read_json({quote_literal(paths.evaluation / 'decision.json')})"
    for task in spec.tasks:
        yield Check(
            f"{task.name}_beats_constant",
            f"On the test rows the model beats a constant answer on {task.name}: the whole 95 % interval of "
            "the difference lies on the better side. Without an interval (fewer than ten users, one class only) "
            "this cannot be known. Give the test more rows with `split`, or the task more telling features.",
            f"SELECT task, line.* EXCLUDE (task) FROM (SELECT {quote_literal(task.name)} AS task) LEFT JOIN "
            f"(SELECT line.task AS task, line FROM (SELECT unnest(comparisons) AS line FROM {decision}) "
            "WHERE line.against = 'constant') USING (task) WHERE (line.outcome = 'better') IS NOT TRUE",
            blocking=False,
        )


def recommendations_checks(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Check]:
    recommendations = parquet(paths.recommendations)
    wanted = spec.recommendations.per_user
    met = excluded_pairs(spec)
    eligible = items_on_offer(spec)
    yield Check(
        "none_excluded",
        "No user is recommended an item that recommendations.exclude rules out.",
        f"SELECT user_id, item_id FROM {recommendations} SEMI JOIN {met} USING (user_id, item_id)",
    )
    yield Check(
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
    )
    if spec.recommendations.diversity or spec.recommendations.popularity_correction:
        return  # ranks are not by the score alone
    yield Check(
        "scores_fall_with_rank",
        "Scores are finite, and no item is ranked above one with a higher score.",
        f"SELECT user_id, item_id, rank, score FROM {recommendations} QUALIFY isfinite(score) IS NOT TRUE "
        "OR score > lag(score) OVER (PARTITION BY user_id ORDER BY rank)",
    )


def recommendations_warnings(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Check]:
    """Over figures.parquet, beside the page about the recommendations."""
    figures = parquet(paths.recommendations_report / "figures.parquet")
    for name, figure in limited(spec).items():
        yield Check(
            name.replace(" ", "_"),
            f"{name.capitalize()} should be {figure.limit}: {figure.meaning}.",
            f'SELECT figure, value, "limit" FROM {figures} WHERE figure = {quote_literal(name)} AND warns',
            blocking=False,
        )
