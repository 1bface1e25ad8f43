"""What the way through the engine costs an invocation, beside the same instance asked directly."""

import hashlib
import http.client
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import RUNS, Figure, NotMeasuredError
from benchmarks.local_engine import CLI, cpu_s, engine_pid, resident_mib, running_engine
from benchmarks.relay import relay
from benchmarks.serving.cores import two_cores
from benchmarks.serving.workloads import NPY, Workload, echo, large_body
from benchmarks.serving.wrk import Load, load_url

if TYPE_CHECKING:
    from intermodal import LocalSession
    from intermodal.model_monitor import DataCaptureConfig

_SECONDS = 3
_PAIRS, _PAIR_SECONDS = 15, 1
_CLIENTS = 4
_ENDPOINT = "routed"
_LARGE = "large"
_CAPTURED = "captured"
_RUNNING, _DESCRIBED = 10, 50
_ROLE = "arn:aws:iam::123456789012:role/bench"


def measure() -> list[Figure]:
    """Loads one instance directly and two through the engine, in turn; then counts memory."""
    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        stage = _Stage(session, Path(folder))
        stage.deploy(_ENDPOINT, 2)
        try:
            return [
                *_latency(stage),
                *_throughput(stage),
                *_captured(stage),
                *_large(stage),
                *_killed(stage),
                *_scaled(stage),
                *_memory(stage),
            ]
        except NotMeasuredError as error:
            return [Figure("routing", "", None, note=str(error))]


class _Stage:
    """An endpoint that echoes, its signed requests, and where its instances are."""

    def __init__(self, session: "LocalSession", folder: Path) -> None:
        self.session = session
        self.folder = folder
        self.cores = two_cores()
        self.small = folder / "small"
        self.small.write_bytes(echo().body)
        self.large = folder / "large"
        self.large.write_bytes(large_body().body)
        self._models = {_ENDPOINT: self._packed(echo()), _LARGE: self._packed(large_body())}

    def deploy(self, name: str, count: int, capture: "DataCaptureConfig | None" = None) -> None:
        from intermodal.pytorch import PyTorchModel

        PyTorchModel(
            model_data=self._models.get(name, self._models[_ENDPOINT]),
            role=_ROLE,
            framework_version="2.13.0",
            env={"SAGEMAKER_MODEL_SERVER_WORKERS": "1"},
            sagemaker_session=self.session,
        ).deploy(count, "ml.m5.large", endpoint_name=name, data_capture_config=capture)

    def through(
        self, body: Path, connections: int, endpoint: str = _ENDPOINT, seconds: int = _SECONDS
    ) -> Load:
        """Through the engine, which has a core of its own."""
        url = f"{self.session.endpoint_url}/endpoints/{endpoint}/invocations"
        pid = engine_pid()
        affinity = os.sched_getaffinity(pid)
        _pin(pid, {self.cores.server})
        try:
            return self._load(url, body, self._signed(url, body), connections, seconds)
        finally:
            _pin(pid, affinity)

    def timed(self, body: Path, connections: int, endpoint: str) -> tuple[Load, float]:
        """A short load, and the engine's CPU seconds for one of its calls."""
        pid = engine_pid()
        before = cpu_s(pid)
        load = self.through(body, connections, endpoint, _PAIR_SECONDS)
        return load, (cpu_s(pid) - before) / load.requests

    def directly(self, body: Path, connections: int, endpoint: str = _ENDPOINT) -> Load:
        """One instance, at its own address."""
        url = f"http://{self._address(endpoint)}:8080/invocations"
        return self._load(url, body, {"Content-Type": NPY}, connections)

    def relayed(self, body: Path, connections: int, endpoint: str, *, is_hashing: bool) -> Load:
        """The same instance, through the least that can stand between."""
        with relay(self._address(endpoint), 8080, is_hashing=is_hashing) as port:
            url = f"http://127.0.0.1:{port}/invocations"
            return self._load(url, body, {"Content-Type": NPY}, connections)

    def signed(self, endpoint: str) -> dict[str, str]:
        """The headers of a request that is the same each time."""
        url = f"{self.session.endpoint_url}/endpoints/{endpoint}/invocations"
        return self._signed(url, self.small)

    def instances(self, endpoint: str) -> list[int]:
        """Pids of an endpoint's supervisors."""
        output = subprocess.run(
            [CLI, "status", "--json"], check=True, stdout=subprocess.PIPE
        ).stdout
        shown = json.loads(output)["instances"]
        return [one["pid"] for one in shown if one["name"] == endpoint]

    def wait_for_instances(self, endpoint: str, count: int) -> None:
        """Until so many are healthy."""
        sagemaker: Any = self.session.sagemaker_client
        while True:
            (variant,) = sagemaker.describe_endpoint(EndpointName=endpoint)["ProductionVariants"]
            if variant["CurrentInstanceCount"] == count:
                return
            time.sleep(0.02)

    def resize(self, endpoint: str, count: int) -> None:
        """Asks for so many, and waits for them."""
        sagemaker: Any = self.session.sagemaker_client
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=endpoint,
            DesiredWeightsAndCapacities=[
                {"VariantName": "AllTraffic", "DesiredInstanceCount": count}
            ],
        )
        self.wait_for_instances(endpoint, count)
        while sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] != "InService":
            time.sleep(0.02)

    def _load(
        self,
        url: str,
        body: Path,
        headers: Mapping[str, str],
        connections: int,
        seconds: int = _SECONDS,
    ) -> Load:
        return load_url(
            url, body, headers, connections=connections, seconds=seconds, core=self.cores.load
        )

    def _signed(self, url: str, body: Path) -> dict[str, str]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest("POST", url, {"Content-Type": NPY}, body.read_bytes())
        boto: Any = self.session.boto_session
        SigV4Auth(boto.get_credentials(), "sagemaker", "us-east-1").add_auth(request)
        return {**dict(request.headers.items()), "Host": url.split("/")[2]}

    def _address(self, endpoint: str) -> str:
        homes = Path(os.environ["INTERMODAL_HOME"], "instances/endpoint", endpoint)
        for hosts in sorted(homes.glob("i-*/hosts")):
            for line in hosts.read_text().splitlines():
                address, _, name = line.partition(" ")
                if name == hosts.parent.name:
                    return address
        raise NotMeasuredError("the instances share the host's network: none can be asked directly")

    def _packed(self, workload: Workload) -> str:
        from intermodal_contract.artifact import pack_files

        code = self.folder / "inference.py"
        code.write_text(workload.code)
        archive = self.folder / f"{workload.name}.tar.gz"
        pack_files({"code/inference.py": code}, archive)
        return str(self.session.upload_data(str(archive), key_prefix=f"bench/{workload.name}"))


class Asking:
    """Asks 500 times a second, on four connections, and repeats nothing.

    Args:
        url: the engine's.
        headers: of the request, signed.
        body: of the request.
    """

    def __init__(self, url: str, headers: Mapping[str, str], body: Path) -> None:
        self._place = url.removeprefix("http://")
        self._headers = {name: value for name, value in headers.items() if name != "Host"}
        self._body = body.read_bytes()
        self._failed = [0] * _CLIENTS
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(_CLIENTS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> int:
        """Ends it; how many requests failed."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        return sum(self._failed)

    def _ask(self, number: int) -> None:
        connection = http.client.HTTPConnection(self._place, timeout=10)
        while not self._ended.wait(_CLIENTS / 500 - 0.001):
            connection.request(
                "POST", f"/endpoints/{_ENDPOINT}/invocations", self._body, self._headers
            )
            answer = connection.getresponse()
            answer.read()
            self._failed[number] += answer.status != 200
        connection.close()


def _latency(stage: _Stage) -> list[Figure]:
    stage.through(stage.small, 1)
    pairs = [
        (stage.through(stage.small, 1).p50_ms, stage.directly(stage.small, 1).p50_ms)
        for _ in range(RUNS)
    ]
    more = [through - direct for through, direct in pairs]
    return [
        Figure("invocation, 1 connection: p50 more than the instance's own", "ms", 0.8, more),
        Figure("  the instance asked directly", "ms", None, [direct for _, direct in pairs]),
    ]


def _throughput(stage: _Stage) -> list[Figure]:
    per_s = [stage.through(stage.small, 32).per_s for _ in range(RUNS)]
    what = "invocations of two instances, 32 connections, engine on one core"
    return [Figure(what, "/s", 3000, per_s, at_least=True)]


def _captured(stage: _Stage) -> list[Figure]:
    """Short rounds with and without, in pairs whose order alternates.

    What else the machine does slows both of a pair about as much, and the engine's own time for a
    call hardly at all.
    """
    from intermodal.model_monitor import DataCaptureConfig

    stage.deploy(_CAPTURED, 2, DataCaptureConfig(True, 100, sagemaker_session=stage.session))
    names = (_CAPTURED, _ENDPOINT)
    for name in names:
        stage.through(stage.small, 32, name)
    parts, shares = [], []
    for number in range(_PAIRS):
        found = {
            name: stage.timed(stage.small, 32, name)
            for name in (names if number % 2 else names[::-1])
        }
        (captured, captured_s), (plain, plain_s) = (found[name] for name in names)
        parts.append(100 * captured.per_s / plain.per_s)
        shares.append(100 * plain_s / captured_s)
    what = "the same with all calls captured: of the throughput without"
    return [
        Figure(what, "%", 90, parts, at_least=True),
        Figure("  as the engine's CPU time for a call has it", "%", None, shares),
    ]


def _large(stage: _Stage) -> list[Figure]:
    stage.deploy(_LARGE, 1)
    body = (stage.large, 1, _LARGE)
    pairs, bare, hashing = [], [], []
    for _ in range(RUNS):
        direct = stage.directly(*body)
        pairs.append((stage.through(*body), direct))
        bare.append(100 * stage.relayed(*body, is_hashing=False).per_s / direct.per_s)
        hashing.append(100 * stage.relayed(*body, is_hashing=True).per_s / direct.per_s)
    parts = [100 * through.per_s / direct.per_s for through, direct in pairs]
    return [
        Figure(
            "4 MB bodies, small answers: of the instance's own throughput",
            "%",
            60,
            parts,
            at_least=True,
        ),
        Figure("  through the engine: p50", "ms", None, [one.p50_ms for one, _ in pairs]),
        Figure("  the instance asked directly: p50", "ms", None, [one.p50_ms for _, one in pairs]),
        Figure("  a bare relay that checks nothing: of the instance's own", "%", None, bare),
        Figure("  a bare relay that takes the SHA-256 of the body", "%", None, hashing),
        Figure("  SHA-256 alone, which checks the signature", "ms", None, _hashed(stage.large)),
    ]


def _hashed(file: Path) -> list[float]:
    """What no way through the engine can be faster than, since the body is signed."""
    body, found = file.read_bytes(), []
    for _ in range(RUNS):
        began = time.perf_counter()
        hashlib.sha256(body).hexdigest()
        found.append((time.perf_counter() - began) * 1e3)
    return found


def _killed(stage: _Stage) -> list[Figure]:
    """One of two instances is killed while 500 requests a second come, which nobody repeats."""
    failed = []
    for _ in range(RUNS):
        stage.wait_for_instances(_ENDPOINT, 2)
        asking = Asking(str(stage.session.endpoint_url), stage.signed(_ENDPOINT), stage.small)
        time.sleep(1.0)
        os.kill(stage.instances(_ENDPOINT)[0], signal.SIGKILL)
        time.sleep(1.0)
        failed.append(float(asking.end()))
    what = "kill -9 of one of two instances at 500 requests/s: failed, without retries"
    return [Figure(what, "requests", 2, failed)]


def _scaled(stage: _Stage) -> list[Figure]:
    seconds = []
    for _ in range(RUNS):
        stage.resize(_ENDPOINT, 1)
        began = time.perf_counter()
        stage.resize(_ENDPOINT, 4)
        seconds.append(time.perf_counter() - began)
    return [Figure("from 1 to 4 instances, light model, all of them serving", "s", 2.0, seconds)]


def _memory(stage: _Stage) -> list[Figure]:
    for number in range(_RUNNING - 1):
        stage.deploy(f"running-{number}", 1)
    sagemaker = stage.session.sagemaker_client
    names = [_ENDPOINT, *(f"running-{number}" for number in range(_RUNNING - 1))]
    for _ in range(_DESCRIBED // _RUNNING):
        for name in names:
            sagemaker.describe_endpoint(EndpointName=name)
    memory = [resident_mib(engine_pid()) * 2**20 / 1e6]
    return [
        Figure(f"engine: memory, {_RUNNING} endpoints running and described", "MB", 200, memory)
    ]


def _pin(pid: int, cores: "set[int]") -> None:
    subprocess.run(
        ["taskset", "--all-tasks", "--cpu-list", "--pid", ",".join(map(str, cores)), str(pid)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
