"""A worker that is killed, and SIGTERM, both while clients keep the server at full load.

The model needs no framework and loads in no time, so a bound of `1 s plus model load` is 1 s. Its
prediction takes a fraction of a millisecond, so that requests always wait in the server and not in
the clients.
"""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import uvloop

from benchmarks.figures import Figure, NotMeasuredError
from benchmarks.serving.client import Clients, Tally
from benchmarks.serving.cores import own_core, two_cores
from benchmarks.serving.measured import figure, prepared
from benchmarks.serving.peers import peers
from benchmarks.serving.processes import owners, tree
from benchmarks.serving.servers import HOST, Contender, Running, Serve, running
from benchmarks.serving.workloads import JSON, Workload

T = TypeVar("T")

_RUNS = 3
_LOAD_S = 1.5
_CALM_S = 0.5
_BACK_WITHIN_S = 30.0
_END_WITHIN_S = 30.0
_REFUSED_WITHIN_S = 10.0
_LASTING = 24
_FLEETING = 8
_POLL_S = 0.005
_ANSWER_WITHIN_S = 5.0

_BUSY = """
def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    sum(range(10_000))
    return data

def output_fn(prediction, accept):
    return prediction
"""
_PROBE = (
    b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)
_WORKLOAD = Workload("busy", "", JSON, _BUSY, b'{"instances": [[1.0, 2.0]]}')


class _Kill(NamedTuple):
    in_flight: int
    others: int
    back_s: float


class _End(NamedTuple):
    answered: int
    failed: int
    why: str


def measure() -> list[Figure]:
    """Kills workers of `serve`, and ends it and its peers."""
    return [*_kills(), *_ends()]


def _kills() -> list[Figure]:
    kills: list[_Kill] = []
    reason = ""
    try:
        kills += [_at_full_load(Serve(), 2, _kill_a_worker) for _ in range(_RUNS)]
    except NotMeasuredError as error:
        reason = str(error)
    lost = sum(kill.in_flight for kill in kills)
    note = f"{lost} that were in flight in it failed, in {len(kills)} kills" if kills else reason
    others = [float(sum(kill.others for kill in kills))] if kills else []
    return [
        Figure("serving: kill -9 of one of two workers: other failed requests", "", 0, others,
               note=note),
        Figure("serving: the same: until a new worker answers", "s", 1.0,
               [kill.back_s for kill in kills], note=reason),
    ]  # fmt: skip


def _ends() -> list[Figure]:
    window = prepared([Serve(), *peers()])
    notes = []
    for one in [one for one in window if not one.failure]:
        with one.or_failure():
            ends = [_at_full_load(one.contender, 1, _end) for _ in range(_RUNS)]
            one.add("failed", float(sum(end.failed for end in ends)))
            if one is window[0]:
                answered = sum(end.answered for end in ends)
                notes.append(f"of {answered} in {_RUNS} drills")
                notes += [end.why for end in ends if end.why][:1]
    what = "serving: SIGTERM at full load: failed requests"
    return [figure(what, "", 0, window, "failed", note=", ".join(notes))]


def _at_full_load(
    contender: Contender, workers: int, act: Callable[[Running], Coroutine[Any, Any, T]]
) -> T:
    cores = two_cores()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        _WORKLOAD.lay_out(base)
        starting = running(contender, _WORKLOAD, base, core=cores.server, workers=workers)
        with starting as server, own_core(cores.load):
            outcome: T = uvloop.run(act(server))
    return outcome


async def _kill_a_worker(server: Running) -> _Kill:
    """Kills the process that holds most connections, at a moment when it is known which."""
    clients = Clients(server.port, _WORKLOAD.body, lasting=_LASTING + _FLEETING, fleeting=0)
    clients.start()
    try:
        await asyncio.sleep(_LOAD_S)
        _expect_none(clients.tally)
        before = tree(server.pid)
        owner = owners(server.port, before)
        held = list(owner.values())
        if len(before) < 3 and len(set(held)) < 2:
            raise NotMeasuredError("one process holds all connections: there are no two workers")
        victim = max(set(held), key=held.count)
        os.kill(victim, signal.SIGKILL)
        killed_at = time.monotonic()
        back_s = await _new_worker(server, set(before)) - killed_at
        await asyncio.sleep(_CALM_S)
    finally:
        await clients.stop()
    excused = {port for port, pid in owner.items() if pid == victim}
    in_flight = {one.client_port for one in clients.tally.failures} & excused
    others = len(clients.tally.failures) - len(in_flight) + clients.tally.refused
    return _Kill(len(in_flight), others, back_s)


async def _new_worker(server: Running, before: set[int]) -> float:
    """When a process that was not there before has answered a request; at the latest, the limit."""
    deadline = time.monotonic() + _BACK_WITHIN_S
    while time.monotonic() < deadline:
        await asyncio.sleep(_POLL_S)
        new = set(tree(server.pid)) - before
        if new and await _is_answered_by(server, new):
            break
    return time.monotonic()


async def _is_answered_by(server: Running, pids: set[int]) -> bool:
    """Whether a fresh connection is held by one of these processes and answered on it."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            reader, writer = await asyncio.open_connection(HOST, server.port)
            try:
                writer.write(_PROBE)
                answer = await reader.read(1024)
                client_port = writer.get_extra_info("sockname")[1]
                holds = client_port in owners(server.port, list(pids))
                return holds and answer.startswith(b"HTTP/1.1 200")
            finally:
                writer.close()
    return False


async def _end(server: Running) -> _End:
    """Sends SIGTERM and goes on asking until nobody can connect."""
    clients = Clients(server.port, _WORKLOAD.body, lasting=_LASTING, fleeting=_FLEETING)
    clients.start()
    try:
        await asyncio.sleep(_LOAD_S)
        _expect_none(clients.tally)
        server.process.terminate()
        await _as_a_container_ends(server)
        if not await clients.until_refused(_REFUSED_WITHIN_S):
            raise NotMeasuredError("something of it still takes connections after its end")
    finally:
        await clients.stop()
    failures = clients.tally.failures
    return _End(clients.tally.answered, len(failures), failures[0].why if failures else "")


def _expect_none(tally: Tally) -> None:
    if tally.failures:
        raise NotMeasuredError(f"requests failed before: {tally.failures[0].why}")
    if not tally.answered:
        raise NotMeasuredError("no request was answered in time")


async def _as_a_container_ends(server: Running) -> None:
    """Kills what is left when the first process has ended, or 30 s after SIGTERM."""
    deadline = time.monotonic() + _END_WITHIN_S
    while server.process.poll() is None and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_S)
    server.signal_all(signal.SIGKILL)
