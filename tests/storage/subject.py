"""An engine that a test can start on any home, kill, and record."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.helpers.engine import CLI, scrubbed_environment
from tests.storage.tape import Recorder
from tests.storage.world import Clients

_PATIENCE_S = 30.0


class DidNotStartError(AssertionError):
    """The engine ended instead of answering; the message is what it said."""


class Subject:
    """An engine in the foreground, with a driver that runs nothing.

    Args:
        home: its home.
        output: a file for what it says.
        recorder: that sees what it does; None for nobody.
    """

    def __init__(self, home: Path, output: Path, recorder: Recorder | None = None) -> None:
        self._home = home
        self._output = output
        environment = {**scrubbed_environment(), "INTERMODAL_HOME": str(home)}
        if recorder is not None:
            environment |= recorder.environment
        (home / "engine.json").unlink(missing_ok=True)
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                [*CLI, "up", "--port=0", "--driver=fake"],
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> dict[str, Any]:
        """Until it answers; its state.

        Raises:
            DidNotStartError: it does not.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                state: dict[str, Any] = json.loads((self._home / "engine.json").read_bytes())
            except FileNotFoundError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise DidNotStartError(self.said) from None
                time.sleep(0.005)
            else:
                return state

    @property
    def said(self) -> str:
        """Its output so far."""
        return self._output.read_text(errors="replace")

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()


def clients(home: Path, port: int) -> Clients:
    """Clients with the engine's own credentials."""
    keys = json.loads((home / "credentials.json").read_bytes())
    session = boto3.Session(
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"],
        region_name="us-east-1",
    )
    config = Config(retries={"total_max_attempts": 1}, read_timeout=_PATIENCE_S)
    return Clients(
        lambda service: session.client(
            service, endpoint_url=f"http://127.0.0.1:{port}", config=config
        )
    )
