"""A short run of what `make soak-load` does for ten minutes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHORT = ("--seconds=12", "--alone=6", "--warm-up=4")


@pytest.mark.timeout(240)
def test_two_hundred_clients_are_served_right_beside_a_hundred_slow_ones() -> None:
    """In a process of its own, so that nothing of pytest's is in the latencies."""
    command = [sys.executable, "-m", "tests.load", *SHORT]
    if "SEED" in os.environ:
        command.append(f"--seed={os.environ['SEED']}")
    result = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    print(result.stdout)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    assert "faults: 0" in result.stdout
