"""Requests a second and latencies, `serve` and its peers taking turns in one window.

All servers of a workload are started first and answer once, which is checked. Then each is
loaded in turn, several times over. A peer is stopped (SIGSTOP) while it is not its turn, since some
of them use the core when they are idle; `serve` is not, and pays if it does.
"""

import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure, NotMeasuredError
from benchmarks.serving.cores import Cores, two_cores
from benchmarks.serving.limit import requests_per_s
from benchmarks.serving.measured import Measured, figure, prepared
from benchmarks.serving.peers import peers
from benchmarks.serving.programs import program
from benchmarks.serving.servers import Running, Serve, running
from benchmarks.serving.workloads import Workload, workloads
from benchmarks.serving.wrk import Load, load

_RUNS = 3
_SECONDS = {"W0": 2, "W1": 3, "W2": 3, "W3": 5}
_WARM_UP_SECONDS = 1
_MANY = 32
_ONE = 1


class _Bounds(NamedTuple):
    """What must hold for a workload; None where nothing must."""

    per_s: float | None = None
    p99_ms: float | None = None
    p50_alone_ms: float | None = None


_BOUNDS = {
    "W0": _Bounds(),
    "W1": _Bounds(per_s=9000, p99_ms=8, p50_alone_ms=0.28),
    "W2": _Bounds(per_s=650, p99_ms=75),
    "W3": _Bounds(per_s=400),
}


def measure() -> list[Figure]:
    """Loads everything, workload after workload."""
    measured = prepared([Serve(), *peers()])
    figures = []
    for workload in workloads():
        window = [Measured(one.contender, failure=one.failure) for one in measured]
        limit = ""
        try:
            program("wrk")
            limit = _take_turns(workload, window, two_cores())
        except NotMeasuredError as error:
            window = [Measured(one.contender, failure=str(error)) for one in measured]
        figures += _figures(workload, window, limit)
    return figures


def _take_turns(workload: Workload, window: list[Measured], cores: Cores) -> str:
    """Fills the window; gives what the core can do without a server, in words."""
    connections = [_MANY, _ONE] if _BOUNDS[workload.name].p50_alone_ms else [_MANY]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        base = Path(folder)
        workload.lay_out(base)
        limit = _limit(workload, base, cores.server)
        servers = _start_all(workload, base, window, cores.server, stack)
        for _ in range(_RUNS):
            for number in connections:
                for one in [one for one in window if not one.failure]:
                    with one.or_failure(), _its_turn(servers[one.name]) as server:
                        _keep(one, number, _one_run(server, workload, base, number, cores.load))
    return limit


def _start_all(
    workload: Workload, base: Path, window: list[Measured], core: int, stack: ExitStack
) -> dict[str, Running]:
    expected = workload.expected(base)
    servers = {}
    for one in [one for one in window if not one.failure]:
        with one.or_failure():
            starting = running(one.contender, workload, base, core=core, expected=expected)
            servers[one.name] = stack.enter_context(starting)
            _pause(servers[one.name])
    return servers


def _one_run(server: Running, workload: Workload, base: Path, connections: int, core: int) -> Load:
    def run(seconds: int) -> Load:
        return load(
            server.port,
            base / "request",
            workload.content_type,
            connections=connections,
            seconds=seconds,
            core=core,
        )

    run(_WARM_UP_SECONDS)
    server.ask(workload)  # answered after what the warm-up has left in the server's queue
    measured = run(_SECONDS[workload.name])
    if not measured.requests:
        raise NotMeasuredError(f"no request was answered in {_SECONDS[workload.name]} s")
    return measured


def _keep(one: Measured, connections: int, run: Load) -> None:
    one.add(f"per_s at {connections}", run.per_s)
    one.add(f"p50 at {connections}", run.p50_ms)
    one.add(f"p99 at {connections}", run.p99_ms)


def _limit(workload: Workload, base: Path, core: int) -> str:
    if workload.name == "W0":
        return ""
    try:
        return f"without a server {requests_per_s(workload, base, core):.0f}"
    except NotMeasuredError as error:
        return str(error)


@contextmanager
def _its_turn(server: Running) -> Iterator[Running]:
    server.signal_all(signal.SIGCONT)
    try:
        yield server
    finally:
        _pause(server)


def _pause(server: Running) -> None:
    if server.name != Serve.name:
        server.signal_all(signal.SIGSTOP)


def _figures(workload: Workload, window: list[Measured], limit: str) -> list[Figure]:
    bounds, name = _BOUNDS[workload.name], f"serving {workload.name}"
    figures = [
        figure(f"{name}: {workload.title}", "/s", bounds.per_s, window, f"per_s at {_MANY}",
               note=limit, at_least=True),
        figure(f"{name}: p99 at {_MANY} connections", "ms", bounds.p99_ms, window,
               f"p99 at {_MANY}", note=f"p50 {window[0].median(f'p50 at {_MANY}')}"),
    ]  # fmt: skip
    if bounds.p50_alone_ms is not None:
        figures.append(
            figure(f"{name}: p50 at one connection", "ms", bounds.p50_alone_ms, window,
                   f"p50 at {_ONE}", note=f"p99 {window[0].median(f'p99 at {_ONE}')}")
        )  # fmt: skip
    return figures
