"""How long a notebook's first cell takes."""

import subprocess
import sys

from benchmarks.figures import RUNS, Figure

# Timed inside a fresh interpreter, so that its own start does not count.
_PROGRAM = """
import time
started = time.perf_counter()
import intermodal
from intermodal.pytorch import PyTorch
print(time.perf_counter() - started)
"""


def measure() -> list[Figure]:
    """Imports the SDK in fresh interpreters; one more run first, so that bytecode is there."""
    samples = [float(_import_once()) for _ in range(RUNS + 1)][1:]
    return [Figure("import intermodal and its PyTorch", "s", 0.10, samples)]


def _import_once() -> str:
    command = [sys.executable, "-c", _PROGRAM]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
