"""A client that costs little: signed requests on one kept connection, bytes in and bytes out.

boto3 would take most of a core for two hundred clients. The signers are botocore's own; only the
digest of a body is not computed anew for each request.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.helpers.engine import RunningEngine

PATIENCE_S = 60.0
_LATER = ("Throttling", "SlowDown")
_TARGETS = {"sagemaker": "SageMaker", "logs": "Logs_20140328"}


class CallFailedError(Exception):
    """There was no answer, or not the right one."""


class ThrottledError(Exception):
    """The answer was AWS's way to say: later."""


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent, and its digest."""

    data: bytes
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> "Body":
        """With the digest."""
        return cls(data, hashlib.sha256(data).hexdigest())


NOTHING = Body.of(b"")


class Signer:
    """Makes requests as they go onto the wire.

    Args:
        engine: whom they are for.
    """

    def __init__(self, engine: RunningEngine) -> None:
        self.port = engine.port
        self._host = f"127.0.0.1:{engine.port}"
        keys = Credentials(
            engine.environment["AWS_ACCESS_KEY_ID"], engine.environment["AWS_SECRET_ACCESS_KEY"]
        )
        region = engine.environment["AWS_REGION"]
        self._signers: dict[str, Any] = {
            "s3": S3SigV4Auth(keys, "s3", region),
            "logs": SigV4Auth(keys, "logs", region),
            "sagemaker": SigV4Auth(keys, "sagemaker", region),
        }
        for one in self._signers.values():
            one.payload = lambda request: request.context["sha256"]

    def head(
        self, service: str, method: str, path: str, body: Body, headers: Mapping[str, str]
    ) -> bytes:
        """Request line and signed headers."""
        request = AWSRequest(method, f"http://{self._host}{path}", dict(headers))
        request.context |= {"sha256": body.sha256, "client_config": None}
        self._signers[service].add_auth(request)
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        lines += [f"Content-Length: {len(body.data)}", "", ""]
        return "\r\n".join(lines).encode()


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Caller:
    """Calls, one after the other, on one connection.

    Args:
        signer: of the engine.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def json(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Calls an operation of a JSON protocol.

        Raises:
            CallFailedError, ThrottledError: no answer, or an error.
        """
        headers = {
            "X-Amz-Target": f"{_TARGETS[service]}.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
        }
        body = Body.of(json.dumps(parameters).encode())
        answer = await self.send(service, "POST", "/", body, headers)
        found: dict[str, Any] = json.loads(answer.body or b"{}")
        return found

    async def send(
        self,
        service: str,
        method: str,
        path: str,
        body: Body = NOTHING,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends a signed request and reads the answer.

        Raises:
            CallFailedError, ThrottledError: no answer, or an error.
        """
        head = self._signer.head(service, method, path, body, headers or {})
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await self._exchange(head, body.data)
        except (TimeoutError, OSError, EOFError, ValueError) as error:
            self.close()
            raise CallFailedError(f"{type(error).__name__}: {error}") from error
        if answer.status >= 300:
            _judge(answer)
        return answer

    def close(self) -> None:
        """Lets go of the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, head: bytes, body: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                "127.0.0.1", self._signer.port, limit=1 << 20
            )
        reader, writer = self._streams
        writer.write(head)
        writer.write(body)
        await writer.drain()
        answer = await _read(reader)
        if answer.headers.get("connection") == "close":
            self.close()
        return answer


async def _read(reader: asyncio.StreamReader) -> Answer:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    answer = Answer(int(lines[0].split(" ")[1]))
    for line in lines[1:-2]:
        name, _, value = line.partition(": ")
        answer.headers[name.lower()] = value
    if answer.headers.get("transfer-encoding") == "chunked":
        answer.body = await _read_chunks(reader)
    elif answer.status != 204:
        answer.body = await reader.readexactly(int(answer.headers.get("content-length", 0)))
    return answer


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    found = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        found.append((await reader.readexactly(size + 2))[:-2])
    await reader.readexactly(2)
    return b"".join(found)


def _judge(answer: Answer) -> None:
    text = answer.body.decode("utf-8", "replace")
    if any(code in text for code in _LATER):
        raise ThrottledError(text)
    raise CallFailedError(f"answer {answer.status}: {text[:300]}")
