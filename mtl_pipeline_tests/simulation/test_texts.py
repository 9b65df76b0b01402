"""The words of an item tell who will like it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import Ridge

from mtl_pipeline.simulation import SCENARIOS
from mtl_pipeline.simulation.language import TOPICS_PER_CATEGORY, load_vocabulary
from mtl_pipeline_tests.simulation.conftest import Simulated

TEXT_COLUMNS = {"shop": ["title", "description"], "social": ["text"], "news": ["headline", "summary"]}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_counting_words_recovers_what_a_user_thinks_of_new_items(scenario: str) -> None:
    rng = np.random.default_rng(0)
    world = SCENARIOS[scenario](rng, users=50, items=2_000)
    rows = world.rows("items.csv", rng, np.arange(2_000))
    texts = rows.select(pl.concat_str(TEXT_COLUMNS[scenario], separator=" ", ignore_nulls=True)).to_series()
    words = CountVectorizer().fit_transform(texts.to_list())
    share = world.items.second_share[:, None]
    affinity = (1 - share) * world.users.taste.T[world.items.main_topic] + share * world.users.taste.T[
        world.items.second_topic
    ]

    predicted = Ridge().fit(words[:1_000], affinity[:1_000]).predict(words[1_000:])

    left = ((affinity[1_000:] - predicted) ** 2).sum()
    assert 1 - left / ((affinity[1_000:] - affinity[:1_000].mean(axis=0)) ** 2).sum() > 0.7


def test_a_category_has_several_topics_so_that_the_text_tells_more() -> None:
    for scenario in SCENARIOS:
        vocabulary = load_vocabulary(scenario)
        assert len(vocabulary.topics) == TOPICS_PER_CATEGORY * len(vocabulary.categories)
        assert {len(words) for words in vocabulary.lists["words"]} == {10}


def test_some_texts_are_missing(simulated: Simulated) -> None:
    texts = simulated.tables["items"]["text"]
    columns = TEXT_COLUMNS[simulated.summary.scenario]

    assert 0 <= texts.is_null().mean() < 0.05  # type: ignore[operator]
    raw = pl.read_csv(simulated.paths.raw / "items.csv", infer_schema=False, truncate_ragged_lines=True)
    assert 0.01 < raw[columns[-1]].is_null().mean() < 0.1  # type: ignore[operator]


def test_posts_about_what_the_bio_names_are_clicked_more(social: Simulated) -> None:
    about_the_same = pl.any_horizontal(
        pl.col("text").str.contains("|".join(words)) & pl.col("text_of_item").str.contains("|".join(words))
        for words in load_vocabulary("social").lists["words"]
    )

    rates = social.rows.group_by(about_the_same.alias("same")).agg(pl.col("true_click").mean())
    rate = dict(rates.drop_nulls().iter_rows())
    assert rate[True] > 1.4 * rate[False]
