"""Freed memory is taken again without asking the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, sys
import numpy as np
from mtl_pipeline.hardware import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def step():
    return [np.ones(3 << 18) for _ in range(4)]  # 6 MB each, freed together
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has other ways")
def test_steps_that_need_the_same_memory_do_not_ask_the_system_for_it_again() -> None:
    asked = {
        memory: int(subprocess.check_output([sys.executable, "-c", STEPS, memory])) for memory in ("kept", "")
    }
    assert asked["kept"] < 100 < asked[""]
