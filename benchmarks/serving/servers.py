"""A server that runs: started on one core, asked until it is ready, stopped with all it started."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.figures import NotMeasuredError
from benchmarks.serving.processes import tree
from benchmarks.serving.workloads import Workload, check

HOST = "127.0.0.1"

_READY_WITHIN_S = 60.0
_POLL_S = 0.002
_ANSWER_WITHIN_S = 60.0
_END_WITHIN_S = 30.0
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "OPENBLAS_CORETYPE")


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server is started.

    Attributes:
        command: the program and its arguments.
        environment: variables beside the few that every program gets.
        ping_path: answers 200 when the server is ready.
    """

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    ping_path: str = "/ping"


class Contender(Protocol):
    """A kind of server that can be measured."""

    @property
    def name(self) -> str:
        """As the table has it."""

    @property
    def starts(self) -> int:
        """How often it is started at most until it is ready."""

    def prepare(self) -> None:
        """Makes sure that it can be started.

        Raises:
            NotMeasuredError: it cannot be had here.
        """

    def launch(self, workload: Workload, base: Path, port: int, workers: int) -> Launch:
        """How it serves one workload, whose model folder lies below `base`."""


@dataclass(slots=True)
class Running:
    """A server that was started and is ready.

    Attributes:
        name: the contender's.
        port: where it listens.
        process: what was started; others may descend from it.
        ready_s: seconds from its start to its first 200 on `/ping`.
    """

    name: str
    port: int
    process: "subprocess.Popen[bytes]"
    ready_s: float = 0.0

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self.process.pid

    def signal_all(self, number: signal.Signals) -> None:
        """Sends a signal to the server's processes, parents first."""
        for pid in tree(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def ask(self, workload: Workload) -> bytes:
        """The answer to the workload's request.

        Raises:
            NotMeasuredError: there is none, or it is not 200.
        """
        headers = {"Content-Type": workload.content_type}
        with closing(http.client.HTTPConnection(HOST, self.port, _ANSWER_WITHIN_S)) as connection:
            try:
                connection.request("POST", "/invocations", workload.body, headers)
                response = connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException) as error:
                raise NotMeasuredError(f"no answer: {error!r}") from error
        if response.status != http.client.OK:
            raise NotMeasuredError(f"answers {response.status}: {answer[:120]!r}")
        return answer


@contextmanager
def running(
    contender: Contender,
    workload: Workload,
    base: Path,
    *,
    core: int,
    workers: int = 1,
    expected: object = None,
) -> Iterator[Running]:
    """A server that is ready, and has answered the workload's request rightly.

    Args:
        contender: what is started.
        workload: what it serves.
        base: the folder that stands for `/opt/ml`; logs go there.
        core: where all its processes run.
        workers: how many processes hold the model.
        expected: the right answer; computed if not given.

    Raises:
        NotMeasuredError: it ended or did not become ready, with its last words.
    """
    server = _ready(contender, workload, base, core, workers)
    try:
        right = workload.expected(base) if expected is None else expected
        check(workload, server.ask(workload), right)
        yield server
    finally:
        stop(server)


def start(launch: Launch, core: int, log: Path) -> "subprocess.Popen[bytes]":
    """Starts a server in a session of its own, its output in a file."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    with log.open("wb") as output:
        return subprocess.Popen(
            launch.command,
            env=inherited | dict(launch.environment),
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )


def wait_until_ready(server: Running, ping_path: str, log: Path) -> None:
    """Asks until the answer is 200; nothing else can be waited on.

    Raises:
        NotMeasuredError: it ended, or took too long.
    """
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline:
        if is_ready(server.port, ping_path):
            return
        if server.process.poll() is not None:
            raise NotMeasuredError(f"{server.name} ended while it started: {_last_line(log)}")
        time.sleep(_POLL_S)
    raise NotMeasuredError(f"{server.name} was not ready after {_READY_WITHIN_S:.0f} s")


def is_ready(port: int, ping_path: str) -> bool:
    """Whether a server says 200."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=5.0)) as connection:
        try:
            connection.request("GET", ping_path)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False


def stop(server: Running) -> None:
    """Ends a server and whatever it started, by force if need be."""
    server.signal_all(signal.SIGCONT)
    server.process.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.process.wait(_END_WITHIN_S)
    server.signal_all(signal.SIGKILL)
    server.process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with closing(socket.socket()) as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


class Serve:
    """The program `serve` of this repository."""

    name = "serve"
    starts = 1

    def prepare(self) -> None:
        """Nothing to do: `make` has installed it."""

    def launch(self, workload: Workload, base: Path, port: int, workers: int) -> Launch:
        """By the contract's own variables."""
        batching = {"MAX_BATCH_SIZE": str(workload.max_batch), "MAX_BATCH_DELAY_MS": "0"}
        return Launch(
            [str(Path(sys.executable).with_name("serve"))],
            {
                "SAGEMAKER_BASE_DIR": str(base),
                "SAGEMAKER_BIND_TO_HOST": HOST,
                "SAGEMAKER_BIND_TO_PORT": str(port),
                "SAGEMAKER_MODEL_SERVER_WORKERS": str(workers),
            }
            | (batching if workload.max_batch > 1 else {}),
        )


def _ready(
    contender: Contender, workload: Workload, base: Path, core: int, workers: int
) -> Running:
    log = base / f"{contender.name}.log"
    for left in reversed(range(contender.starts)):
        port = free_port()
        launch = contender.launch(workload, base, port, workers)
        began = time.monotonic()
        server = Running(contender.name, port, start(launch, core, log))
        try:
            wait_until_ready(server, launch.ping_path, log)
        except BaseException as error:
            stop(server)
            if not left or not isinstance(error, NotMeasuredError):
                raise
        else:
            server.ready_s = time.monotonic() - began
            return server
    raise NotMeasuredError(f"{contender.name} is never started")


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:160] if lines else "it said nothing"
