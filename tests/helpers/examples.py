"""Runs a program of examples/ as a user would, and reads what it told."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_example(name: str, environment: Mapping[str, str]) -> str:
    """Runs a program to its end, which must be a good one; returns all that it printed.

    Args:
        name: the file in examples/.
        environment: of a user who has an engine.
    """
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def told(output: str, name: str) -> str:
    """What stands behind a name in the summary that a program ends with."""
    found = re.search(rf"^{re.escape(name)}  +(.*)$", output, re.MULTILINE)
    assert found is not None, output
    return found.group(1)
