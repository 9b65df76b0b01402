"""The environment of the packages that the project is compared with: benchmarks/.venv-peers, made where it is missing
or holds other versions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from mtl_pipeline.paths import project_root

PEERS = ("torch-rechub==0.9.0", "catboost==1.2.10")
OF_OTHER_VERSIONS = ("fastembed==0.9.1", "onnx==1.23.2")
"""That need older versions of something than constraints.txt has."""
ENVIRONMENT = Path(__file__).with_name(".venv-peers")


def python_with_peers() -> Path:
    """Its interpreter."""
    python, installed = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "installed.json"
    if not installed.is_file() or json.loads(installed.read_text()) != [*PEERS, *OF_OTHER_VERSIONS]:
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        constraints = project_root() / "constraints.txt"
        subprocess.run([python, "-m", "pip", "install", "-q", "-c", constraints, *PEERS], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *OF_OTHER_VERSIONS], check=True)
        installed.write_text(json.dumps([*PEERS, *OF_OTHER_VERSIONS]))
    return python
