"""Somebody with the vendor's SDK, whose programs run against an engine."""

import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.engine import CLI, RunningEngine, scrubbed_environment
from tests.helpers.vendor_environments import NotToBeHadError, environment

PROGRAMS = Path(__file__).parents[1] / "vendor/programs"
_PROGRAM_TIMEOUT_S = 240


def python_or_skip(requirement: str) -> Path:
    """The Python of an environment with an SDK; where it cannot be had, tests say so loudly."""
    try:
        return environment(requirement)
    except NotToBeHadError as error:
        pytest.skip(f"THE VENDOR'S SDK IS NOT TESTED: {requirement} cannot be had here: {error}")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with the vendor's SDK and an engine, on a machine whose way out is watched.

    Attributes:
        engine: what `intermodal exec` finds.
        python: of an environment with the SDK.
        folder: where their programs run.
        proxy: through which they would reach AWS.
    """

    engine: RunningEngine
    python: Path
    folder: Path
    proxy: "WatchedProxy"

    def runs(self, program: str, *arguments: str) -> str:
        """Runs a program of tests/vendor/programs under `exec`; returns what it printed."""
        command: list[str | Path] = [
            *CLI,
            "exec",
            "--",
            self.python,
            str(PROGRAMS / program),
            *arguments,
        ]
        return self._run(command)

    def runs_after_env(self, program: str, *arguments: str) -> str:
        """The same in a shell that has evaluated `intermodal env`."""
        intermodal = " ".join(CLI)
        script = f'eval "$({intermodal} env)" && exec "$@"'
        return self._run(
            ["sh", "-ec", script, "sh", self.python, str(PROGRAMS / program), *arguments]
        )

    def _run(self, command: list[str | Path]) -> str:
        done = subprocess.run(
            command,
            env={
                **scrubbed_environment(),
                "INTERMODAL_HOME": str(self.engine.home),
                "HOME": str(self.folder),
                "HTTP_PROXY": self.proxy.url,
                "HTTPS_PROXY": self.proxy.url,
                # Rich would cut lines, on which errors are read.
                "COLUMNS": "1000",
            },
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PROGRAM_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


class WatchedProxy:
    """Refuses every connection, and remembers where it should have led."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[str] = []

    @property
    def to_aws(self) -> list[str]:
        """What should have gone to AWS."""
        return [line for line in self.asked if "amazonaws.com" in line]


@contextmanager
def watched_proxy() -> Iterator[WatchedProxy]:
    """A proxy on loopback, for the time of the tests."""
    asked: list[str] = []

    class Refusal(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline().decode(errors="replace").strip())
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusal) as server:
        proxy = WatchedProxy(server.server_address[1])
        proxy.asked = asked
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
