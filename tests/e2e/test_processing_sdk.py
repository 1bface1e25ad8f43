"""The SDK's processors against a running engine: scripts, folders and data that really run."""

from pathlib import Path
from typing import Any

import pytest

from intermodal import LocalSession
from intermodal.errors import JobFailedError
from intermodal.processing import (
    FrameworkProcessor,
    ProcessingInput,
    ProcessingJob,
    ProcessingOutput,
    Processor,
    ScriptProcessor,
)
from intermodal.pytorch import PyTorch
from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import BUCKET

pytestmark = pytest.mark.e2e

ROLE = "arn:aws:iam::123456789012:role/demo"
IMAGE = "intermodal/python:3"
FOLDER = "/opt/ml/processing"
SUMS = """
import pathlib, sys
from helper import SCALE
root = pathlib.Path("/opt/ml/processing")
files = sorted((root / "input" / "rows").glob("*.csv"))
rows = [float(line) for file in files for line in file.open()]
(root / "sums" / "sum.txt").write_text(str(SCALE * sum(rows)))
print("summed", len(rows), *sys.argv[1:])
"""


@pytest.fixture
def session(engine: RunningEngine, clients: dict[str, Any]) -> LocalSession:
    return LocalSession(home=engine.home)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "a.csv").write_text("1\n2\n")
    (folder / "b.csv").write_text("3\n")
    return folder


def test_a_script_runs_over_a_local_folder_and_its_output_is_in_s3(
    session: LocalSession, tmp_path: Path, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "sums.py"
    script.write_text(SUMS.replace("from helper import SCALE", "SCALE = 1"))
    processor = ScriptProcessor(
        ROLE, IMAGE, ["python3"], 1, "ml.m5.large", sagemaker_session=session
    )

    processor.run(
        str(script),
        inputs=[ProcessingInput(str(rows), f"{FOLDER}/input/rows", "rows")],
        outputs=[ProcessingOutput(f"{FOLDER}/sums", output_name="sums")],
        arguments=["--verbose"],
    )

    job = processor.latest_job
    assert job is not None
    place = str(job.outputs[0].destination).removeprefix("s3://")
    bucket, _, prefix = place.partition("/")
    assert session.read_s3_file(bucket, f"{prefix}/sum.txt") == "6.0"
    shown = capsys.readouterr().out
    assert "summed 3 --verbose" in shown
    assert f"Processing job `{job.name}`: Completed" in shown
    found = ProcessingJob.from_processing_arn(session, job.describe()["ProcessingJobArn"])
    assert found.outputs[0].destination == job.outputs[0].destination
    assert found.inputs[0].source == f"s3://{bucket}/{job.name}/input/rows"


def test_a_folder_of_code_runs_in_a_frameworks_image(
    session: LocalSession, tmp_path: Path, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "sums.py").write_text(f"import torch\n{SUMS}")
    (source / "helper.py").write_text("SCALE = 10\n")
    processor = FrameworkProcessor(
        PyTorch, "2.13.0", ROLE, 1, "ml.m5.large", sagemaker_session=session
    )

    processor.run(
        "sums.py",
        source_dir=str(source),
        inputs=[ProcessingInput(str(rows), f"{FOLDER}/input/rows")],
        outputs=[ProcessingOutput(f"{FOLDER}/sums", f"s3://{BUCKET}/sums")],
    )

    assert session.read_s3_file(BUCKET, "sums/sum.txt") == "60.0"
    assert "summed 3" in capsys.readouterr().out


def test_a_job_that_fails_says_why(session: LocalSession, tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    script.write_text("print('so far', flush=True)\nraise ValueError('boom')\n")
    processor = ScriptProcessor(
        ROLE, IMAGE, ["python3"], 1, "ml.m5.large", sagemaker_session=session
    )

    with pytest.raises(JobFailedError, match=r"processing job .* failed(.|\n)*ValueError: boom"):
        processor.run(str(script))


def test_a_job_may_be_left_alone_and_stopped(session: LocalSession) -> None:
    processor = Processor(
        ROLE,
        IMAGE,
        1,
        "ml.m5.large",
        ["python3", "-c", "import time; time.sleep(60)"],
        sagemaker_session=session,
    )

    processor.run(wait=False)

    job = processor.latest_job
    assert job is not None
    job.stop()
    assert job.wait()["ProcessingJobStatus"] == "Stopped"
    job.stop()
