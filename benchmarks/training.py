"""What the program `train` and a whole job cost before and around the user's script."""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.estimators import estimator
from benchmarks.figures import RUNS, Figure, seconds_of
from benchmarks.local_engine import running_engine
from intermodal_contract.training_files import (
    ResourceConfig,
    TrainingPaths,
    write_training_input,
)

if TYPE_CHECKING:
    from intermodal import LocalSession

_TRAIN = str(Path(sys.executable).with_name("train"))
_SAY_WHEN = "import time\nprint(repr(time.time()), flush=True)\n"


def measure() -> list[Figure]:
    """`train` by itself first, then whole jobs on an engine."""
    return [
        Figure("`train` start to the script's first line", "s", 0.10, _starts("")),
        Figure("the same with a satisfied requirements.txt", "s", 0.15, _starts("numpy>=1.0\n")),
        *_jobs(),
    ]


def _starts(requirements: str) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        paths = TrainingPaths(Path(folder))
        write_training_input(
            paths,
            hyperparameters={"sagemaker_program": '"train.py"'},
            channels=[],
            resources=ResourceConfig(),
        )
        paths.code.mkdir()
        (paths.code / "train.py").write_text(_SAY_WHEN)
        if requirements:
            (paths.code / "requirements.txt").write_text(requirements)
        return [_start(folder) for _ in range(RUNS + 1)][1:]


def _start(folder: str) -> float:
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": folder}
    began = time.time()
    done = subprocess.run([_TRAIN], env=environment, capture_output=True, text=True, check=True)
    said = [line for line in done.stdout.splitlines() if line.replace(".", "").isdigit()]
    return float(said[-1]) - began


def _jobs() -> list[Figure]:
    samples, plain = [], []
    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "noop.py")
        script.write_text("")

        def run_plainly() -> None:
            subprocess.run([sys.executable, str(script)], check=True)

        for run in range(RUNS + 1):
            job = estimator(session, Path(folder, "noop.py"))
            with contextlib.redirect_stdout(io.StringIO()):
                job.fit(job_name=f"noop-{run}")
            plain.append(seconds_of(run_plainly))
            samples.append(_job_s(session, f"noop-{run}") - plain[-1])
    note = f"a plain `python noop.py` takes {sorted(plain)[len(plain) // 2]:.3f} s"
    what = "a whole no-op job, over a plain `python noop.py`"
    return [Figure(what, "s", 0.20, samples[1:], note=note)]


def _job_s(session: "LocalSession", job_name: str) -> float:
    """From the job's creation to its end, by the engine's own record."""
    job = session.sagemaker_client.describe_training_job(TrainingJobName=job_name)
    return float((job["TrainingEndTime"] - job["CreationTime"]).total_seconds())
