"""What a training job costs beyond the training: `fit()` of a script that does nothing."""

import contextlib
import io
import tempfile
from pathlib import Path

from benchmarks.figures import RUNS, Figure, seconds_of
from benchmarks.local_engine import running_engine


def measure() -> list[Figure]:
    """Times `fit()` with its logs on; one more run first, so that the session is warm."""
    from intermodal.pytorch import PyTorch

    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        Path(folder, "noop.py").write_text("")

        def fit() -> None:
            estimator = PyTorch(
                entry_point="noop.py",
                source_dir=folder,
                role="arn:aws:iam::123456789012:role/bench",
                framework_version="2.13.0",
                instance_count=1,
                instance_type="ml.m5.xlarge",
                sagemaker_session=session,
            )
            with contextlib.redirect_stdout(io.StringIO()):
                estimator.fit()

        samples = [seconds_of(fit) for _ in range(RUNS + 1)][1:]
    return [Figure("fit() of a no-op script, engine up", "s", 0.4, samples)]
