"""The process of one training, see `side_by_side`. It is told what to do on its standard input, and answers, pickled,
through the pipe whose number is its argument: lines of its log, and in the end what it trained, or the error that a
user can mend."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from typing import BinaryIO

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.ranker.provenance import networks_trained_with
from mtl_pipeline.learning.training.at_once.side_by_side import Order, Trained
from mtl_pipeline.learning.training.loop import Log
from mtl_pipeline.publishing import one_version_each


def train(order: Order, log: Log) -> Trained:
    spec = order.spec
    with one_version_each(order.versions):
        dataset = Dataset(order.paths, spec)
        if networks_trained_with(dataset, spec) != order.trained_with:
            raise UserError(f"{order.paths.examples} or vectors were made anew meanwhile: run it again")
        fit = order.wanted.fit(dataset, spec, log, order.checkpoints)
    weights = [member.weights for member in fit.ranker.members]
    return Trained(weights, fit.shape, fit.ranker.scale, order.checkpoints.used)


def end_with_parent(told: BinaryIO) -> None:
    """Nothing more is told: the pipe ends when the one who tells does, however it ends."""
    told.read()
    os._exit(1)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    order = pickle.load(sys.stdin.buffer)  # noqa: S301 - of the parent
    threading.Thread(target=end_with_parent, args=[sys.stdin.buffer], daemon=True).start()
    answers = os.fdopen(int(sys.argv[1]), "wb")

    def answer(content: object) -> None:
        pickle.dump(content, answers)
        answers.flush()

    try:
        answer(train(order, answer))
    except UserError as error:
        answer(error)


if __name__ == "__main__":
    main()
