"""Signs that examples give away what they should let the model find out. They warn: a strong feature may be honest."""

from __future__ import annotations

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.paths import COMMON_SQL, PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.checks.rules import Check, parquet
from mtl_pipeline.warehouse.features.point_in_time import numeric_features
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literal, render_sql

ROWS_SEEN = 200_000
"""About so many rows are looked at, however many there are."""
TELLING_ROC_AUC = 0.95
"""Of one feature alone. Of all features in this project's pipelines one is above it, a person's place in the household
for whether they ever married (.978), which is half the label."""
LEAST_OF_A_CLASS = 25
"""Rows of each class that a ROC-AUC of this height needs to be no accident."""
OF_THE_ITEM = 0.9
"""Share of the errors in guessing a column that knowing the item saves (the lambda of Goodman and Kruskal 1954,
https://doi.org/10.1080/01621459.1954.10501231) from which on the column belongs to the item."""
RARELY_MISSING = 0.05


def leak_checks(paths: PipelinePaths, spec: PipelineSpec) -> list[Check]:
    examples = parquet(paths.examples / "examples.parquet")
    return [
        *telling_feature_checks(spec, examples),
        *copied_column_checks(spec),
        *unknown_moment_checks(paths, spec, examples),
    ]


def telling_feature_checks(spec: PipelineSpec, examples: str) -> list[Check]:
    tasks = [task.name for task in spec.tasks if KINDS[task.kind].is_event]
    numeric, categorical = [name for name, _ in numeric_features(spec)], spec.categorical_features
    if not tasks or not (numeric or categorical):
        return []
    return [
        Check(
            "no_feature_tells_the_label",
            f"No single feature has a ROC-AUC of {TELLING_ROC_AUC:g} or more for a task: one that does is mostly made "
            "of the label, or of what came after it, or it tells sampled negatives from positives. With negatives that "
            "were never met before, a count by user_id and item_id does: see `negatives.unmet`.",
            render_sql(
                COMMON_SQL / "telling_features.sql",
                examples=examples,
                tasks=tasks,
                numeric=numeric,
                categorical=categorical,
                rows=ROWS_SEEN,
                threshold=TELLING_ROC_AUC,
                least_of_a_class=LEAST_OF_A_CLASS,
            ),
            blocking=False,
        )
    ]


def copied_column_checks(spec: PipelineSpec) -> list[Check]:
    """A negative has the features of interactions of its positive, so one that belongs to the item, such as its price,
    is that of another item there."""
    if not (spec.negatives and spec.context_features):
        return []
    return [
        Check(
            "negatives_copy_no_column_of_items",
            f"A sampled negative copies {', '.join(spec.context_features)} from its positive; none of them is "
            "determined by the item, else it would tell negatives from positives. Move such a column to "
            "`features.items`.",
            " UNION ALL ".join(belongs_to_item(name) for name in spec.context_features),
            blocking=False,
        )
    ]


def belongs_to_item(column: str) -> str:
    """SQL with a row if the column is nearly always the same for one item, and not for all. Items are sampled, not
    rows: of an item seen once nothing can be said."""
    value = f"{quote_identifier(column)}::VARCHAR"
    return (
        f'SELECT {quote_literal(column)} AS "column", round((within - overall) / (1 - overall), 3) AS of_the_item '
        "FROM (SELECT sum(most) / sum(rows) AS within, max(in_all) / any_value(every) AS overall FROM ("
        "SELECT item_id, max(rows) AS most, sum(rows) AS rows, max(in_all) AS in_all, any_value(every) AS every FROM ("
        "SELECT *, sum(rows) OVER (PARTITION BY value) AS in_all, sum(rows) OVER () AS every FROM ("
        f"SELECT item_id, {value} AS value, count(*) AS rows FROM interactions WHERE value IS NOT NULL "
        f"AND hash(item_id) % (SELECT 1 + count(*) // {ROWS_SEEN} FROM interactions) = 0 GROUP BY ALL)) "
        "GROUP BY item_id HAVING sum(rows) > 1)) "
        f"WHERE overall < 1 AND (within - overall) / (1 - overall) >= {OF_THE_ITEM}"
    )


def unknown_moment_checks(paths: PipelinePaths, spec: PipelineSpec, examples: str) -> list[Check]:
    """The features of interactions, which recommendations do not have."""
    if not (spec.recommends and spec.context_features):
        return []
    declared = spec.recommendations.context
    missing = [
        f"SELECT {quote_literal(name)} AS feature, 'unknown when recommending' AS problem FROM {examples} "
        f"WHERE split = 'train' HAVING avg(({quote_identifier(name)} IS NULL)::INTEGER) < {RARELY_MISSING}"
        for name in spec.context_features
        if name not in declared
    ]
    vocabulary = parquet(paths.examples / "vocabulary.parquet")
    strange = [
        f"SELECT {quote_literal(name)}, {quote_literal(f'{value} never seen in training')} WHERE NOT EXISTS ("
        f"FROM {vocabulary} WHERE feature = {quote_literal(name)} AND value = {quote_literal(value)})"
        for name, value in declared.items()
        if name in spec.features.interactions.categorical
    ]
    if not (missing or strange):
        return []
    return [
        Check(
            "recommendations_know_their_moment",
            "What training knew of nearly every interaction, recommendations know too: the moment that they assume is "
            "declared (recommendations.context), in values that training has seen. Where it is not, the model answers "
            "for an unknown category or an average number.",
            " UNION ALL ".join([*missing, *strange]),
            blocking=False,
        )
    ]
