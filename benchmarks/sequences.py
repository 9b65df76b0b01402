"""What `features.sequence` costs: `python benchmarks/sequences.py --choices 1000000`.

Random choices of 50,000 items by users with 50 each, `last: 20`, no texts; CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from mtl_pipeline.warehouse.features.relations import Chosen, Pairs, Relations

ITEMS, CANDIDATES, LAST = 50_000, 5_000, 20
ROWS, USERS_AT_ONCE = 200_000, 10


def random_choices(choices: int) -> Chosen:
    rng = np.random.default_rng(0)
    user, item = rng.integers(max(choices // 50, 1), size=choices), rng.integers(ITEMS, size=choices)
    moment = rng.integers(10**9, size=choices)
    order = np.lexsort((moment, user))
    user = user[order]
    return Chosen(np.searchsorted(user, user), item[order], moment[order], {})


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--choices", type=int, default=1_000_000)
    chosen = random_choices(parser.parse_args().choices)
    before, started = peak_megabytes(), time.process_time()
    relations = Relations(chosen, ITEMS, LAST, None)
    print(f"made: {time.process_time() - started:.1f} s, {peak_megabytes() - before:,.0f} MB")
    place = np.random.default_rng(1).integers(len(chosen.item), size=ROWS)
    pairs = Pairs(chosen.item[place[::-1]], chosen.time[place], chosen.first[place], place)
    started = time.process_time()
    relations.features(pairs)
    print(f"a row: {(time.process_time() - started) / ROWS * 1e6:.2f} µs")
    items, some = np.arange(CANDIDATES), place[:USERS_AT_ONCE]
    relations.features_now(items, chosen.first[some], some + 1)  # makes what all users share
    started = time.process_time()
    relations.features_now(items, chosen.first[some], some + 1)
    print(f"a candidate: {(time.process_time() - started) / CANDIDATES / USERS_AT_ONCE * 1e6:.2f} µs")


if __name__ == "__main__":
    main()
