"""Bodies in and out: streamed, of any length, from and to clients that may vanish."""

import http.client
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.settings import Settings
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import FileSlice
from tests.helpers.gateway import PATIENCE_S, ServedGateway, read_answer, served
from tests.helpers.router import until

CONTENT = bytes(range(256)) * 20_000  # about 5 MB


class Operations:
    """Fake S3 and runtime operations, and what they saw."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.file.write_bytes(CONTENT)
        self.received = b""
        self.failure: Exception | None = None
        self.has_begun = threading.Event()
        self.has_failed = threading.Event()
        self.was_closed = threading.Event()
        self.opened: list[BinaryIO] = []

    @property
    def table(self) -> dict[tuple[str, str], Operation]:
        return {
            ("s3", "PutObject"): self.put_object,
            ("s3", "GetObject"): self.get_object,
            ("s3", "HeadObject"): self.head_object,
            ("sagemaker-runtime", "InvokeEndpoint"): self.invoke_endpoint,
        }

    async def put_object(self, _call: Call, parameters: Parameters) -> Parameters:
        self.received, self.failure = b"", None
        self.has_failed.clear()
        self.has_begun.set()
        try:
            async for chunk in parameters["Body"]:
                self.received += chunk
        except ServiceError as error:
            self.failure = error
            self.has_failed.set()
            raise
        return {}

    def get_object(self, _call: Call, parameters: Parameters) -> Parameters:
        if parameters["Key"] == "missing":
            raise ServiceError("NoSuchKey", "The specified key does not exist.")
        offset, size_bytes = 0, len(CONTENT)
        if "Range" in parameters:
            first, _, last = parameters["Range"].removeprefix("bytes=").partition("-")
            offset, size_bytes = int(first), int(last) - int(first) + 1
        file = self.file.open("rb")
        self.opened.append(file)
        return {"Body": FileSlice(file, offset, size_bytes), "ContentType": "text/plain"}

    def head_object(self, _call: Call, _parameters: Parameters) -> Parameters:
        return {"ContentLength": len(CONTENT), "ETag": '"x"'}

    async def invoke_endpoint(self, _call: Call, parameters: Parameters) -> Parameters:
        body = parameters["Body"]  # a small one comes whole
        chunks = [body] if isinstance(body, bytes) else [chunk async for chunk in body]

        async def back() -> AsyncIterator[bytes]:
            try:
                for chunk in chunks:
                    yield chunk
                    if parameters["EndpointName"] == "breaks":
                        raise OSError("half-way")
                    while parameters["EndpointName"] == "endless":
                        yield bytes(1 << 20)
            finally:
                self.was_closed.set()

        return {"Body": back()}


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Operations:
    return Operations(tmp_path_factory.mktemp("files") / "object")


@pytest.fixture(scope="module")
def gateway(
    operations: Operations, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedGateway]:
    with served(operations.table, Settings(home=tmp_path_factory.mktemp("home"))) as gateway:
        yield gateway


def head_bytes(method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def signed_put(gateway: ServedGateway, body: bytes, **more: str) -> dict[str, str]:
    headers = gateway.sign("s3", "PUT", "/bucket/key", body)
    return {
        **headers,
        "Host": f"127.0.0.1:{gateway.port}",
        "Content-Length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in more.items()},
    }


def test_an_upload_arrives_whole(gateway: ServedGateway, operations: Operations) -> None:
    assert gateway.call("s3", "PUT", "/bucket/key", CONTENT).status == 200
    assert operations.received == CONTENT


def test_a_client_that_expects_continue_gets_it_and_then_sends(
    gateway: ServedGateway, operations: Operations
) -> None:
    with gateway.raw() as connection:
        connection.sendall(
            head_bytes("PUT", "/bucket/key", signed_put(gateway, b"body", Expect="100-continue"))
        )
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"body")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert operations.received == b"body"


def test_a_refused_client_that_expects_continue_need_not_send(gateway: ServedGateway) -> None:
    headers = signed_put(gateway, CONTENT, Expect="100-continue", Authorization="nonsense")
    with gateway.raw() as connection:
        connection.sendall(head_bytes("PUT", "/bucket/key", headers))
        answer = b""
        while data := connection.recv(10_000):  # until the server closes
            answer += data
    assert answer.startswith(b"HTTP/1.1 4")
    assert b"connection: close" in answer


def test_a_client_that_vanishes_makes_the_operation_fail(
    gateway: ServedGateway, operations: Operations
) -> None:
    operations.has_begun.clear()
    with gateway.raw() as connection:
        connection.sendall(
            head_bytes("PUT", "/bucket/key", signed_put(gateway, CONTENT)) + CONTENT[:100_000]
        )
        assert operations.has_begun.wait(PATIENCE_S)
    assert operations.has_failed.wait(PATIENCE_S)
    assert len(operations.received) < len(CONTENT)


def test_a_body_that_was_altered_is_never_whole(
    gateway: ServedGateway, operations: Operations
) -> None:
    headers = gateway.sign("s3", "PUT", "/bucket/key", CONTENT)
    answer = gateway.send("PUT", "/bucket/key", CONTENT[:-1] + b"?", headers)
    assert answer.status == 400
    assert b"XAmzContentSHA256Mismatch" in answer.body
    assert len(operations.received) < len(CONTENT)


def test_a_file_is_sent_whole(gateway: ServedGateway, operations: Operations) -> None:
    answer = gateway.call("s3", "GET", "/bucket/key")
    assert answer.body == CONTENT
    assert answer.headers["content-length"] == str(len(CONTENT))
    until(lambda: all(file.closed for file in operations.opened))  # the client was faster


def test_part_of_a_file_is_sent(gateway: ServedGateway) -> None:
    answer = gateway.call("s3", "GET", "/bucket/key", headers={"Range": "bytes=100-2000000"})
    assert answer.body == CONTENT[100:2_000_001]


def test_head_tells_the_length_and_sends_no_body(gateway: ServedGateway) -> None:
    answer = gateway.call("s3", "HEAD", "/bucket/key")
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.body == b""


def test_a_connection_is_kept_after_head_and_after_errors(gateway: ServedGateway) -> None:
    connection = gateway.connect()
    sock = None
    for method, path in [
        ("HEAD", "/b/k"),
        ("GET", "/b/missing"),
        ("HEAD", "/b/k"),
        ("GET", "/b/k"),
    ]:
        connection.request(method, path, headers=gateway.sign("s3", method, path))
        read_answer(connection)
        sock = sock or connection.sock
        assert connection.sock is sock
    connection.close()


def test_a_file_is_closed_when_the_client_goes(
    gateway: ServedGateway, operations: Operations
) -> None:
    operations.file.write_bytes(CONTENT)
    before = len(operations.opened)
    with gateway.raw() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        headers = gateway.sign("s3", "GET", "/bucket/key")
        headers["Host"] = f"127.0.0.1:{gateway.port}"
        connection.sendall(head_bytes("GET", "/bucket/key", headers))
        assert connection.recv(100)
    file = operations.opened[before]
    gateway.call("s3", "GET", "/bucket/key")  # the loop has turned since the client went
    deadline = threading.Event()
    for _ in range(100):
        if file.closed:
            return
        deadline.wait(0.05)
    raise AssertionError("the file is still open")


def invoke(gateway: ServedGateway, endpoint: str, body: bytes) -> bytes:
    path = f"/endpoints/{endpoint}/invocations"
    answer = gateway.call("sagemaker", "POST", path, body)
    assert answer.status == 200
    return answer.body


def test_a_stream_is_answered_with_a_stream(gateway: ServedGateway) -> None:
    assert invoke(gateway, "echo", CONTENT) == CONTENT


def test_a_stream_that_breaks_is_not_mistaken_for_a_whole_one(gateway: ServedGateway) -> None:
    with pytest.raises(http.client.IncompleteRead):
        invoke(gateway, "breaks", b"once")


def test_an_endless_stream_ends_when_the_client_goes(
    gateway: ServedGateway, operations: Operations
) -> None:
    operations.was_closed.clear()
    path = "/endpoints/endless/invocations"
    headers = gateway.sign("sagemaker", "POST", path, b"x")
    headers |= {"Host": f"127.0.0.1:{gateway.port}", "Content-Length": "1"}
    with gateway.raw() as connection:
        connection.sendall(head_bytes("POST", path, headers) + b"x")
        assert connection.recv(100)
    assert operations.was_closed.wait(PATIENCE_S)
