"""How long a job waits for 1 GiB of training data that lies in the local S3."""

import contextlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.estimators import estimator
from benchmarks.figures import RUNS, Figure
from benchmarks.local_engine import running_engine

if TYPE_CHECKING:
    from intermodal import LocalSession

_GIB = 2**30


def measure() -> list[Figure]:
    """Takes the engine's own record: how long the job was in the status `Downloading`."""
    samples = []
    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        data.mkdir()
        with (data / "one.bin").open("wb") as file:
            file.truncate(_GIB)
        code = Path(folder, "code")
        code.mkdir()
        # The job itself proves that it sees all of the data.
        (code / "see.py").write_text(
            "import os, pathlib\n"
            "file = pathlib.Path(os.environ['SM_CHANNEL_TRAIN'], 'one.bin')\n"
            f"assert file.stat().st_size == {_GIB}\n"
        )
        uri = session.upload_data(str(data), key_prefix="bench/channel")
        for run in range(RUNS):
            job = estimator(session, code / "see.py")
            with contextlib.redirect_stdout(io.StringIO()):
                job.fit({"train": uri}, job_name=f"channel-{run}")
            samples.append(_downloading_s(session, f"channel-{run}"))
    return [Figure("staging a 1 GiB channel", "s", 0.1, samples)]


def _downloading_s(session: "LocalSession", job_name: str) -> float:
    job = session.sagemaker_client.describe_training_job(TrainingJobName=job_name)
    step = next(one for one in job["SecondaryStatusTransitions"] if one["Status"] == "Downloading")
    return float((step["EndTime"] - step["StartTime"]).total_seconds())
