"""A short run of what `make soak-fuzz` does for longer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEED = 20
INPUTS = 8_000


@pytest.mark.timeout(240)
def test_hostile_input_does_the_engine_no_harm() -> None:
    """In a process of its own: what it weighs and watches is of the whole process."""
    command = [sys.executable, "-m", "tests.fuzz.engine", f"--seed={SEED}", f"--inputs={INPUTS}"]
    result = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    print(result.stdout)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    assert "faults: 0" in result.stdout
