"""MXNet's parameter server on two hosts, which are two loopback addresses of this machine."""

import os
import select
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from intermodal_contract.training_files import ResourceConfig
from intermodal_engine.drivers.environment import Environments
from tests.helpers.train_program import Result, TrainProgram

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/mxnet-training:1.4.1-cpu-py3"
ROOT = Path(__file__).parents[2]
SOURCES = os.pathsep.join(str(ROOT / part) for part in ("contract", "training"))
HOSTS = ("127.64.200.1", "127.64.200.2")
SWITCH = {"sagemaker_parameter_server_enabled": True}

# Each worker pushes gradients of its own; the servers add them up before anyone pulls.
DIST_SYNC = """
import os
import mxnet as mx

store = mx.kv.create("dist_sync")
store.init("weight", mx.nd.zeros((3,)))
for step in range(4):
    store.push("weight", mx.nd.ones((3,)) * (store.rank + 1) * (step + 1))
    weight = mx.nd.zeros((3,))
    store.pull("weight", out=weight)
    weight.wait_to_read()  # the next push must come after, as gradients do
print(f"rank {store.rank} of {store.num_workers} weight {weight.asnumpy().tolist()}")
"""

ONE_WORKER_FAILS = """
import mxnet as mx

store = mx.kv.create("dist_sync")
if store.rank == 1:
    raise ValueError("batch 7 has no labels")
store.init("weight", mx.nd.zeros((3,)))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment with MXNet, made as the engine makes it."""
    environment = Environments(tmp_path_factory.mktemp("environments")).resolve(IMAGE)
    assert environment.make is not None
    environment.make(print)
    return str(environment.python)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOSTS[0], 0))
        port: int = probe.getsockname()[1]
        return port


Started = tuple[TrainProgram, subprocess.Popen[str]]


def start(folder: Path, script: str, python: str) -> list[Started]:
    port = free_port()
    started = []
    for host in HOSTS:
        program = TrainProgram(
            folder / host,
            ResourceConfig(current_host=host, hosts=HOSTS),
            environment={
                "PYTHONPATH": SOURCES,
                "INTERMODAL_MASTER_PORT": str(port),
            },
            python=python,
        )
        started.append((program, program.start({"train.py": script}, values=SWITCH)))
    return started


def run(folder: Path, script: str, python: str) -> list[Result]:
    return [program.finish(process) for program, process in start(folder, script, python)]


def test_dist_sync_gives_both_workers_the_same_parameters(tmp_path: Path, python: str) -> None:
    results = run(tmp_path, DIST_SYNC, python)
    assert [result.code for result in results] == [0, 0], results
    found = sorted(result.out.strip() for result in results)
    # Without an optimizer the store holds the last sum: (1 + 2) * 4.
    assert found == [f"rank {rank} of 2 weight [12.0, 12.0, 12.0]" for rank in (0, 1)]


def test_nothing_is_left_running(tmp_path: Path, python: str) -> None:
    run(tmp_path, DIST_SYNC, python)
    assert not [
        path.parent
        for path in Path("/proc").glob("[0-9]*/environ")
        if str(tmp_path).encode() in readable(path)
    ]


def readable(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended, or is another user's
        return b""


def test_a_failing_worker_is_named_and_takes_its_servers_along(tmp_path: Path, python: str) -> None:
    started = start(tmp_path, ONE_WORKER_FAILS, python)
    pidfds = [os.pidfd_open(process.pid) for _, process in started]
    first, _, _ = select.select(pidfds, [], [], 40)
    assert len(first) == 1
    for _, process in started:
        process.send_signal(signal.SIGTERM)  # as the service does when one instance failed
    results = [program.finish(process) for program, process in started]
    for pidfd in pidfds:
        os.close(pidfd)
    failed = next(result for result in results if result.failure and "ValueError" in result.failure)
    assert failed.failure is not None
    assert failed.failure.startswith("ValueError: batch 7 has no labels\n")
    assert "exit code 1 of the worker on 127.64.200." in failed.failure


def test_a_server_that_cannot_start_ends_the_job_with_its_reason(
    tmp_path: Path, python: str
) -> None:
    script = "import time\ntime.sleep(60)\n"
    broken = 'import os\nif os.environ["DMLC_ROLE"] == "server":\n    raise OSError("no memory")\n'
    program = TrainProgram(
        tmp_path / "ml",
        environment={"PYTHONPATH": SOURCES},
        python=python,
    )
    result = program.run({"train.py": script, "mxnet.py": broken}, values=SWITCH)
    assert result.failure is not None
    assert result.failure.startswith("OSError: no memory\n")
    assert "exit code 1 of the server on algo-1" in result.failure
