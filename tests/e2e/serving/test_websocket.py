"""`/invocations-bidirectional-stream`, spoken to by a WebSocket client that is not ours."""

import base64
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from websockets.sync.client import ClientConnection, connect

from intermodal_contract.serving_http import BIDIRECTIONAL_STREAM_PATH
from tests.helpers.serving_process import ECHO, LIMIT_S, Serving, serving, write_code

CONVERSING = """
    def model_fn(model_dir):
        return "the model"

    async def stream_fn(messages, model, context):
        import asyncio, threading, time, intermodal_serving
        try:
            async for message in messages:
                if message == "raise":
                    raise ZeroDivisionError("by nothing, " + "ü" * 100)
                if message == "refuse":
                    raise intermodal_serving.BadRequestError("not like that")
                if message == "dict":
                    yield {}
                if message == "end":
                    return
                if message == "model":
                    yield model
                elif message == "header":
                    yield context.custom_attributes
                elif message == "threads":
                    yield threading.current_thread().name
                    yield await context.call_model(lambda: threading.current_thread().name)
                elif message == "sleep":
                    yield "asleep"
                    await context.call_model(time.sleep, 1.5)
                elif message == "flood":
                    for number in range(1_000_000):
                        yield bytes(100_000)
                        print("sent", number, flush=True)
                elif message == "count":
                    await asyncio.sleep(1)
                    yield str(sum([len(await anext(messages)) for _ in range(400)]))
                elif message == "doze":
                    await asyncio.sleep(1)
                    yield "awake"
                else:
                    yield message
            yield "bye"
        finally:
            print("handler closed", flush=True)
"""


@contextmanager
def talk(server: Serving, **headers: str) -> Iterator[ClientConnection]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with connect(
        f"ws://127.0.0.1:{server.port}{BIDIRECTIONAL_STREAM_PATH}",
        additional_headers=named,
        max_size=None,
        open_timeout=LIMIT_S,
        close_timeout=LIMIT_S,
    ) as client:
        yield client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    base = write_code(tmp_path_factory.mktemp("conversing"), CONVERSING)
    with serving(base, SAGEMAKER_MAX_REQUEST_SIZE="200000", INTERMODAL_ACCESS_LOG="true") as server:
        yield server


def test_text_and_bytes_come_back_as_what_they_were(server: Serving) -> None:
    with talk(server) as client:
        for message in ("", "text äöü", b"", b"\x00\xff", "x" * 200_000, os.urandom(70_000)):
            client.send(message)
            assert client.recv(LIMIT_S) == message
        client.send(["in ", "three ", "fragments"])
        assert client.recv(LIMIT_S) == "in three fragments"
        client.send([b"a", b"b"])
        assert client.recv(LIMIT_S) == b"ab"


def test_the_handler_has_the_model_the_requests_headers_and_the_models_thread(
    server: Serving,
) -> None:
    with talk(server, X_Amzn_SageMaker_Custom_Attributes="a=b", X_Amzn_RequestId="ws-1") as client:
        assert client.response is not None
        assert client.response.headers["x-amzn-requestid"] == "ws-1"
        for asked, answers in (
            ("model", ["the model"]),
            ("header", ["a=b"]),
            ("threads", ["loop", "MainThread"]),
        ):
            client.send(asked)
            assert [client.recv(LIMIT_S) for _ in answers] == answers


def test_pings_are_answered(server: Serving) -> None:
    with talk(server) as client:
        assert client.ping(b"are you there").wait(LIMIT_S)


def test_a_connection_is_accepted_within_a_quarter_second_also_while_the_model_works(
    server: Serving,
) -> None:
    with talk(server) as busy:
        busy.send("sleep")
        assert busy.recv(LIMIT_S) == "asleep"
        started = time.monotonic()
        with talk(server) as client:
            client.send("hello")
            assert client.recv(LIMIT_S) == "hello"
            assert time.monotonic() - started < 0.25


def test_the_close_code_of_a_client_comes_back_and_ends_the_messages(server: Serving) -> None:
    with talk(server) as client:
        client.send("hello")
        client.recv(LIMIT_S)
        client.close(4000, "enough")
        with pytest.raises(ConnectionClosedError) as closed:
            client.recv(LIMIT_S)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "enough")
    line = json.loads(server.wait_for(r'access (\{.*"close":4000\})')[1])
    assert (line["status"], line["messages_in"], line["messages_out"]) == (101, 1, 1)
    assert (line["bytes_in"], line["bytes_out"]) == (5, 5)


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("raise", 1011, "ZeroDivisionError: by nothing, üüü"),
        ("refuse", 1008, "not like that"),
        ("dict", 1011, "TypeError: stream_fn yielded a dict; it must yield bytes or str"),
        ("x" * 200_001, 1009, ""),
    ],
)
def test_what_goes_wrong_is_told_by_the_close_code_and_its_reason(
    server: Serving, message: str, code: int, reason: str
) -> None:
    with talk(server) as client:
        client.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(LIMIT_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    assert closed.value.rcvd.reason.startswith(reason)
    if code == 1011:
        server.wait_for(rf"request \w+ failed\nTraceback[^>]*\n{reason[:20]}")


def test_a_handler_that_ends_closes_with_1000(server: Serving) -> None:
    with talk(server) as client:
        client.send("end")
        with pytest.raises(ConnectionClosedOK) as closed:
            client.recv(LIMIT_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000


def raw(server: Serving, *lines: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S)
    path = BIDIRECTIONAL_STREAM_PATH.encode()
    client.sendall(b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: x", *lines, b"", b""]))
    return client


KEY = b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16))
UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")


def masked(first: int, data: bytes) -> bytes:
    return bytes([first, 0x80 | len(data), 0, 0, 0, 0]) + data


def test_text_that_is_no_utf_8_closes_with_1007_and_a_frame_of_no_kind_with_1002(
    server: Serving,
) -> None:
    for frame, code in ((masked(0x81, b"\xff"), 1007), (masked(0x83, b""), 1002)):
        # The frame comes with the handshake, as RFC 6455 does not want it but as it happens.
        with raw(server, *UPGRADE, KEY) as client:
            client.sendall(frame)
            received = b""
            while chunk := client.recv(4096):
                received += chunk
        assert received.startswith(b"HTTP/1.1 101 ")
        assert code.to_bytes(2, "big") in received.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((), b"426"),
        ((b"Connection: Upgrade", b"Upgrade: h2c"), b"426"),
        ((*UPGRADE[:2], b"Sec-WebSocket-Version: 8", KEY), b"426"),
        (UPGRADE, b"400"),
        ((*UPGRADE, b"Sec-WebSocket-Key: short"), b"400"),
        ((*UPGRADE, KEY, KEY), b"400"),
    ],
)
def test_a_bad_handshake_is_refused_and_the_server_goes_on(
    server: Serving, lines: tuple[bytes, ...], status: bytes
) -> None:
    with raw(server, *lines, b"X-A: b") as client:
        answer = client.recv(4096)
        assert answer.startswith(b"HTTP/1.1 " + status)
        if status == b"426":
            assert b"upgrade: websocket\r\n" in answer
            assert b"sec-websocket-version: 13\r\n" in answer
    assert server.ask("POST", BIDIRECTIONAL_STREAM_PATH, b"{}").status == 426
    assert server.ask("GET", "/ping").status == 200


def test_a_client_that_takes_nothing_stops_the_handler_and_one_that_leaves_closes_it(
    server: Serving,
) -> None:
    with raw(server, *UPGRADE, KEY) as client:
        client.sendall(masked(0x81, b"flood"))
        assert client.recv(12) == b"HTTP/1.1 101"
        server.wait_for("sent 1")
        time.sleep(1)
        assert server.ask("GET", "/ping").status == 200
        before = server.log.count("handler closed")
    deadline = time.monotonic() + 5
    while server.log.count("handler closed") == before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.log.count("handler closed") == before + 1
    assert server.log.count("sent ") * 100_000 < 32e6


def test_messages_wait_at_their_sender_while_the_handler_is_busy(server: Serving) -> None:
    sent = 0

    def keep_sending() -> None:
        nonlocal sent
        for _ in range(400):
            client.send(bytes(100_000))
            sent += 1

    with talk(server) as client:
        client.send("count")
        sending = threading.Thread(target=keep_sending)
        sending.start()
        time.sleep(0.5)
        assert sent * 100_000 < 32e6
        assert client.recv(LIMIT_S) == "40000000"
        sending.join()


def test_sigterm_ends_the_messages_lets_the_handler_answer_and_closes_with_1001(
    tmp_path: Path,
) -> None:
    with serving(write_code(tmp_path, CONVERSING)) as server, talk(server) as client:
        client.send("doze")
        client.send("one more")
        server.process.send_signal(signal.SIGTERM)
        assert [client.recv(LIMIT_S) for _ in range(3)] == ["awake", "one more", "bye"]
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(LIMIT_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert server.wait() == 0


def test_without_stream_fn_the_route_says_what_to_define(tmp_path: Path) -> None:
    with serving(write_code(tmp_path, ECHO)) as server:
        with raw(server, *UPGRADE, KEY, b"Connection: close") as client:
            answer = client.recv(4096)
        assert answer.startswith(b"HTTP/1.1 501 ")
        assert b"define `async def stream_fn(messages, model, context)`" in answer


def test_a_model_that_only_converses_says_so_to_invocations(tmp_path: Path) -> None:
    with serving(write_code(tmp_path, CONVERSING)) as server:
        reply = server.invoke(b"[1]")
    assert (reply.status, reply.json["error"]) == (
        501,
        "the model takes bidirectional streams only",
    )


def test_the_library_is_loaded_only_by_a_model_that_converses(tmp_path: Path) -> None:
    source = """
        import sys
        def model_fn(model_dir):
            return None
        def predict_fn(data, model):
            return "websockets" in sys.modules
        """
    with serving(write_code(tmp_path, source)) as server:
        assert server.invoke(b"1").json is False
    with serving(
        write_code(tmp_path, source + "async def stream_fn(messages, model): yield b''")
    ) as server:
        assert server.invoke(b"1").json is True
