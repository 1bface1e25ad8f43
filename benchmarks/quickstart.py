"""`make quickstart` as a whole, with everything installed."""

import os
import subprocess
from pathlib import Path

from benchmarks.figures import RUNS, Figure, seconds_of

_ROOT = Path(__file__).parent.parent


def measure() -> list[Figure]:
    """Runs what a newcomer runs. It fails if the accuracy is not reached."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}

    def run() -> None:
        subprocess.run(
            ["make", "--silent", "quickstart"],
            cwd=_ROOT,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    return [
        Figure(
            "make quickstart, everything installed", "s", 60, [seconds_of(run) for _ in range(RUNS)]
        )
    ]
