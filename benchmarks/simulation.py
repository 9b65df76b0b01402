"""How fast the simulator writes, against writing ready arrays: `python benchmarks/simulation.py [ROWS …]`.

The floor writes as many rows of the same columns, drawn beforehand, with pyarrow: the log as CSV, then
the truth as Parquet. Each measurement runs in a process of its own, simulator and floor in turn, into a
temporary folder that is removed. Peak memory is that of the simulating process. Prints Markdown.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from mtl_pipeline.simulation import SCENARIOS, simulate

ROUNDS = 3
READY_ROWS = 100_000


def measure_simulation(scenario: str, rows: int, folder: Path) -> dict:
    start = time.perf_counter()
    simulate(scenario, folder, interactions=rows, seed=0)
    seconds = time.perf_counter() - start
    megabytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu": time.process_time(), "megabytes": megabytes, "peak": peak}


def measure_floor(scenario: str, rows: int, folder: Path) -> dict:
    simulate(scenario, folder / "ready", interactions=READY_ROWS, seed=0, dirty=False)
    log = pa.csv.read_csv(folder / "ready" / "raw" / "interactions.csv")
    truth = pq.read_table(folder / "ready" / "truth.parquet")
    options = pa.csv.WriteOptions(include_header=False, batch_size=16_384)
    start = time.perf_counter()
    with pa.csv.CSVWriter(folder / "log.csv", log.schema, write_options=options) as writer:
        for _ in range(rows // READY_ROWS):
            writer.write_table(log)
    with pq.ParquetWriter(
        folder / "truth.parquet", truth.schema, compression="lz4", use_dictionary=False
    ) as writer:
        for _ in range(rows // READY_ROWS):
            writer.write_table(truth)
    return {"seconds": time.perf_counter() - start}


def in_a_process_of_its_own(what: str, scenario: str, rows: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, what, scenario, str(rows), folder]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(scenario: str, rows: int) -> str:
    rounds = [
        (
            in_a_process_of_its_own("simulation", scenario, rows),
            in_a_process_of_its_own("floor", scenario, rows),
        )
        for _ in range(ROUNDS)
    ]
    seconds = statistics.median(simulation["seconds"] for simulation, _ in rounds)
    cpu = statistics.median(simulation["cpu"] for simulation, _ in rounds)
    ratio = statistics.median(simulation["seconds"] / floor["seconds"] for simulation, floor in rounds)
    simulation = rounds[0][0]
    return (
        f"| {scenario} | {rows / 1e6:g} M | {rows / seconds / 1e3:,.0f} k | {cpu / rows * 1e6:.2f} | "
        f"{ratio:.2f} | {simulation['megabytes']:,.0f} | {simulation['peak']:,.0f} |"
    )


def main(sizes: list[int]) -> None:
    print(f"{os.cpu_count()} cores, median of {ROUNDS} rounds, load {os.getloadavg()[0]:.1f} at the start\n")
    print("| scenario | interactions | rows/s | CPU µs/row | time ÷ floor | written, MB | peak memory, MB |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for rows in sizes:
        for scenario in SCENARIOS:
            print(compare(scenario, rows), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] in (["simulation"], ["floor"]):
        what, scenario, rows, folder = sys.argv[1:]
        measure = measure_simulation if what == "simulation" else measure_floor
        print(json.dumps(measure(scenario, int(rows), Path(folder))))
    else:
        main([int(rows) for rows in sys.argv[1:]] or [1_000_000, 10_000_000])
