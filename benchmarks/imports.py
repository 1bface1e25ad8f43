"""How long a notebook's first cell takes."""

import subprocess
import sys

from benchmarks.figures import RUNS, Figure
from tests.helpers.vendor_environments import V2, NotToBeHadError, environment

# Timed inside a fresh interpreter, so that its own start does not count.
_PROGRAM = """
import time
started = time.perf_counter()
import {sdk}
from {sdk}.pytorch import PyTorch
print(time.perf_counter() - started)
"""


def measure() -> list[Figure]:
    """Imports our SDK, and the vendor's in its own environment, in fresh interpreters."""
    return [
        Figure("import intermodal and its PyTorch", "s", 0.10, _samples(sys.executable)),
        _of_the_vendor(),
    ]


def _of_the_vendor() -> Figure:
    what = "vendor v2: import sagemaker and its PyTorch"
    try:
        python = environment(V2)
    except NotToBeHadError as error:
        return Figure(what, "s", None, note=str(error).splitlines()[-1])
    return Figure(what, "s", None, _samples(str(python), "sagemaker"))


def _samples(python: str, sdk: str = "intermodal") -> list[float]:
    """Seconds; one more run first, so that bytecode is there."""
    return [float(_import_once(python, sdk)) for _ in range(RUNS + 1)][1:]


def _import_once(python: str, sdk: str) -> str:
    command = [python, "-W", "ignore", "-c", _PROGRAM.format(sdk=sdk)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return done.stdout.splitlines()[-1]
