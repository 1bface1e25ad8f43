"""The script as one rank of several: what it leaves behind, and how stop signals reach it."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from intermodal_training.launchers.ranks import (
    FOLDER_VARIABLE,
    RankFolder,
    RankReport,
    first_failure,
    settle,
)
from intermodal_training.report import Ending, find_exception
from intermodal_training.supervise import Companion, Outcome, Signals, run

RANK = [sys.executable, "-m", "intermodal_training.launchers.rank"]
SAVES = """
import signal, sys, time

def stop(number, frame):
    time.sleep(float(sys.argv[1]))
    sys.exit(7)

signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(30)
"""


def start(folder: Path, rank: int, code: str, *arguments: str) -> "subprocess.Popen[str]":
    script = folder / f"script{rank}.py"
    script.write_text(code)
    return subprocess.Popen(
        [*RANK, str(script), *arguments],
        env={FOLDER_VARIABLE: str(folder), "RANK": str(rank), "SM_CURRENT_HOST": "algo-2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


@pytest.mark.parametrize(
    ("code", "exit_code", "signal_number"),
    [
        ("pass", 0, None),
        ("import sys; sys.exit(37)", 37, None),
        ("import os; os.kill(os.getpid(), 9)", -9, 9),
        ("import os; os.abort()", 134, 6),
    ],
)
def test_a_rank_ends_as_its_script_does_and_says_how(
    tmp_path: Path, code: str, exit_code: int, signal_number: int | None
) -> None:
    process = start(tmp_path, 3, code)
    _, error = process.communicate(timeout=20)
    assert process.returncode == exit_code, error
    (report,) = RankFolder(tmp_path).reports()
    assert (report.rank, report.host) == (3, "algo-2")
    assert report.outcome.signal == signal_number
    if exit_code:
        assert " of rank 3 on algo-2, command " in report.ending.failure


def test_a_stop_reaches_all_ranks_and_none_ends_before_all_have_saved(tmp_path: Path) -> None:
    slow, quick = start(tmp_path, 0, SAVES, "0.6"), start(tmp_path, 1, SAVES, "0")
    for process in (slow, quick):
        ready(process)
    RankFolder(tmp_path).pass_on(signal.SIGTERM, launcher=0)
    quick.communicate(timeout=20)
    assert len(RankFolder(tmp_path).reports()) == 2
    slow.communicate(timeout=20)
    assert (quick.returncode, slow.returncode) == (7, 7)


def test_a_rank_hears_only_the_first_stop(tmp_path: Path) -> None:
    process = start(tmp_path, 0, SAVES.replace("time.sleep(float", "signal.alarm(9); (float"), "0")
    ready(process)
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 7


def test_a_stop_that_comes_again_while_a_rank_ends_changes_nothing(tmp_path: Path) -> None:
    process = start(tmp_path, 0, SAVES, "0")
    ready(process)
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 7


def test_a_rank_that_starts_after_the_stop_does_not_run(tmp_path: Path) -> None:
    launcher = subprocess.Popen(["sleep", "30"], start_new_session=True)
    RankFolder(tmp_path).pass_on(signal.SIGTERM, launcher.pid)
    assert launcher.wait(10) == -signal.SIGTERM
    process = start(tmp_path, 0, "print('ran')")
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (143, "")


def test_a_killed_rank_takes_its_script_along(tmp_path: Path) -> None:
    process = start(tmp_path, 0, "import os, time; print(os.getpid(), flush=True); time.sleep(30)")
    assert process.stdout is not None
    script = int(process.stdout.readline())
    pidfd = os.pidfd_open(script)
    process.kill()
    process.communicate(timeout=20)
    assert select.select([pidfd], [], [], 10)[0]
    os.close(pidfd)


def test_a_stop_that_comes_when_all_is_over_is_nobodys(tmp_path: Path) -> None:
    RankFolder(tmp_path / "gone").pass_on(signal.SIGTERM, os.getpid())


def report(rank: int, ended_at: float, outcome: Outcome) -> RankReport:
    return RankReport(rank, "algo-1", ("python", "train.py"), ended_at, outcome)


def test_the_rank_that_failed_first_is_blamed_not_those_that_were_ended_for_it() -> None:
    ended = report(0, 1.0, Outcome(143, signal=15, stopped_by=15))
    first = report(1, 2.0, Outcome(1))
    second = report(2, 3.0, Outcome(1))
    assert first_failure([ended, second, first, report(3, 0.0, Outcome(0))]) is first
    assert first_failure([ended]) is ended
    assert first_failure([]) is None


def test_the_ranks_decide_how_a_run_ended_and_the_launcher_where_they_cannot() -> None:
    of_launcher = Ending(1, "no port")
    good, bad = report(0, 1.0, Outcome(0)), report(1, 1.0, Outcome(37))
    assert settle([], of_launcher, was_stopped=False) == of_launcher
    assert settle([good], of_launcher, was_stopped=False) == of_launcher
    assert settle([good, bad], of_launcher, was_stopped=False).exit_code == 37
    assert settle([good], of_launcher, was_stopped=True) == Ending(0)
    assert settle([good], Ending(0), was_stopped=False) == Ending(0)


def test_what_libraries_say_around_a_traceback_is_no_part_of_the_message() -> None:
    raised = find_exception(
        "[rank1]: Traceback (most recent call last):\n"
        '[rank1]:   File "<frozen runpy>", line 88, in _run_code\n'
        '[rank1]:   File "train.py", line 7, in <module>\n'
        "[rank1]: ValueError: boom\n"
        "[rank1]:[W1123 16:00:00.1 ProcessGroup.cpp:1] Warning: not destroyed\n"
        "--------------------------------------------------\nMPI_ABORT was invoked\n"
    )
    assert raised is not None
    assert raised.message == "ValueError: boom"
    assert raised.frames == ['  File "train.py", line 7, in <module>']


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def run_beside(companion: Companion, command: list[str], folder: Path) -> Outcome:
    signals = Signals()
    with signals.installed():
        return run(command, folder, os.environ, signals, companions=[companion])


def test_a_companion_that_fails_takes_the_program_along(tmp_path: Path) -> None:
    companion = Companion("server", program("raise OSError('no memory')"), os.environ)
    outcome = run_beside(companion, ["sleep", "30"], tmp_path)
    assert outcome.exit_code == 137
    assert outcome.broken_companion is not None
    assert outcome.broken_companion.companion is companion
    assert "OSError: no memory" in outcome.broken_companion.outcome.error_tail


def test_a_companion_may_end_after_the_program_and_is_ended_with_a_failed_one(
    tmp_path: Path,
) -> None:
    writes = "import time; time.sleep(0.5); open('late', 'w').close()"
    companion = Companion("server", program(writes), os.environ)
    assert run_beside(companion, ["true"], tmp_path).exit_code == 0
    assert (tmp_path / "late").exists()
    endless = Companion("server", ["sleep", "30"], os.environ)
    outcome = run_beside(endless, ["false"], tmp_path)
    assert (outcome.exit_code, outcome.broken_companion) == (1, None)
