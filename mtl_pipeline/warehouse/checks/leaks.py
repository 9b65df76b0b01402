"""Signs that examples give away what they should let the model find out. They warn: a strong feature may be honest."""

from __future__ import annotations

from collections.abc import Iterator

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.paths import COMMON_SQL, PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.checks.rules import Check, parquet
from mtl_pipeline.warehouse.features.point_in_time import numeric_features
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literal, render_sql

ROWS_SEEN = 200_000
"""About this many rows are looked at, however many there are."""
TELLING_ROC_AUC = 0.95
"""Of one feature alone. Only one feature in this project's pipelines exceeds it: a person's place in the household, for
whether they ever married (.978), which is half the label."""
LEAST_OF_A_CLASS = 25
"""Rows of each class below which a ROC-AUC this high may be chance."""
OF_THE_ITEM = 0.9
"""A column belongs to the item when knowing the item avoids at least this share of the errors in guessing the column
(the lambda of Goodman and Kruskal 1954, https://doi.org/10.1080/01621459.1954.10501231)."""
RARELY_MISSING = 0.05


def leak_checks(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Check]:
    examples = parquet(paths.examples / "examples.parquet")
    tasks = [task.name for task in spec.tasks if KINDS[task.kind].is_event]
    numeric, categorical = [name for name, _ in numeric_features(spec)], spec.categorical_features
    if tasks and (numeric or categorical):
        yield Check(
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
    if spec.negatives and spec.context_features:
        # A negative has the features of interactions of its positive: one that belongs to the item, such as its
        # price, is that of another item there.
        yield Check(
            "negatives_copy_no_column_of_items",
            f"A sampled negative copies {', '.join(spec.context_features)} from its positive; none of them is "
            "determined by the item, else it would tell negatives from positives. Move such a column to "
            "`features.items`.",
            render_sql(
                COMMON_SQL / "columns_of_items.sql",
                columns=spec.context_features,
                rows=ROWS_SEEN,
                threshold=OF_THE_ITEM,
            ),
            blocking=False,
        )
    if spec.recommends and (unknown := unknown_moment(paths, spec, examples)):
        yield Check(
            "recommendations_know_their_moment",
            "What training knew of nearly every interaction, recommendations know too: the moment that they assume is "
            "declared (recommendations.context), in values that training has seen. Where it is not, the model answers "
            "for an unknown category or an average number.",
            " UNION ALL ".join(unknown),
            blocking=False,
        )


def unknown_moment(paths: PipelinePaths, spec: PipelineSpec, examples: str) -> list[str]:
    """SQL with a row for each feature of interactions that recommendations lack, or have in an unknown value."""
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
    return [*missing, *strange]
