"""Ctrl-C while `fit()` watches a job, in a real terminal and without one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.terminal import CTRL_C, Terminal, python_in_a_terminal

QUESTION = "Stop the job, or detach and let it go on? [s]top / [D]etach:"
# A job that runs until it is stopped.
WATCHES = """
import sys
from intermodal import Session
from intermodal.pytorch import PyTorch
from tests.helpers.fake_aws import ROLE_ARN, FakeAws, JobPlan, Step


class EndlessJob(FakeAws):
    def _stop_training_job(self, request):
        self.plan.steps = [Step("Training", "", ("it begins",)), Step("Stopping", "", ("saved",))]
        return super()._stop_training_job(request)


aws = EndlessJob(JobPlan([Step("Training", "", ("it begins",))] + [Step("Training")] * 100_000))
job = PyTorch(
    sys.argv[1],
    role=ROLE_ARN,
    framework_version="2.2.0",
    instance_count=1,
    instance_type="ml.m5.large",
    sagemaker_session=Session(aws.boto_session()),
)
try:
    job.fit(job_name="job")
except KeyboardInterrupt:
    print("interrupted;", "asked to stop" if aws.plan.end == "Stopped" else "not stopped")
    sys.exit(3)
"""


@pytest.fixture
def program(script: Path, tmp_path: Path) -> list[str]:
    file = tmp_path / "watches.py"
    file.write_text(WATCHES)
    return [str(file), str(script)]


@pytest.fixture
def terminal(program: list[str]) -> Iterator[Terminal]:
    """It shows a job that runs, and Ctrl-C was pressed."""
    with python_in_a_terminal(program, dict(os.environ)) as terminal:
        terminal.wait_for("it begins")
        terminal.wait_for("Ctrl-C: detach or stop")
        terminal.press(CTRL_C)
        terminal.wait_for(QUESTION)
        terminal.wait_until_it_reads()
        yield terminal


def test_enter_detaches_and_says_how_to_find_the_job_again(terminal: Terminal) -> None:
    terminal.press("\n")
    assert terminal.wait() == 3
    assert "`job` goes on without being watched" in terminal.text
    assert "attach('job')" in terminal.text
    assert "interrupted; not stopped" in terminal.text


def test_a_second_ctrl_c_detaches_at_once(terminal: Terminal) -> None:
    terminal.press(CTRL_C)
    assert terminal.wait() == 3
    assert "`job` goes on without being watched" in terminal.text
    assert "interrupted; not stopped" in terminal.text


def test_the_end_of_input_detaches(terminal: Terminal) -> None:
    terminal.press("\x04")
    assert terminal.wait() == 3
    assert "interrupted; not stopped" in terminal.text


def test_stop_stops_the_job_and_shows_it_to_its_end(terminal: Terminal) -> None:
    terminal.press("s\n")
    assert terminal.wait() == 3
    rows = terminal.text.splitlines()
    assert rows.count("it begins") == 1
    assert rows.index("Training job `job` is asked to stop; Ctrl-C detaches") < rows.index("saved")
    assert "  ● Stopped" in terminal.text
    assert "`job` is Stopped, not Completed" in terminal.text
    assert "interrupted; asked to stop" in terminal.text


def test_without_a_terminal_it_detaches_and_asks_nothing(program: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, *program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line == "it begins\n":
                break
        running.send_signal(2)
        rest = running.stdout.read()
    assert running.returncode == 3
    assert QUESTION not in rest
    assert "\x1b" not in rest
    assert "Session().stop_training_job('job')" in rest
    assert "interrupted; not stopped" in rest
