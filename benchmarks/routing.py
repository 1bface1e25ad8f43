"""What the way through the engine costs an invocation, beside the same instance asked directly."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import RUNS, Figure, NotMeasuredError
from benchmarks.local_engine import engine_pid, resident_mib, running_engine
from benchmarks.serving.cores import two_cores
from benchmarks.serving.workloads import Workload, echo
from benchmarks.serving.wrk import Load, load_url

if TYPE_CHECKING:
    from intermodal import LocalSession

_SECONDS = 3
_ENDPOINT = "routed"
_LARGE_BYTES = 4 << 20
_TYPE = "application/octet-stream"
_RUNNING, _DESCRIBED = 10, 50
_ROLE = "arn:aws:iam::123456789012:role/bench"


def measure() -> list[Figure]:
    """Loads one instance directly and two through the engine, in turn; then counts memory."""
    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        stage = _Stage(session, Path(folder))
        stage.deploy(_ENDPOINT, 2)
        try:
            return [*_latency(stage), *_throughput(stage), *_large(stage), *_memory(stage)]
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
        self.large.write_bytes(os.urandom(_LARGE_BYTES))
        self._model = self._packed(echo())

    def deploy(self, name: str, count: int) -> None:
        from intermodal.pytorch import PyTorchModel

        PyTorchModel(
            model_data=self._model,
            role=_ROLE,
            framework_version="2.13.0",
            env={"SAGEMAKER_MODEL_SERVER_WORKERS": "1"},
            sagemaker_session=self.session,
        ).deploy(count, "ml.m5.large", endpoint_name=name)

    def through(self, body: Path, connections: int) -> Load:
        """Through the engine, which has a core of its own."""
        url = f"{self.session.endpoint_url}/endpoints/{_ENDPOINT}/invocations"
        pid = engine_pid()
        affinity = os.sched_getaffinity(pid)
        _pin(pid, {self.cores.server})
        try:
            return self._load(url, body, self._signed(url, body), connections)
        finally:
            _pin(pid, affinity)

    def directly(self, body: Path, connections: int) -> Load:
        """One instance, at its own address."""
        url = f"http://{self._address()}:8080/invocations"
        return self._load(url, body, {"Content-Type": _TYPE}, connections)

    def _load(self, url: str, body: Path, headers: Mapping[str, str], connections: int) -> Load:
        return load_url(
            url, body, headers, connections=connections, seconds=_SECONDS, core=self.cores.load
        )

    def _signed(self, url: str, body: Path) -> dict[str, str]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest("POST", url, {"Content-Type": _TYPE}, body.read_bytes())
        boto: Any = self.session.boto_session
        SigV4Auth(boto.get_credentials(), "sagemaker", "us-east-1").add_auth(request)
        return {**dict(request.headers.items()), "Host": url.split("/")[2]}

    def _address(self) -> str:
        homes = Path(os.environ["INTERMODAL_HOME"], "instances/endpoint", _ENDPOINT)
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
        archive = self.folder / "model.tar.gz"
        pack_files({"code/inference.py": code}, archive)
        return str(self.session.upload_data(str(archive), key_prefix="bench"))


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


def _large(stage: _Stage) -> list[Figure]:
    parts = [
        100 * stage.through(stage.large, 4).per_s / stage.directly(stage.large, 4).per_s
        for _ in range(RUNS)
    ]
    return [Figure("4 MB bodies: of the instance's own throughput", "%", 60, parts, at_least=True)]


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
