"""The inference contract, asked over HTTP of whatever answers at a base URL.

`INTERMODAL_CONFORMANCE_URL=http://host:port pytest tests/unit/serving/test_conformance.py` asks
another server; it must serve a model that gives every body back as it came. Without it, ours is
started. AWS page: your-algorithms-inference-code.
"""

import http.client
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from tests.helpers.serving_process import ECHO, serving, write_code


@dataclass(frozen=True)
class Container:
    """Where a serving container answers."""

    host: str
    port: int

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=10)

    def status(self, method: str, path: str, body: bytes | None = None, **headers: str) -> int:
        return self.ask(method, path, body, **headers)[0]

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = self.connect()
        try:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def send(self, *pieces: bytes) -> bytes:
        """Bytes as they are, and all that comes back until the server closes or 2 s pass."""
        received = b""
        with socket.create_connection((self.host, self.port), timeout=2) as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(65536):
                    received += chunk
            except (ConnectionError, TimeoutError):
                pass
        return received


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    other = os.environ.get("INTERMODAL_CONFORMANCE_URL")
    if other:
        address = urlsplit(other)
        yield Container(address.hostname or "127.0.0.1", address.port or 80)
        return
    with serving(write_code(tmp_path_factory.mktemp("echo"), ECHO)) as server:
        yield Container("127.0.0.1", server.port)


def test_ping_answers_200(container: Container) -> None:
    assert container.status("GET", "/ping") == 200


def test_an_invocation_gets_its_body_to_the_model_and_the_answer_back(
    container: Container,
) -> None:
    status, headers, body = container.ask(
        "POST", "/invocations", b"[1, 2]", Content_Type="application/json"
    )
    assert (status, body) == (200, b"[1, 2]")
    assert headers.get_content_type() == "application/json"


@pytest.mark.parametrize("size", [0, 1, 65_536, 5_000_000])
def test_bodies_of_every_size_arrive_whole(container: Container, size: int) -> None:
    sent = os.urandom(size)
    status, _, body = container.ask(
        "POST", "/invocations", sent, Content_Type="application/octet-stream"
    )
    assert status == 200
    assert body == sent


def test_a_chunked_body_arrives_whole(container: Container) -> None:
    connection = container.connect()
    chunks = [b"a" * 10_000, b"b", b"c" * 70_000]
    headers = {"Content-Type": "application/octet-stream"}
    connection.request("POST", "/invocations", iter(chunks), headers, encode_chunked=True)
    assert connection.getresponse().read() == b"".join(chunks)
    connection.close()


def test_a_connection_serves_one_request_after_the_other(container: Container) -> None:
    connection = container.connect()
    for number in range(20):
        connection.request("POST", "/invocations", json.dumps([number]))
        assert json.loads(connection.getresponse().read()) == [number]
    connection.close()


def test_requests_sent_without_waiting_are_answered_in_order(container: Container) -> None:
    one = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n[%d]"
    answers = container.send(b"".join(one % number for number in range(5)))
    places = [answers.index(b"[%d]" % number) for number in range(5)]
    assert places == sorted(places)


def test_a_client_that_waits_to_continue_is_told_to(container: Container) -> None:
    head = (
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        b"Content-Length: 3\r\nConnection: close\r\n\r\n"
    )
    answer = container.send(head, b"[7]")
    assert b"HTTP/1.1 200" in answer
    assert answer.endswith(b"[7]")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/predict", 404),
        ("GET", "/invocations", 405),
        ("PUT", "/invocations", 405),
        ("DELETE", "/ping", 405),
        ("HEAD", "/ping", 200),
        ("GET", "/ping?from=monitor", 200),
    ],
)
def test_other_paths_and_methods_are_told_apart(
    container: Container, method: str, path: str, status: int
) -> None:
    assert container.status(method, path) == status


def test_a_wrong_method_and_options_name_the_right_ones(container: Container) -> None:
    assert "POST" in container.ask("GET", "/invocations")[1]["Allow"]
    status, headers, _ = container.ask("OPTIONS", "/invocations")
    assert 200 <= status < 300
    assert "POST" in headers["Allow"]


def test_batch_transform_learns_how_to_feed_the_container(container: Container) -> None:
    status, _, body = container.ask("GET", "/execution-parameters")
    parameters = json.loads(body)
    assert status == 200
    assert parameters["MaxConcurrentTransforms"] >= 1
    assert parameters["BatchStrategy"] in {"MULTI_RECORD", "SINGLE_RECORD"}
    assert 1 <= parameters["MaxPayloadInMB"] <= 100


def test_a_body_over_the_limit_is_refused_and_the_connection_lives(container: Container) -> None:
    limit = json.loads(container.ask("GET", "/execution-parameters")[2])["MaxPayloadInMB"]
    connection = container.connect()
    connection.request("POST", "/invocations", bytes(limit * 2**20 + 1))
    response = connection.getresponse()
    assert response.status == 413
    assert str(limit) in response.read().decode()
    connection.request("GET", "/ping")
    assert connection.getresponse().status == 200
    connection.close()


_POST = b"POST /invocations HTTP/1.1\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n"
BROKEN = {
    "nothing": b"",
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "half a request line": b"POST /invo",
    "half a header": _POST + b"Host: x\r\nContent-Le",
    "a body cut short": _POST + b"Host: x\r\nContent-Length: 100\r\n\r\n[1",
    "a chunk cut short": _CHUNKED + b"\r\n64\r\nab",
    "a negative length": _POST + b"Content-Length: -1\r\n\r\n",
    "a length in words": _POST + b"Content-Length: ten\r\n\r\n",
    "a huge length": _POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
    "two lengths": _POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n[]",
    "length and chunks": _POST + b"Content-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk of no number": _CHUNKED + b"\r\nzz\r\n",
    "a NUL in a header": b"GET /ping HTTP/1.1\r\nX-A: \0\r\n\r\n",
    "an unknown method": b"BREW /ping HTTP/1.1\r\n\r\n",
    "an unknown version": b"GET /ping HTTP/9.9\r\n\r\n",
    "a path of no characters": b"GET  HTTP/1.1\r\n\r\n",
    "a tunnel": b"CONNECT host:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "an upgrade with a body": _POST + b"Connection: Upgrade\r\n"
    b"Upgrade: h2c\r\nContent-Length: 2\r\n\r\n[]",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_request_gets_no_5xx_and_the_server_goes_on(
    container: Container, name: str
) -> None:
    answer = container.send(BROKEN[name])
    assert not answer.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5"))
    assert container.status("GET", "/ping") == 200
