"""Single bits of published files, flipped one at a time: each is noticed and named, or changes nothing that is read."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import polars as pl

from mtl_pipeline.champions import NOT_DECISIVE, Decision, champion_folder, read_history
from mtl_pipeline.checksums import CHECKSUMS
from mtl_pipeline.errors import UserError
from mtl_pipeline.evaluation.studies.runs.history import read_records
from mtl_pipeline.learning.data.dataset import Dataset, TextVectors
from mtl_pipeline.learning.ranker.ranker import load_ranker
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import reading
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.vectors import read_vectors
from mtl_pipeline.warehouse.catalogue import describe_catalogue
from mtl_pipeline.warehouse.connection import fetch_one, open_warehouse


def flip(path: Path, bit: int) -> bytes:
    """What the file was before."""
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    path.write_bytes(flipped)
    return whole


def noticed(path: Path, bits: Iterable[int], read: Callable[[], object], message: str) -> int:
    """How many flips `read` refuses by a UserError that holds the message.

    Raises AssertionError where it takes over other content than that of the whole file.
    """
    content, refused = read(), 0
    for bit in bits:
        whole = flip(path, bit)
        try:
            same = read() == content
        except UserError as error:
            same, refused = message in str(error), refused + 1
        finally:
            path.write_bytes(whole)
        assert same, f"{path}, bit {bit}: taken over, or refused without '{message}'"
    return refused


@dataclass(frozen=True)
class Kind:
    """One kind of artifact: its files, how it is read, and what the error that names a damage says besides."""

    files: list[Path]
    read: Callable[[], object]
    message: str


def flip_artifacts(
    paths: PipelinePaths, spec: PipelineSpec, flips: int, *, seed: int = 0
) -> dict[str, tuple[int, int]]:
    """Flip so many bits of each kind of artifact of a pipeline that was made whole, and read it as the assets do.

    By kind, how many flips were tried, and how many were noticed; the others changed nothing. Raises AssertionError
    where one was taken over, or the error does not say what to materialize.
    """
    draw = random.Random(seed)
    counts = {}
    for name, kind in artifacts(paths, spec).items():
        found = 0
        for _ in range(flips):
            path = draw.choice(kind.files)
            found += noticed(path, [draw.randrange(path.stat().st_size * 8)], kind.read, kind.message)
        counts[name] = flips, found
    return counts


def artifacts(paths: PipelinePaths, spec: PipelineSpec) -> dict[str, Kind]:
    """Everything that one asset writes and another, or the next night, reads."""
    champion = champion_folder(paths)[1]
    text = TextVectors.read(paths, spec)
    return {
        **{
            f"{table} vectors": Kind(
                [paths.embeddings(table)],
                partial(vectors_read, paths.embeddings(table)),
                f"materialize {table.removesuffix('s')}_embeddings again",
            )
            for table in spec.text_tables
        },
        "examples": Kind(
            files(paths.examples), partial(examples_read, paths, spec), "materialize examples again"
        ),
        "model": Kind(
            files(paths.model), partial(model_read, paths.model, spec, text), "materialize model again"
        ),
        "champion": Kind(decisive(champion), partial(model_read, champion, spec, text), champion.name),
        "baselines": Kind(
            files(paths.baselines), partial(frames_read, paths.baselines), "materialize baselines again"
        ),
        "evaluation": Kind(
            files(paths.evaluation),
            lambda: (
                frames_read(paths.evaluation),
                asdict(Decision.read(paths.evaluation / "decision.json")).items(),
            ),
            "materialize evaluation again",
        ),
        "recommendations": Kind(
            [paths.recommendations],
            partial(describe_catalogue, paths, spec, champion),
            "materialize recommendations again",
        ),
        "history of champions": Kind(
            [paths.champion_history], partial(read_history, paths), "champion.jsonl, line"
        ),
        "history of evaluations": Kind(
            [paths.evaluation_history],
            partial(read_records, paths.evaluation_history),
            "evaluation_history.jsonl, line",
        ),
        "warehouse": Kind(
            [paths.warehouse], partial(warehouse_read, paths, spec), "remove it, and warehouse.duckdb.wal"
        ),
    }


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def decisive(champion: Path) -> list[Path]:
    """Those that its name speaks of."""
    return [path for path in files(champion) if path.name not in {*NOT_DECISIVE, CHECKSUMS}]


def vectors_read(path: Path) -> tuple:
    found = read_vectors(path)
    return found.ids, found.vectors.tobytes(), found.text_hashes, found.metadata


def examples_read(paths: PipelinePaths, spec: PipelineSpec) -> tuple:
    dataset = Dataset(paths, spec)
    return dataset.fingerprint, *map(
        rows, (dataset.examples.collect(), dataset.statistics, dataset.vocabulary)
    )


def model_read(folder: Path, spec: PipelineSpec, text: TextVectors) -> tuple:
    ranker, encoder = load_ranker(folder, spec, text)
    weights = {name: tensor.numpy().tobytes() for name, tensor in ranker.network.state_dict().items()}
    return weights, ranker.calibration, ranker.scale, rows(encoder.statistics)


def frames_read(folder: Path) -> list:
    with reading(folder) as version:
        return [rows(pl.read_parquet(path)) for path in sorted(version.glob("*.parquet"))]


def warehouse_read(paths: PipelinePaths, spec: PipelineSpec) -> list[tuple]:
    with open_warehouse(paths.warehouse, read_only=True) as connection:
        return [
            fetch_one(connection, f"SELECT count(*), bit_xor(hash({table})) FROM {table}")
            for table in spec.tables
        ]


def rows(frame: pl.DataFrame) -> list[int]:
    return frame.hash_rows().to_list()
