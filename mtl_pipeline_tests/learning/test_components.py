"""Components of text vectors: fitted to training's texts alone, saved with the model, and never there for no text."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.ranker.provenance import networks_trained_with
from mtl_pipeline.learning.ranker.ranker import load_ranker
from mtl_pipeline.learning.representation import components as module
from mtl_pipeline.learning.representation.components import Components
from mtl_pipeline.learning.representation.representation import FrozenText
from mtl_pipeline.learning.training.train import train_ranker
from mtl_pipeline.spec import Model
from mtl_pipeline_tests.conftest import TinyPipeline
from mtl_pipeline_tests.learning.networks import network, rows

TEXTS, DIMENSION, COMPONENTS, TRAINED_ON = 400, 12, 5, 300
REDUCED: dict[str, Any] = {"text_components": COMPONENTS, "text_whitened": True}


def vectors() -> torch.Tensor:
    """Correlated, far from zero, and every seventh is of no text."""
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(TEXTS, DIMENSION, generator=generator) @ torch.randn(
        DIMENSION, DIMENSION, generator=generator
    )
    found = mixed + 3
    found[::7] = 0
    return found


def fitted(texts: torch.Tensor, components: int | None = COMPONENTS, whitened: bool = False) -> Components:
    """To the first texts, some of which training rows name more than once."""
    made = Components(DIMENSION, components, whitened)
    made.fit(texts, torch.arange(TRAINED_ON, dtype=torch.int32).repeat(2))
    return made


@pytest.mark.parametrize("blanks", [0, 5])
def test_one_text_alone_varies_in_nothing(blanks: int) -> None:
    """What rounding leaves is no variance: whitened, it would make a million of each new text."""
    generator = torch.Generator().manual_seed(0)
    texts = torch.cat([torch.randn(1, 384, generator=generator).repeat(7, 1), torch.zeros(blanks, 384)])
    made = Components(384, whitened=True)
    made.fit(texts, torch.arange(len(texts)))
    assert made(torch.randn(2, 384, generator=generator)).abs().max() < 1


@pytest.mark.parametrize("whitened", [False, True])
@pytest.mark.parametrize("components", [COMPONENTS, None, 99])
def test_they_are_the_principal_components_of_the_texts_there_are(
    components: int | None, whitened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an implementation of another kind, up to the sign of each; whatever is looked at together."""
    texts = vectors()
    some = texts[:TRAINED_ON][texts[:TRAINED_ON].any(1)].double().numpy()
    analysis = PCA(min(components or DIMENSION, DIMENSION), whiten=whitened, svd_solver="full").fit(some)
    for at_once in (module.AT_ONCE, 37):
        monkeypatch.setattr(module, "AT_ONCE", at_once)
        found = fitted(texts, components, whitened)(texts)[texts.any(1)].double().numpy()
        expected = analysis.transform(texts[texts.any(1)].double().numpy())
        assert np.allclose(np.abs(found), np.abs(expected), rtol=2e-3, atol=2e-3)  # n - 1 there, n here


def test_no_text_takes_no_part_and_stays_exactly_zero() -> None:
    texts = vectors()
    made = fitted(texts, whitened=True)
    nothing = ~texts.any(1)
    assert torch.equal(made(texts)[nothing], torch.zeros(int(nothing.sum()), COMPONENTS))
    assert made(texts)[~nothing].any(1).all()
    none = Components(DIMENSION, COMPONENTS, whitened=True)
    none.fit(torch.zeros(4, DIMENSION), torch.arange(4))
    assert not none(vectors()).any()


def test_texts_that_training_has_none_of_change_nothing_and_go_through_what_it_fitted() -> None:
    texts = vectors()
    other = texts.clone()
    other[TRAINED_ON:] *= 100
    made, again = fitted(texts), fitted(other)
    assert torch.equal(made.axes, again.axes)
    assert torch.equal(made.mean, again.mean)
    new = texts[-3:-1]
    assert torch.allclose(made(new), (new - made.mean) @ made.axes, atol=1e-4)


def test_of_few_texts_whitening_blows_up_nothing() -> None:
    """Three texts span two directions; what rounding leaves of the others is no information."""
    texts = torch.randn(3, DIMENSION, generator=torch.Generator().manual_seed(1)) + 5
    made = Components(DIMENSION, whitened=True)
    made.fit(texts, torch.arange(3))
    assert (made(texts).abs().amax(0) > 0).sum() == 2
    assert made(texts).abs().max() < 2


@pytest.mark.parametrize("text_dimension", [None, 4])
def test_a_network_reads_components_where_it_would_have_read_vectors(text_dimension: int | None) -> None:
    made = network("mmoe", text_dimension=text_dimension, **REDUCED)
    made.representation.fit(rows())
    assert made.representation.text_widths == dict.fromkeys(("user", "item"), text_dimension or COMPONENTS)
    batch = rows()
    before = made(batch)
    text = cast(FrozenText, made.representation.texts["item"])
    assert text.read().shape == (len(text.vectors), COMPONENTS)
    text.vectors[int(batch.text[0, 1])] *= -1
    text.reduced = None
    assert not torch.allclose(made(batch)[0], before[0])


def test_a_saved_model_reads_texts_as_the_trained_one_did(prepared: TinyPipeline) -> None:
    """Also where they are others meanwhile: what was fitted is in the file, and nothing is fitted anew."""
    model = prepared.spec.model.model_copy(update=REDUCED)
    spec = prepared.spec.model_copy(update={"model": model})
    dataset = Dataset(prepared.paths, spec)
    train_ranker(prepared.paths, spec, target=prepared.paths.model, log=lambda line: None)
    texts = dataset.text.tensors["items"].clone()
    expected = Components(texts.shape[1], COMPONENTS, whitened=True)
    expected.fit(texts, dataset.train.sample().text[:, -1])
    dataset.text.tables["items"].vectors[:] = texts.flip(0)
    ranker, _ = load_ranker(prepared.paths.model, spec, dataset.text)
    read = cast(FrozenText, ranker.network.representation.texts["item"].cpu())
    assert torch.allclose(read.exact(), expected(texts.flip(0)), atol=1e-4)


def test_models_of_before_there_were_components_are_as_the_default_declares(prepared: TinyPipeline) -> None:
    """What is declared decides what was trained; what is not declared is not mentioned."""
    dataset = Dataset(prepared.paths, prepared.spec)
    declared = prepared.spec.model_copy(update={"model": prepared.spec.model.model_copy(update=REDUCED)})
    before, now = (networks_trained_with(dataset, spec)["model"] for spec in (prepared.spec, declared))
    assert before.keys().isdisjoint(REDUCED)
    assert now == before | REDUCED
    assert Model.model_validate(before) == prepared.spec.model
