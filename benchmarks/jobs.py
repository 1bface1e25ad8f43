"""What a training job costs beyond the training: `fit()` of a script that does nothing."""

import contextlib
import io
import subprocess
import tempfile
from pathlib import Path

from benchmarks.estimators import estimator
from benchmarks.figures import RUNS, Figure, seconds_of
from benchmarks.local_engine import running_engine

IMAGE = "intermodal/pytorch-training"


def measure() -> list[Figure]:
    """Times `fit()` with each driver."""
    figures = [Figure("fit() of a no-op script, engine up", "s", 0.4, samples("process"))]
    what, cause = "fit() of a no-op script in docker, engine up", why_no_containers()
    if cause is not None:
        return [*figures, Figure(what, "s", None, note=cause)]
    note = "the vendor's local mode: 0.96 to 1.22"
    return [*figures, Figure(what, "s", 0.9, samples("docker"), note=note)]


def samples(driver: str) -> list[float]:
    """With its logs on; one more run first, so that the session is warm."""
    with (
        running_engine(f"--driver={driver}") as session,
        tempfile.TemporaryDirectory() as folder,
    ):
        Path(folder, "noop.py").write_text("")

        def fit() -> None:
            job = estimator(session, Path(folder, "noop.py"))
            with contextlib.redirect_stdout(io.StringIO()):
                job.fit()

        return [seconds_of(fit) for _ in range(RUNS + 1)][1:]


def why_no_containers() -> str | None:
    """Why nothing can be measured with docker; None if it can."""
    try:
        done = subprocess.run(
            ["docker", "images", "--quiet", IMAGE], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return "docker is not there"
    if done.returncode != 0:
        return "docker does not answer"
    return None if done.stdout else f"`{IMAGE}` is not built: `make build-train`"
