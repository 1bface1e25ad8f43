"""A real `serve` on a free loopback port, and the model folders it serves."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT_S = 30.0

ECHO = """
    def model_fn(model_dir):
        return None

    def input_fn(body, content_type):
        return body

    def predict_fn(data, model):
        return data

    def output_fn(prediction, accept):
        return prediction
"""


def write_code(base: Path, source: str, name: str = "inference.py") -> Path:
    """Put a user's file into `model/code/` of a base folder, which is given back."""
    code = base / "model" / "code"
    code.mkdir(parents=True, exist_ok=True)
    (code / name).write_text(textwrap.dedent(source))
    return base


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Serving:
    """A `serve` process, its log, and a way to ask it.

    Args:
        base: what stands for `/opt/ml`.
        environment: variables for it.
        program: `serve` of another environment than the tests'.
    """

    def __init__(
        self, base: Path, environment: Mapping[str, str], program: Path | None = None
    ) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("SAGEMAKER_")}
        self.process = subprocess.Popen(
            [str(program or Path(sys.executable).with_name("serve"))],
            env={
                **inherited,
                "SAGEMAKER_BASE_DIR": str(base),
                "SAGEMAKER_BIND_TO_HOST": "127.0.0.1",
                "SAGEMAKER_BIND_TO_PORT": "0",
                "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._is_over = False
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            self.port = int(self.wait_for(r"listening on [^ ]+:(\d+)")[1])
        except AssertionError:
            self.process.kill()
            self.wait()
            raise

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in the log, once there is one."""

        def matched_or_over() -> bool:
            return self._is_over or re.search(pattern, self.log) is not None

        with self._changed:
            self._changed.wait_for(matched_or_over, LIMIT_S)
            match = re.search(pattern, self.log)
        if match is None:
            raise AssertionError(f"no {pattern!r} in the log of serve:\n{self.log}")
        return match

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        lowered = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, lowered, content)

    def invoke(self, body: bytes, content_type: str = "application/json", **headers: str) -> Reply:
        """POST /invocations; keyword names become header names, `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", "/invocations", body, {"Content-Type": content_type, **named})

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """The exit code, once there is one and the log is whole."""
        code = self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        return code

    def _read_log(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self._changed:
                    self.lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()


@contextmanager
def serving(
    base: Path, *, ready: bool = True, program: Path | None = None, **environment: str
) -> Iterator[Serving]:
    """`serve` on a base folder, killed at the end if it still runs."""
    server = Serving(base, environment, program)
    try:
        if ready:
            server.wait_for("the model is ready|ready for models")
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.wait()
