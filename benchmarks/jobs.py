"""What a training job costs beyond the training: `fit()` of a script that does nothing."""

import contextlib
import io
import tempfile
from pathlib import Path

from benchmarks.estimators import estimator
from benchmarks.figures import RUNS, Figure, seconds_of
from benchmarks.local_engine import running_engine


def measure() -> list[Figure]:
    """Times `fit()` with its logs on; one more run first, so that the session is warm."""
    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        Path(folder, "noop.py").write_text("")

        def fit() -> None:
            job = estimator(session, Path(folder, "noop.py"))
            with contextlib.redirect_stdout(io.StringIO()):
                job.fit()

        samples = [seconds_of(fit) for _ in range(RUNS + 1)][1:]
    return [Figure("fit() of a no-op script, engine up", "s", 0.4, samples)]
