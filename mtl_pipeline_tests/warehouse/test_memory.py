"""What a process grows by while DuckDB works stays within warehouse.memory_limit, by measure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

WORK = """
import json, pathlib, sys
from mtl_pipeline.spec import Warehouse
from mtl_pipeline.warehouse.connection import open_warehouse

def peak_bytes():
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])

before = peak_bytes()
with open_warehouse(pathlib.Path(sys.argv[1]), settings=Warehouse(memory_limit=sys.argv[2])) as connection:
    connection.execute(
        "CREATE TABLE events AS SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY text) AS place FROM ("
        f"SELECT range % 50_000 AS user_id, md5(range::VARCHAR) AS text FROM range({sys.argv[3]})) ORDER BY text"
    )
print(json.dumps(peak_bytes() - before))
"""
"""A window and a sort: neither fits, both go to files. Without a limit 2 million rows take 310 MB."""


def test_a_process_grows_by_no_more_than_the_memory_limit(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORK, str(tmp_path / "warehouse.duckdb"), "250MB", "2_000_000"]
    grown = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < 250_000_000
