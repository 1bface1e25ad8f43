"""A real engine for tests: a temporary home, a free port, and boto3 clients that know only it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from intermodal_engine.drivers.records import InstanceFolder
from intermodal_engine.home import wait_until_free

CLI = (sys.executable, "-m", "intermodal_engine.cli")
COMMAND_TIMEOUT_S = 60


def scrubbed_environment() -> dict[str, str]:
    """This process's environment without anything that could lead to a real AWS account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {**kept, **nowhere, "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def scrubbed() -> Iterator[None]:
    """The same for the test's own process."""
    before, kept = dict(os.environ), scrubbed_environment()
    os.environ.clear()
    os.environ.update(kept)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class RunningEngine:
    """One engine, which a test may stop, kill and start again; its port stays the same.

    Args:
        home: its home folder.
        arguments: for `intermodal up`.
    """

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        self.port = 0
        self.pid = 0
        self.environment: dict[str, str] = {}
        self._arguments = arguments

    @property
    def endpoint_url(self) -> str:
        """For `AWS_ENDPOINT_URL`."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it; returns when it answers."""
        self.cli("up", "--detach", f"--port={self.port}", *self._arguments)
        state = json.loads(self.cli("status", "--json").stdout)
        self.pid, self.port = state["pid"], state["port"]
        variables = json.loads(self.cli("env", "--json").stdout)
        self.environment = self._base_environment() | {
            name: value for name, value in variables.items() if value is not None
        }

    def stop(self) -> None:
        """`intermodal down`."""
        self.cli("down")

    def restart(self) -> None:
        """`intermodal restart`."""
        self.cli("restart")
        self.pid = json.loads(self.cli("status", "--json").stdout)["pid"]

    def kill(self) -> None:
        """kill -9."""
        os.kill(self.pid, signal.SIGKILL)
        assert wait_until_free(self.home, timeout_s=10)

    def cli(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Runs `intermodal` on this home."""
        done = subprocess.run(
            [*CLI, *arguments],
            env=self._base_environment(),
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done

    def client(self, service: str, **config: Any) -> Any:
        """A boto3 client that takes nothing from the environment."""
        session = boto3.Session(
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.environment["AWS_REGION"],
        )
        return session.client(service, endpoint_url=self.endpoint_url, config=Config(**config))

    def supervisors(self, kind: str, name: str) -> list[int]:
        """Pids of the living supervisors of a record's instances, for example `endpoint`, `x`."""
        folders = (self.home / "instances" / kind / name).glob("*")
        return sorted(_living_supervisors(folders))

    def end_instances(self) -> None:
        """Ends whatever outlived the engine; a supervisor takes its tree with it."""
        for pid in _living_supervisors((self.home / "instances").glob("*/*/*")):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _base_environment(self) -> dict[str, str]:
        return {**scrubbed_environment(), "INTERMODAL_HOME": str(self.home)}


@contextmanager
def running_engine(*arguments: str) -> Iterator[RunningEngine]:
    """An engine in a home of its own; everything that it started has ended afterwards.

    Args:
        arguments: for `intermodal up`, for example `--driver=fake`.
    """
    home = Path(tempfile.mkdtemp(prefix="intermodal-test-"))
    engine = RunningEngine(home, *arguments)
    with scrubbed():
        try:
            engine.start()
            yield engine
        finally:
            engine.cli("down", check=False)
            engine.end_instances()
            shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def shared_engine() -> Iterator[RunningEngine]:
    """One engine for all tests of a module."""
    with running_engine() as engine:
        yield engine


@pytest.fixture
def fresh_engine() -> Iterator[RunningEngine]:
    """An engine of a test's own."""
    with running_engine() as engine:
        yield engine


def _living_supervisors(folders: Iterable[Path]) -> Iterator[int]:
    for folder in folders:
        # An instance that has ended may take its folder along at any moment.
        with suppress(FileNotFoundError):
            pid = InstanceFolder(folder).living_supervisor()
            if pid is not None:
                yield pid
