"""The engine is killed with -9 in the middle of a job, and started again: nothing is lost."""

import os
import signal
import time
from typing import Any

import pytest

from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import (
    BUCKET,
    ended_job,
    job_request,
    log_lines,
    wait_for_line,
)

pytestmark = pytest.mark.e2e

LINES = 200
COUNTS = (
    "import os, pathlib, time\n"
    f"for number in range({LINES}):\n"
    "    print(f'line {number:04}', flush=True)\n"
    "    time.sleep(0.01)\n"
    "pathlib.Path(os.environ['SM_MODEL_DIR'], 'weights.txt').write_text('whole')\n"
)
EVERY_LINE = [f"line {number:04}" for number in range(LINES)]


Clients = dict[str, Any]


def start(clients: Clients, name: str, script: str = COUNTS) -> None:
    clients["sagemaker"].create_training_job(**job_request(name, script, clients["s3"]))


def numbered_lines(clients: Clients, name: str) -> list[str]:
    return [line for line in log_lines(clients["logs"], name) if line.startswith("line ")]


def model_bytes(clients: Clients, job: dict[str, Any]) -> int:
    key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{BUCKET}/")
    return int(clients["s3"].head_object(Bucket=BUCKET, Key=key)["ContentLength"])


def test_a_job_goes_on_while_the_engine_is_dead_and_the_next_engine_completes_it(
    engine: RunningEngine,
    clients: Clients,
) -> None:
    start(clients, "survivor")
    wait_for_line(clients["logs"], "survivor", EVERY_LINE[20])
    engine.kill()
    time.sleep(0.5)  # the job writes some 50 lines that no engine sees
    engine.start()
    job = ended_job(clients["sagemaker"], "survivor")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert numbered_lines(clients, "survivor") == EVERY_LINE
    assert model_bytes(clients, job) > 0
    steps = [one["Status"] for one in job["SecondaryStatusTransitions"]]
    assert steps == ["Starting", "Downloading", "Training", "Uploading", "Completed"]


def test_a_job_that_ended_while_the_engine_was_dead_is_settled(
    engine: RunningEngine, clients: Clients
) -> None:
    start(clients, "meanwhile")
    wait_for_line(clients["logs"], "meanwhile", EVERY_LINE[20])
    engine.kill()
    time.sleep(0.01 * LINES + 1.5)
    engine.start()
    job = ended_job(clients["sagemaker"], "meanwhile")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert numbered_lines(clients, "meanwhile") == EVERY_LINE


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_whenever_the_engine_is_killed_the_job_runs_once_and_to_its_end(
    engine: RunningEngine, clients: Clients, delay_s: float
) -> None:
    name = f"killed-after-{int(delay_s * 1000)}-ms"
    start(clients, name, "print('line once', flush=True)\n")
    time.sleep(delay_s)
    engine.kill()
    engine.start()
    job = ended_job(clients["sagemaker"], name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert numbered_lines(clients, name) == ["line once"]
    assert model_bytes(clients, job) > 0


def test_a_stop_that_was_asked_for_before_the_kill_is_carried_out_after_it(
    engine: RunningEngine,
    clients: Clients,
) -> None:
    start(clients, "stopped", "import time\nprint('line up', flush=True)\ntime.sleep(300)\n")
    wait_for_line(clients["logs"], "stopped", "line up")
    clients["sagemaker"].stop_training_job(TrainingJobName="stopped")
    engine.kill()
    engine.start()
    assert ended_job(clients["sagemaker"], "stopped")["TrainingJobStatus"] == "Stopped"


def test_a_supervisor_that_is_killed_takes_its_tree_along_and_the_job_is_settled(
    engine: RunningEngine,
    clients: Clients,
) -> None:
    script = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(7654321)'])\n"
        "print('line up', flush=True)\n"
        "time.sleep(7654321)\n"
    )
    start(clients, "orphan", script)
    wait_for_line(clients["logs"], "orphan", "line up")
    assert processes_with("7654321")
    (supervisor,) = engine.supervisors("training-job", "orphan")
    os.kill(supervisor, signal.SIGKILL)
    job = ended_job(clients["sagemaker"], "orphan")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(("InternalServerError: ", "AlgorithmError: "))
    deadline = time.monotonic() + 5
    while processes_with("7654321") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_with("7654321") == []


def processes_with(argument: str) -> list[str]:
    """Processes with a text in their command line."""
    import pathlib

    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if argument in path.read_text():
                found.append(path.parent.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
