"""How long `serve` takes to be ready, and what a worker holds beside torch and its model.

Both are compared with a bare Python that imports torch, loads the model and runs it once. Every
server runs on one core, as under load; the first start of each is left out, since it may write
bytecode.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.figures import Figure, NotMeasuredError
from benchmarks.serving.cores import Cores, two_cores
from benchmarks.serving.measured import Measured, figure, prepared
from benchmarks.serving.peers import peers
from benchmarks.serving.processes import proportional_mb, resident_mb, tree
from benchmarks.serving.servers import Running, Serve, running
from benchmarks.serving.workloads import Workload, echo, small_mlp
from benchmarks.serving.wrk import load

if TYPE_CHECKING:
    from collections.abc import Iterator

_RUNS = 3
_LOAD_SECONDS = 1
_CONNECTIONS = 32

# Prints how long the import took, then holds everything until it is told to end.
_BARE = """
import json, pathlib, sys, time
began = time.perf_counter()
import torch
print(time.perf_counter() - began, flush=True)
base, names = pathlib.Path(sys.argv[1]), {}
exec((base / "model" / "code" / "inference.py").read_text(), names)
torch.set_num_threads(1)
model = names["model_fn"](str(base / "model"))
with torch.inference_mode():
    answer = model(torch.tensor(json.loads((base / "request").read_bytes()))).tolist()
print(json.dumps(answer), flush=True)
sys.stdin.read()
"""


class _Bare(NamedTuple):
    import_s: float
    resident_mb: float
    proportional_mb: float


def measure() -> list[Figure]:
    """Starts each server several times, with and without torch, beside the bare Python."""
    plain = prepared([Serve(), *peers()])
    torch = [Measured(one.contender, failure=one.failure) for one in plain]
    bare: list[_Bare] = []
    try:
        cores = two_cores()
        with tempfile.TemporaryDirectory() as folder:
            for window, workload in ((plain, echo()), (torch, small_mlp())):
                workload.lay_out(Path(folder, workload.name))
                for run in range(_RUNS + 1):
                    if workload.sizes:
                        bare.append(_bare(workload, Path(folder, workload.name), cores.server))
                    for one in [one for one in window if not one.failure]:
                        _start(one, workload, Path(folder, workload.name), cores, bare, run)
    except NotMeasuredError as error:
        for one in (*plain, *torch):
            one.failure = one.failure or str(error)
    return _figures(plain, torch, bare[1:])


def _start(
    one: Measured, workload: Workload, base: Path, cores: Cores, bare: list[_Bare], run: int
) -> None:
    with one.or_failure(), running(one.contender, workload, base, core=cores.server) as server:
        if run == 0:
            return
        one.add("ready", server.ready_s)
        if not bare:
            return
        one.add("over import", server.ready_s - bare[-1].import_s)
        load(
            server.port,
            base / "request",
            workload.content_type,
            connections=_CONNECTIONS,
            seconds=_LOAD_SECONDS,
            core=cores.load,
        )
        _weigh(one, server, bare[-1])


def _weigh(one: Measured, server: Running, bare: _Bare) -> None:
    pids = tree(server.pid)
    one.add("worker", max(map(resident_mb, pids)) - bare.resident_mb)
    one.add("all processes", sum(map(proportional_mb, pids)) - bare.proportional_mb)


def _bare(workload: Workload, base: Path, core: int) -> _Bare:
    with _bare_process(base, core) as process:
        if process.stdout is None:
            raise NotMeasuredError("a bare Python has no output")
        lines = [process.stdout.readline() for _ in range(2)]
        if not all(lines) or not json.loads(lines[1]):
            raise NotMeasuredError(f"a bare Python cannot run the model of {workload.name}")
        return _Bare(float(lines[0]), resident_mb(process.pid), proportional_mb(process.pid))


@contextmanager
def _bare_process(base: Path, core: int) -> "Iterator[subprocess.Popen[str]]":
    with subprocess.Popen(
        [sys.executable, "-c", _BARE, str(base)],
        env={"PATH": os.environ.get("PATH", ""), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    ) as process:
        yield process


def _figures(plain: list[Measured], torch: list[Measured], bare: list[_Bare]) -> list[Figure]:
    imports_s = statistics.median(one.import_s for one in bare) if bare else 0.0
    resident = statistics.median(one.resident_mb for one in bare) if bare else 0.0
    whole = torch[0].median("ready")
    return [
        figure("serving: start to 200 on /ping, no framework", "s", 0.4, plain, "ready"),
        figure(
            "serving: the same with torch, over its import",
            "s",
            0.3,
            torch,
            "over import",
            note=f"the import {imports_s:.2f}, the whole {whole}",
        ),
        figure(
            "serving: memory of a worker over torch and the model",
            "MB",
            25,
            torch,
            "worker",
            note=f"a bare Python holds {resident:.0f}, all processes of serve "
            f"{torch[0].median('all processes')} more; the largest process of each peer",
        ),
        figure(
            "serving: memory of all processes over torch and the model",
            "MB",
            None,
            torch,
            "all processes",
        ),
    ]
