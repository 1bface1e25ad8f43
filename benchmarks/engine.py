"""The engine itself: from start to the first answered request, and its memory at rest."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from benchmarks.figures import RUNS, Figure
from benchmarks.local_engine import CLI, own_home, resident_mib

_PATIENCE_S = 30.0
_SETTLE_S = 2.0


def measure() -> list[Figure]:
    """Starts the engine five times; the request that counts is a signed `ListTrainingJobs`."""
    import boto3

    starts_s, idle_mb = [], []
    with own_home() as home:
        port = _free_port()
        for command in ("up --detach --port 0", "down"):  # the first start makes the key pair
            subprocess.run([CLI, *command.split()], check=True, stdout=sys.stderr)
        keys = json.loads((home / "credentials.json").read_text())
        for _ in range(RUNS):
            client = boto3.client(
                "sagemaker",
                endpoint_url=f"http://127.0.0.1:{port}",
                region_name="us-east-1",
                aws_access_key_id=keys["access_key_id"],
                aws_secret_access_key=keys["secret_access_key"],
            )
            started = time.perf_counter()
            with _engine(port) as engine:
                _wait_until_listening(port)
                client.list_training_jobs()
                starts_s.append(time.perf_counter() - started)
                time.sleep(_SETTLE_S)
                idle_mb.append(resident_mib(engine.pid) * 2**20 / 1e6)
    return [
        Figure("engine: start to first answered request", "s", 1.0, starts_s),
        Figure("engine: resident memory, idle", "MB", 120, idle_mb),
    ]


@contextmanager
def _engine(port: int) -> Iterator["subprocess.Popen[Any]"]:
    command = [CLI, "up", "--port", str(port)]
    engine = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield engine
    finally:
        engine.send_signal(signal.SIGTERM)
        engine.wait()


def _free_port() -> int:
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def _wait_until_listening(port: int) -> None:
    """Tries to connect until something listens; nothing can be waited on before that."""
    deadline = time.perf_counter() + _PATIENCE_S
    while time.perf_counter() < deadline:
        with closing(socket.socket()) as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.002)
    raise TimeoutError(f"no engine listened on port {port} within {_PATIENCE_S:.0f} s")
