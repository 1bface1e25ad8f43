"""What the serving benchmark takes for a success, and what it never does."""

import asyncio
import json
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.__main__ import AREAS, selected
from benchmarks.figures import NotMeasuredError
from benchmarks.serving.choice import chosen
from benchmarks.serving.client import Clients, Tally
from benchmarks.serving.measured import Measured, figure
from benchmarks.serving.processes import owners, tree
from benchmarks.serving.servers import Launch, Serve, free_port, running, start
from benchmarks.serving.workloads import Workload, check, echo
from benchmarks.serving.wrk import read_result

if TYPE_CHECKING:
    import subprocess

FINE = {"requests": 900, "microseconds": 3_000_000, "p50": 2500.0, "p99": 8100.0}
NO_ERRORS = dict.fromkeys(("connect", "read", "write", "status", "timeout"), 0)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

Handle = Callable[[asyncio.Transport, int], None]


def test_serving_stands_for_all_of_its_areas() -> None:
    assert selected(["serving", "imports"]) == [
        "imports", "serving.speed", "serving.start", "serving.faults",
    ]  # fmt: skip
    assert selected([]) == list(AREAS)
    assert selected(["servin"]) == []


def test_a_misspelt_choice_is_no_empty_table(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"W0": 0, "W1": 1, "W2": 2}
    monkeypatch.delenv("BENCH_WORKLOADS", raising=False)
    assert chosen("BENCH_WORKLOADS", known) == [0, 1, 2]
    monkeypatch.setenv("BENCH_WORKLOADS", "w2, W0")
    assert chosen("BENCH_WORKLOADS", known) == [0, 2]
    monkeypatch.setenv("BENCH_WORKLOADS", "")
    assert chosen("BENCH_WORKLOADS", known) == []
    monkeypatch.setenv("BENCH_WORKLOADS", "W7")
    with pytest.raises(SystemExit, match="`w7`; there are W0, W1, W2"):
        chosen("BENCH_WORKLOADS", known)


def test_a_clean_run_of_wrk_is_read() -> None:
    load = read_result("Running 3s test\nRESULT " + json.dumps(FINE | NO_ERRORS))
    assert load.per_s == pytest.approx(300)
    assert (load.p50_ms, load.p99_ms) == (2.5, 8.1)


@pytest.mark.parametrize("kind", NO_ERRORS)
def test_one_failed_request_makes_the_run_worth_nothing(kind: str) -> None:
    with pytest.raises(NotMeasuredError, match=f"of 900 requests failed: 1 {kind}"):
        read_result("RESULT " + json.dumps(FINE | NO_ERRORS | {kind: 1}))


def test_a_run_without_a_result_is_no_figure() -> None:
    with pytest.raises(NotMeasuredError, match="unable to connect"):
        read_result("", "unable to connect to 127.0.0.1")


def test_what_fails_once_is_not_measured_whatever_went_well_before() -> None:
    ours, peer = Measured(Serve()), Measured(Serve(), {"per_s": [5.0, 7.0, 6.0]})
    ours.add("per_s", 99_999.0)
    with ours.or_failure():
        read_result("RESULT " + json.dumps(FINE | NO_ERRORS | {"status": 1}))
    found = figure("speed", "/s", 9000, [ours, peer], "per_s", at_least=True)
    assert (found.median, found.holds) == (None, None)
    assert found.note == "of 900 requests failed: 1 status"
    beside = figure("speed", "/s", 1, [peer, ours], "per_s", at_least=True)
    assert beside.holds
    assert beside.note == "serve not measured (of 900 requests failed: 1 status)"


@pytest.mark.parametrize("answer", [b"", b"[[1.0]]", b"[[1.0, 2.1]]", b"{}", b"[[1.0, null]]"])
def test_a_wrong_answer_is_found_before_anything_is_measured(answer: bytes) -> None:
    check(echo(), b"[[1.0, 2.00001]]", [[1.0, 2.0]])
    with pytest.raises(NotMeasuredError):
        check(echo(), answer, [[1.0, 2.0]])


def test_requests_that_are_answered_do_not_fail_and_a_closed_connection_is_made_anew() -> None:
    def handle(writer: asyncio.Transport, number: int) -> None:
        closes = number % 3 == 0
        writer.write(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) if closes else OK)
        if closes:
            writer.close()

    tally = asyncio.run(_load(handle))
    assert tally.answered > 20
    assert tally.failures == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "the connection was ended"),
        (OK[:-1], "the connection was ended"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "status 503"),
        (b"nonsense", "no HTTP"),
    ],
)
def test_a_request_without_its_whole_answer_has_failed(answer: bytes, why: str) -> None:
    def handle(writer: asyncio.Transport, number: int) -> None:
        writer.write(answer if number == 7 else OK)
        if number == 7 and not answer.endswith(b"\r\n\r\n"):
            writer.close()

    tally = asyncio.run(_load(handle))
    assert [why in failure.why for failure in tally.failures] == [True]
    assert tally.answered > 20


def test_an_answer_that_never_comes_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.serving.client._ANSWER_WITHIN_S", 0.2)

    def handle(writer: asyncio.Transport, number: int) -> None:
        if number != 7:
            writer.write(OK)

    tally = asyncio.run(_load(handle))
    assert [failure.why for failure in tally.failures] == ["no answer in time"]


def test_who_cannot_connect_has_sent_nothing() -> None:
    async def refused() -> tuple[bool, Tally]:
        clients = Clients(free_port(), b"{}", lasting=2, fleeting=2)
        clients.start()
        return await clients.until_refused(5.0), clients.tally

    is_over, tally = asyncio.run(refused())
    assert is_over
    assert (tally.answered, tally.failures, tally.refused) == (0, [], 4)


def test_an_orphan_still_belongs_to_its_server(tmp_path: Path) -> None:
    script = "import subprocess as s; s.Popen(['sleep', '60'])"
    with _started(script, tmp_path) as process:
        process.wait()
        [orphan] = tree(process.pid)
        assert Path(f"/proc/{orphan}/comm").read_text().strip() == "sleep"


def test_each_connection_has_the_process_that_accepted_it() -> None:
    async def ask() -> dict[int, int]:
        async with _serving(lambda writer, _: writer.write(OK)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST / HTTP/1.1\r\n\r\n")
            await reader.readline()
            mine = writer.get_extra_info("sockname")[1]
            writer.close()
            return {
                mine - client_port: pid for client_port, pid in owners(port, [os.getpid()]).items()
            }

    assert asyncio.run(ask()) == {0: os.getpid()}


def test_a_server_that_ends_says_why(tmp_path: Path) -> None:
    class Broken(Serve):
        def launch(self, *_: Any) -> Launch:
            return Launch([sys.executable, "-c", "raise SystemExit('no model here')"])

    workload = Workload("W0", "echo", "application/json", "", b"[1]")
    with (
        pytest.raises(NotMeasuredError, match="ended while it started: no model here"),
        running(Broken(), workload, tmp_path, core=min(os.sched_getaffinity(0))),
    ):
        pytest.fail("it cannot run")


class _Fake(asyncio.Protocol):
    """A server's end of a connection that answers as it is told."""

    def __init__(self, handle: Handle, numbers: Iterator[int], made: list[asyncio.Transport]):
        self._handle, self._numbers, self._made = handle, numbers, made

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._made.append(transport)

    def data_received(self, data: bytes) -> None:
        self._handle(self._transport, next(self._numbers))


@asynccontextmanager
async def _serving(handle: Handle) -> AsyncIterator[int]:
    made: list[asyncio.Transport] = []
    make = partial(_Fake, handle, count(1), made)
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for transport in made:
            transport.abort()
        await asyncio.sleep(0)


async def _load(handle: Handle) -> Tally:
    async with _serving(handle) as port:
        clients = Clients(port, b"{}", lasting=3, fleeting=1)
        clients.start()
        await asyncio.sleep(0.3)
        await clients.stop()
        return clients.tally


@contextmanager
def _started(script: str, folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
    core = min(os.sched_getaffinity(0))
    process = start(Launch([sys.executable, "-c", textwrap.dedent(script)]), core, folder / "log")
    try:
        yield process
    finally:
        for pid in tree(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
