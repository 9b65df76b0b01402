"""Processes to be killed, and to race each other, each of which starts in milliseconds.

A server has imported what the stages import, and run nothing, so that no thread of another library is lost in the fork.
"""

from __future__ import annotations

import multiprocessing

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["mtl_pipeline_tests.faults.stages"])
