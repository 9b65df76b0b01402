"""A bit that flips in anything that is published is noticed, and what to do about it is said."""

from __future__ import annotations

import pytest

from mtl_pipeline.champions import champion_folder
from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import TextVectors
from mtl_pipeline.learning.ranker.ranker import load_ranker
from mtl_pipeline_tests.components.conftest import Project
from mtl_pipeline_tests.faults.flips import flip, flip_artifacts


def test_flipped_bits_of_every_kind_of_artifact_are_noticed(made_project: Project) -> None:
    counts = flip_artifacts(made_project.pipeline.paths, made_project.pipeline.spec, 5)
    harmless_too = {"history of champions", "history of evaluations", "warehouse"}
    assert [
        kind for kind, (tried, found) in counts.items() if found < tried and kind not in harmless_too
    ] == []


@pytest.mark.parametrize(
    "name", ["config.json", "calibration.json", "model.safetensors", "statistics.parquet"]
)
@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[" * 100_000,
        '{"watched": {"method": "platt", "slope": NaN}}',
        '{"watched": "platt"}',
    ],
    ids=["empty", "half", "null", "deep", "NaN", "another type"],
)
def test_a_file_of_a_model_that_is_whole_but_no_model_says_what_to_do(
    made_project: Project, name: str, content: str
) -> None:
    """As an earlier version, or somebody by hand, may have published it."""
    paths, spec = made_project.pipeline.paths, made_project.pipeline.spec
    file = paths.model / name
    whole = file.read_bytes()
    try:
        file.write_text(content)
        write_checksums(paths.model)
        with pytest.raises(UserError, match=r"model .*materialize model again \("):
            load_ranker(paths.model, spec, TextVectors.read(paths, spec))
    finally:
        file.write_bytes(whole)
        write_checksums(paths.model)


def test_a_damaged_champion_does_not_recommend(made_project: Project) -> None:
    paths = made_project.pipeline.paths
    _, folder = champion_folder(paths)
    before = paths.recommendations.read_bytes()
    whole = flip(folder / "model.safetensors", 77_777)
    try:
        (failure,) = made_project.run("recommendations").get_step_failure_events()
    finally:
        (folder / "model.safetensors").write_bytes(whole)
    assert failure.step_failure_data.user_failure_data is not None
    assert f"{folder} is damaged, " in str(failure.step_failure_data.user_failure_data.description)
    assert paths.recommendations.read_bytes() == before
