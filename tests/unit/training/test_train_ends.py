"""How `train` ends: exit codes, signals, and what the failure file says."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from intermodal_contract.training_files import FAILURE_LIMIT, ResourceConfig
from intermodal_training.report import describe, find_exception
from intermodal_training.supervise import Outcome
from tests.helpers.train_program import TrainProgram

FAILING = """
import sys

def fit(batches):
    raise ValueError("boom line1\\nline2")

print("before")
print("warning: about to fail", file=sys.stderr)
fit(3)
"""

WAITING = """
import pathlib, signal, sys, time

def stop(number, frame):
    time.sleep(0.2)
    pathlib.Path("saved").write_text("checkpoint")
    sys.exit({code})

signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(30)
"""


def test_the_users_own_exception_comes_first_then_where_then_the_command(
    train: TrainProgram,
) -> None:
    result = train.run({"train.py": FAILING}, values={"epochs": 3})
    assert result.code == 1
    assert result.failure is not None
    lines = result.failure.splitlines()
    assert lines[:2] == ["ValueError: boom line1", "line2"]
    assert lines[-3:-1] == [
        f'  File "{train.paths.code}/train.py", line 5, in fit',
        '    raise ValueError("boom line1\\nline2")',
    ]
    python = Path(sys.executable).name
    assert lines[-1] == f"exit code 1, command `{python} train.py --epochs 3`"
    assert not train.paths.success_file.exists()


def test_nothing_of_the_output_is_lost_when_a_script_fails(train: TrainProgram) -> None:
    result = train.run({"train.py": FAILING})
    assert result.out == "before\n"
    assert result.err.startswith("warning: about to fail\nTraceback (most recent call last):")
    assert "ValueError: boom line1\nline2\n" in result.err


def test_much_output_passes_whole(train: TrainProgram) -> None:
    script = """
import sys
for number in range(20000):
    print("out", number)
    print("error", number, file=sys.stderr)
sys.exit("the end")
"""
    result = train.run({"train.py": script})
    assert result.out.splitlines() == [f"out {number}" for number in range(20000)]
    assert result.err.splitlines()[:20000] == [f"error {number}" for number in range(20000)]
    assert result.failure is not None
    assert "the end" in result.failure


def test_output_arrives_while_the_script_runs(train: TrainProgram) -> None:
    script = "import sys, time\nprint('first')\nprint('second', file=sys.stderr)\ntime.sleep(30)"
    process = train.start({"train.py": script})
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "first\n"
    assert process.stderr.readline() == "second\n"
    process.terminate()
    assert train.finish(process).code == 128 + signal.SIGTERM


@pytest.mark.parametrize("code", [3, 100])
def test_the_scripts_exit_code_is_kept(train: TrainProgram, code: int) -> None:
    result = train.run({"train.py": f"import sys; sys.exit({code})"})
    assert result.code == code
    assert result.failure is not None
    assert result.failure.startswith("the script said nothing on stderr\n")
    assert f"exit code {code}," in result.failure


def test_a_shell_scripts_last_words_are_reported(train: TrainProgram) -> None:
    script = "echo 'data is missing' >&2; echo; echo 'giving up' >&2; exit 7"
    result = train.run({"run.sh": script}, program="run.sh")
    assert result.code == 7
    assert result.failure is not None
    assert result.failure.startswith("data is missing\ngiving up\nexit code 7, command `sh")


def test_a_program_that_was_killed_under_a_shell_script_is_told(train: TrainProgram) -> None:
    result = train.run({"run.sh": "sh -c 'kill -9 $$'; exit $?"}, program="run.sh")
    assert result.code == 137
    assert result.failure is not None
    assert "exit code 137 (128 + SIGKILL, most likely because memory ran out)" in result.failure


@pytest.mark.parametrize("code", [129 + 64, 255])
def test_an_exit_code_that_stands_for_no_signal_is_not_called_one(
    train: TrainProgram, code: int
) -> None:
    result = train.run({"train.py": f"raise SystemExit({code})"})
    assert result.code == code
    assert result.failure is not None
    assert f"exit code {code}, command `" in result.failure


def test_a_pipe_in_place_of_the_failure_file_is_not_waited_for(train: TrainProgram) -> None:
    script = "import os; os.mkfifo(os.environ['SM_OUTPUT_DIR'] + '/failure'); os._exit(3)"
    process = train.start({"train.py": script})
    process.communicate(timeout=60)
    assert process.returncode == 3


def test_a_script_that_cannot_be_compiled_names_the_line(train: TrainProgram) -> None:
    result = train.run({"train.py": "x = 1\nif x = 2:\n    pass\n"})
    assert result.code == 1
    assert result.failure is not None
    assert result.failure.startswith("SyntaxError: invalid syntax")
    assert 'train.py", line 2' in result.failure


def test_a_handled_exception_in_the_log_is_not_taken_for_the_end(train: TrainProgram) -> None:
    script = """
import sys, traceback
try:
    1 / 0
except ZeroDivisionError:
    traceback.print_exc()
sys.stderr.write("no data left\\n")
sys.exit(4)
"""
    result = train.run({"train.py": script})
    assert result.code == 4
    assert result.failure is not None
    assert not result.failure.startswith("ZeroDivisionError")
    assert result.failure.splitlines()[-2] == "no data left"


def test_a_long_message_leaves_room_for_where_and_what(train: TrainProgram) -> None:
    script = "def deep():\n    raise RuntimeError('x' * 5000)\ndeep()"
    result = train.run({"train.py": script}, values={"text": "y" * 2000})
    assert result.failure is not None
    assert len(result.failure) <= FAILURE_LIMIT
    assert result.failure.startswith("RuntimeError: xxx")
    assert "in deep" in result.failure
    assert "exit code 1, command `" in result.failure


def test_a_failure_that_the_script_wrote_itself_is_kept(train: TrainProgram) -> None:
    script = """
import os, pathlib
pathlib.Path(os.environ["SM_OUTPUT_FAILURE"]).write_text("mine")
raise SystemExit(2)
"""
    result = train.run({"train.py": script})
    assert (result.code, result.failure) == (2, "mine")


def test_an_earlier_runs_reports_are_forgotten(train: TrainProgram) -> None:
    assert train.run({"train.py": "raise SystemExit(1)"}).failure is not None
    assert train.run({"train.py": ""}).failure is None
    assert train.paths.success_file.exists()
    assert train.run({"train.py": "raise SystemExit(1)"}).failure is not None
    assert not train.paths.success_file.exists()


@pytest.mark.parametrize("code", [0, 5])
def test_a_stop_is_passed_on_and_the_script_has_time_to_save(
    train: TrainProgram, code: int
) -> None:
    process = train.start({"train.py": WAITING.format(code=code)})
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    result = train.finish(process)
    assert result.code == code
    assert (train.paths.code / "saved").read_text() == "checkpoint"
    if code:
        assert result.failure is not None
        assert "exit code 5 after `train` passed on SIGTERM" in result.failure


def test_a_stop_reaches_what_a_shell_script_started_and_is_waited_for(train: TrainProgram) -> None:
    files = {"run.sh": f"{sys.executable} learn.py", "learn.py": WAITING.format(code=0)}
    process = train.start(files, program="run.sh")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()  # ends the shell at once, but not what it waits for
    result = train.finish(process)
    assert result.code == 128 + signal.SIGTERM
    assert (train.paths.code / "saved").read_text() == "checkpoint"
    assert result.failure is not None
    assert result.failure.startswith("stopped: SIGTERM was passed on")


def test_an_interrupt_is_passed_on(train: TrainProgram) -> None:
    process = train.start({"train.py": "import time\nprint('ready')\ntime.sleep(30)"})
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    result = train.finish(process)
    assert "KeyboardInterrupt" in result.err
    assert result.code == 128 + signal.SIGINT


def test_a_stop_before_the_script_starts_ends_train(train: TrainProgram) -> None:
    train.resources = ResourceConfig(hosts=("algo-1", "gone.invalid"))
    process = train.start({"train.py": "print('ran')"})
    while not (train.paths.code / "train.py").exists():
        time.sleep(0.01)
    time.sleep(0.1)
    process.terminate()
    result = train.finish(process)
    assert (result.code, result.out) == (128 + signal.SIGTERM, "")
    assert result.failure == "stopped by SIGTERM before the script started"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "killed by SIGKILL, most likely because memory ran out"),
        (signal.SIGSEGV, "crashed with SIGSEGV, in native code"),
        (signal.SIGUSR1, "killed by SIGUSR1"),
    ],
)
def test_a_script_that_dies_by_a_signal_says_which(
    train: TrainProgram, number: signal.Signals, words: str
) -> None:
    script = (
        "import os, sys, resource\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "print('last words', file=sys.stderr, flush=True)\n"
        f"os.kill(os.getpid(), {int(number)})"
    )
    result = train.run({"train.py": script})
    assert result.code == 128 + number
    assert result.failure is not None
    assert words in result.failure.splitlines()[0]
    assert "last words" in result.failure


def test_what_a_script_leaves_running_ends_with_it(train: TrainProgram, tmp_path: Path) -> None:
    script = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid)
"""
    started = time.monotonic()
    result = train.run({"train.py": script})
    assert result.code == 0
    assert time.monotonic() - started < 10
    _wait_until_gone(int(result.out))


def _wait_until_gone(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    poller = select.poll()
    poller.register(handle, select.POLLIN)
    assert poller.poll(5000)
    os.close(handle)


def test_a_daemon_that_keeps_stderr_open_does_not_hold_the_job_up(train: TrainProgram) -> None:
    script = """
import subprocess, sys
command = [sys.executable, "-c", "import time; time.sleep(60)"]
child = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
print(child.pid)
"""
    process = train.start({"train.py": script})
    started = time.monotonic()
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    try:
        assert process.wait(timeout=20) == 0
        assert time.monotonic() - started < 10
    finally:
        os.kill(pid, signal.SIGKILL)
        process.communicate()


def test_train_as_the_first_process_reaps_orphans(train: TrainProgram) -> None:
    script = """
import os, subprocess, sys, time
subprocess.run(["/bin/sh", "-c", "sleep 0.05 & sleep 0.05 & exit 0"])
time.sleep(0.4)
states = subprocess.run(["ps", "-eo", "stat="], capture_output=True, text=True).stdout.split()
print(sum(state.startswith("Z") for state in states))
"""
    folder = train.source({"train.py": script})
    train.prepare("train.py", str(folder), {})
    command = ["unshare", "--fork", "--pid", "--mount-proc", sys.executable, "-m"]
    done = subprocess.run(
        [*command, "intermodal_training.cli"],
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(train.root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "unshare" in done.stderr or "ps" in done.stderr:
        pytest.skip(f"needs PID namespaces and ps: {done.stderr}")
    assert (done.returncode, done.stdout) == (0, "0\n")


@pytest.fixture
def tight_memory() -> Iterator[Path]:
    """A memory cgroup of 64 MiB; only root can make one."""
    one, two = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    group, limit = (
        (one / "intermodal-test", "memory.limit_in_bytes")
        if one.is_dir()
        else (two / "intermodal-test", "memory.max")
    )
    try:
        group.mkdir()
        (group / limit).write_text(str(64 * 2**20))
    except OSError as error:
        pytest.skip(f"needs a memory cgroup: {error}")
    yield group
    group.rmdir()


@pytest.mark.needs_root
def test_a_script_that_really_runs_out_of_memory_says_so(
    train: TrainProgram, tight_memory: Path
) -> None:
    script = "held = []\nwhile True:\n    held.append(bytearray(b'x' * 2**20))"
    folder = train.source({"train.py": script})
    train.prepare("train.py", str(folder), {})
    enter = f"echo $$ > {tight_memory}/cgroup.procs && exec {sys.executable} -m"
    done = subprocess.run(
        ["/bin/sh", "-c", f"{enter} intermodal_training.cli"],
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(train.root)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 128 + signal.SIGKILL
    assert train.paths.failure_file.read_text().startswith(
        "out of memory: the kernel killed a process of the script (SIGKILL)\n"
    )


def test_running_out_of_memory_is_said_plainly() -> None:
    outcome = Outcome(exit_code=137, signal=9, out_of_memory=True, error_tail="epoch 3\n")
    text = describe(outcome, ("python", "train.py"))
    assert text.startswith("out of memory: the kernel killed a process of the script (SIGKILL)\n")
    assert text.endswith("epoch 3\nexit code 137, command `python train.py`")


def test_of_chained_exceptions_the_last_counts() -> None:
    tail = """noise
Traceback (most recent call last):
  File "a.py", line 1, in <module>
    load()
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
    raise data.BadDataError("no x") from None
    ^^^^^^^^^^^^^^^
data.BadDataError: no x
"""
    raised = find_exception(tail)
    assert raised is not None
    assert raised.message == "data.BadDataError: no x"
    assert raised.frames == [
        '  File "a.py", line 3, in <module>',
        '    raise data.BadDataError("no x") from None',
    ]


@pytest.mark.parametrize(
    "tail",
    ["", "plain words\n", "Traceback (most recent call last):\n", "UserWarning: careful\nmore\n"],
)
def test_what_is_no_exception_is_not_taken_for_one(tail: str) -> None:
    assert find_exception(tail) is None
