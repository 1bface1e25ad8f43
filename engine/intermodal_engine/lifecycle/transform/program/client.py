"""HTTP to one instance: `/ping`, `/execution-parameters`, `/invocations`.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html
"""

import http.client
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_PING_PAUSE_S = 0.05
_PING_TIMEOUT_S = 2.0
_RETRY_PAUSE_S = 0.5
_SHOWN_BYTES = 300


class InstanceLostError(Exception):
    """Nobody listens at the instance's address any more."""


class NotHealthyError(Exception):
    """The instance did not answer `/ping` with 200 in time."""


class InvocationError(Exception):
    """The model did not answer a request well, however often it was asked."""


@dataclass(frozen=True, slots=True)
class Patience:
    """`ModelClientConfig` of CreateTransformJob, with AWS's defaults.

    Attributes:
        timeout_s: for one invocation.
        retries: how often a failed one is repeated.
    """

    timeout_s: float = 600.0
    retries: int = 3


class Client:
    """Speaks to one instance, from several threads, over connections that are kept.

    Args:
        host: where it listens.
        port: where it listens.
        patience: for invocations.
    """

    def __init__(self, host: str, port: int, patience: Patience) -> None:
        self._host = host
        self._port = port
        self._patience = patience
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        """Closes what is kept, once no thread uses the client any more."""
        while self._idle:
            self._idle.pop().close()

    def wait_until_healthy(self, patience_s: float) -> None:
        """Pings until it is answered.

        Raises:
            NotHealthyError: it was not, in time.
        """
        deadline = time.monotonic() + patience_s
        while not self._is_healthy():
            if time.monotonic() > deadline:
                raise NotHealthyError(
                    f"the container did not pass the ping health check within {patience_s:.0f} s"
                )
            time.sleep(_PING_PAUSE_S)

    def execution_parameters(self) -> dict[str, Any]:
        """What the container itself would like; nothing where it does not say."""
        try:
            status, body, _ = self._once("GET", "/execution-parameters", None, {}, _PING_TIMEOUT_S)
            found = json.loads(body) if status == 200 else {}
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def invoke(self, body: bytes | Iterable[bytes], headers: dict[str, str]) -> tuple[bytes, str]:
        """Sends one request; server errors and broken connections are retried.

        Args:
            body: bytes, or chunks, which are sent as they come and cannot be sent twice.
            headers: besides the length.

        Returns:
            The answer and its content type.

        Raises:
            InvocationError: naming the last answer.
            InstanceLostError: nobody listens there any more.
        """
        attempts = 1 + (self._patience.retries if isinstance(body, bytes) else 0)
        for attempt in range(1, attempts + 1):
            failure = ""
            try:
                status, answer, kind = self._once(
                    "POST", "/invocations", body, headers, self._patience.timeout_s
                )
            except ConnectionRefusedError as error:
                raise InstanceLostError("nobody listens at the container's port") from error
            except TimeoutError:
                failure = f"no answer within {self._patience.timeout_s:g} s"
            except (OSError, http.client.HTTPException) as error:
                failure = f"the connection broke: {error or type(error).__name__}"
            else:
                if status < 400:
                    return answer, kind
                failure = f"status {status}: {_shown(answer)}"
                if status < 500 and status != 429:
                    break
            if attempt < attempts:
                time.sleep(_RETRY_PAUSE_S * attempt)
        tries = f" after {attempt} tries" if attempt > 1 else ""
        raise InvocationError(f"Bad HTTP status received from algorithm{tries}: {failure}")

    def _is_healthy(self) -> bool:
        try:
            return self._once("GET", "/ping", None, {}, _PING_TIMEOUT_S)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _once(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None,
        headers: dict[str, str],
        timeout_s: float,
    ) -> tuple[int, bytes, str]:
        """One exchange. A kept connection that turns out to be dead is replaced by a new one."""
        with self._lock:
            kept = self._idle.pop() if self._idle and not _is_stream(body) else None
        if kept is not None:
            try:
                return self._exchange(kept, method, path, body, headers, timeout_s)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                kept.close()
        fresh = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        return self._exchange(fresh, method, path, body, headers, timeout_s)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None,
        headers: dict[str, str],
        timeout_s: float,
    ) -> tuple[int, bytes, str]:
        connection.timeout = timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        try:
            connection.request(method, path, body, headers, encode_chunked=_is_stream(body))
            response = connection.getresponse()
            answer = response.read()
        except BaseException:
            connection.close()
            raise
        if not response.will_close:
            with self._lock:
                self._idle.append(connection)
        return response.status, answer, response.getheader("Content-Type", "")


def _is_stream(body: bytes | Iterable[bytes] | None) -> bool:
    """Whether it can be sent only once."""
    return body is not None and not isinstance(body, bytes)


def _shown(answer: bytes) -> str:
    return answer[:_SHOWN_BYTES].decode("utf-8", "replace").strip()
