"""What one connection may cost: clients that say nothing, too little, too much, or do not read."""

import asyncio
import contextlib
import gc
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.gateway.connection import Bounds
from intermodal_engine.gateway.exchange import FILE_CHUNK_BYTES, Exchange, Message
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.settings import Settings
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import FileSlice, HttpResponse
from tests.helpers.gateway import PATIENCE_S, ServedGateway, served
from tests.helpers.router import until

HEALTH = b"GET /_intermodal/health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
BOUNDS = Bounds(head_s=0.4, head_bytes=16 << 10, stall_s=1.5)
LENGTH = (b"content-length", b"1000000")
LONG = 64 << 20
"""More than the kernel takes off the server's hands."""


async def list_objects(_call: Call, parameters: Parameters) -> Parameters:
    """A long answer that is no stream."""
    return {"Name": parameters["Bucket"], "Contents": [{"Key": "k" * LONG}]}


async def get_object(_call: Call, _parameters: Parameters) -> Parameters:
    """A long answer that is one."""

    async def chunks() -> Any:
        for _ in range(LONG >> 20):
            yield bytes(1 << 20)

    return {"Body": chunks()}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    operations: dict[tuple[str, str], Operation] = {
        ("s3", "ListObjectsV2"): list_objects,
        ("s3", "GetObject"): get_object,
    }
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    with served(operations, settings, BOUNDS) as gateway:
        yield gateway


def all_of(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    found = b""
    try:
        while data := connection.recv(1 << 20):
            found += data
    except ConnectionResetError:
        return found
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts segments so")
def test_an_answer_is_one_segment(gateway: ServedGateway) -> None:
    """A kill of the engine cannot come between its head and its body."""
    with gateway.raw() as connection:
        for count in (1, 2):
            connection.sendall(HEALTH + b"\r\n")
            head, _, body = connection.recv(10_000).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert body
            assert segments_received(connection) == count


def segments_received(connection: socket.socket) -> int:
    """With data in them; `tcpi_data_segs_in` of Linux's `struct tcp_info`."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return int(struct.unpack_from("I", info, 152)[0])


def test_a_client_that_says_nothing_is_cut(gateway: ServedGateway) -> None:
    began = time.monotonic()
    with gateway.raw() as connection:
        assert all_of(connection) == b""
    assert time.monotonic() - began < PATIENCE_S / 2


def test_a_head_that_comes_byte_by_byte_has_no_more_time_than_one_that_stops(
    gateway: ServedGateway,
) -> None:
    ends_at, answer = time.monotonic() + PATIENCE_S, b""
    with gateway.raw() as connection:
        connection.sendall(HEALTH + b"X-Slow: ")
        connection.settimeout(BOUNDS.head_s / 8)
        while not answer and time.monotonic() < ends_at:
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout")


def test_half_a_head_is_answered_by_a_timeout(gateway: ServedGateway) -> None:
    with gateway.raw() as connection:
        connection.sendall(HEALTH)
        assert all_of(connection).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_half_a_second_head_is_as_good_as_half_a_first(gateway: ServedGateway) -> None:
    with gateway.raw() as connection:
        connection.sendall(HEALTH + b"\r\n" + HEALTH)
        answers = all_of(connection)
    assert answers.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408 Request Timeout\r\n" in answers


def test_stray_line_ends_do_not_keep_a_connection_open(gateway: ServedGateway) -> None:
    with gateway.raw() as connection:
        connection.sendall(HEALTH + b"\r\n")
        assert connection.recv(10_000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"\r\n")
        all_of(connection)  # raises where the server does not close


def test_a_kept_connection_outlives_the_patience_for_a_head(gateway: ServedGateway) -> None:
    with gateway.raw() as connection:
        for _ in range(2):
            connection.sendall(HEALTH + b"\r\n")
            assert connection.recv(10_000).startswith(b"HTTP/1.1 200")
            time.sleep(2 * BOUNDS.head_s)


@pytest.mark.parametrize(
    "beginning",
    [HEALTH + b"X-Long: ", b"GET /", HEALTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Long: "],
    ids=["a header", "a path", "a trailer"],
)
def test_a_head_without_end_is_not_kept_in_memory(gateway: ServedGateway, beginning: bytes) -> None:
    with gateway.raw() as connection:
        connection.sendall(beginning)
        with pytest.raises(ConnectionError):
            connection.sendall(b"x" * LONG)


@pytest.mark.parametrize("path", ["/bucket/key", "/bucket?list-type=2"], ids=["stream", "whole"])
def test_a_client_that_does_not_read_is_cut(gateway: ServedGateway, path: str) -> None:
    with unread_answer(gateway, path) as connection:
        assert connection.recv(1)
        until(lambda: gateway.connections == 0)
        assert len(all_of(connection)) < LONG


@pytest.mark.parametrize("path", ["/bucket/key", "/bucket?list-type=2"], ids=["stream", "whole"])
def test_a_client_that_reads_slowly_gets_everything(gateway: ServedGateway, path: str) -> None:
    size = 0
    with unread_answer(gateway, path) as connection:
        ends_at = time.monotonic() + 1.5 * BOUNDS.stall_s
        while time.monotonic() < ends_at:
            size += len(connection.recv(256 << 10))
            time.sleep(BOUNDS.stall_s / 50)
        while size < LONG:
            read = len(connection.recv(1 << 20))
            assert read, size
            size += read


def unread_answer(gateway: ServedGateway, path: str) -> socket.socket:
    """A connection on which a long answer comes."""
    connection = gateway.raw()
    headers = {**gateway.sign("s3", "GET", path), "Host": f"127.0.0.1:{gateway.port}"}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return connection


def test_a_refused_client_that_sends_slowly_is_answered_all_the_same() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    exchange = Exchange(_scope("PUT", LENGTH), receive, send, discard_timeout_s=0.1)
    asyncio.run(exchange.answer(HttpResponse(403, [], b"no")))
    assert sent[0]["status"] == 403
    assert (b"connection", b"close") in sent[0]["headers"]


def test_a_client_that_stops_half_way_is_told_at_once_once_its_time_is_up() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(PATIENCE_S)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def answer() -> None:
        exchange = Exchange(_scope("PUT", LENGTH), receive, send, idle_timeout_s=0.1)
        with pytest.raises(ServiceError, match="RequestTimeout"):
            await exchange.read(1 << 20)
        await exchange.answer(HttpResponse(400, [], b"late"))

    began = time.monotonic()
    asyncio.run(answer())
    assert time.monotonic() - began < PATIENCE_S / 2
    assert (b"connection", b"close") in sent[0]["headers"]


def test_a_file_that_is_read_ahead_stays_open_until_it_was_read(tmp_path: Path) -> None:
    """A descriptor that is closed too early may be another file's by then."""
    path = tmp_path / "object"
    path.write_bytes(bytes(2 * FILE_CHUNK_BYTES))
    complaints: list[dict[str, Any]] = []
    coming: list[Message] = [{"type": "http.request"}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return coming.pop(0)

    async def send(_message: Message) -> None:
        await asyncio.sleep(0)

    async def answer() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(SlowDisk(1))
        loop.set_exception_handler(lambda _loop, context: complaints.append(context))
        exchange = Exchange(_scope("GET"), receive, send)
        file = path.open("rb")
        await exchange.answer(HttpResponse(200, [], FileSlice(file, 0, path.stat().st_size)))
        assert file.closed
        await loop.shutdown_default_executor()

    asyncio.run(answer())
    gc.collect()
    assert complaints == []


class SlowDisk(ThreadPoolExecutor):
    """Needs a moment for each thing."""

    def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> "Future[Any]":
        def later() -> Any:
            time.sleep(0.1)
            return work(*given, **named)

        return super().submit(later)


def _scope(method: str, *headers: tuple[bytes, bytes]) -> Message:
    return {"method": method, "raw_path": b"/", "query_string": b"", "headers": [*headers]}
