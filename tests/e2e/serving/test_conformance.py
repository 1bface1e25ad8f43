"""The inference contract, asked over HTTP of whatever answers at a base URL.

`INTERMODAL_CONFORMANCE_URL=http://host:port pytest tests/e2e/serving/test_conformance.py` asks
another server. It must serve a model that gives every body back as it came, with the request's
content type and its `X-Amzn-SageMaker-Custom-Attributes`. Without the variable ours is asked, and a
container of flask's, so that nothing here is true of ours alone.

AWS pages: your-algorithms-inference-code, your-algorithms-batch-code, API_runtime_InvokeEndpoint.
Where the contract is silent, RFC 9110 and 9112 speak; where these leave a choice, any choice is
right. No error's text is looked at.
"""

import http.client
import json
import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from intermodal_contract.serving_http import (
    CUSTOM_ATTRIBUTES_HEADER,
    MAX_CUSTOM_ATTRIBUTES_CHARACTERS,
    PING_TIMEOUT_S,
)
from tests.helpers.flask_container import flask_container
from tests.helpers.serving_process import serving, write_code

OTHER = os.environ.get("INTERMODAL_CONFORMANCE_URL")
MODEL = """
    def model_fn(model_dir):
        return None

    def transform_fn(model, body, content_type, accept, context):
        if context.custom_attributes is not None:
            context.set_header("X-Amzn-SageMaker-Custom-Attributes", context.custom_attributes)
        return body, content_type
"""
RIGHT_5XX = {501, 505}
"""What RFC 9110 lets a server say to a method, a coding or a version that it does not know."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Container:
    """Where a serving container answers."""

    host: str
    port: int

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=20)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = self.connect()
        try:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def invoke(self, body: bytes, content_type: str = "application/json", **more: str) -> Answer:
        return self.ask("POST", "/invocations", body, Content_Type=content_type, **more)

    def send(self, *pieces: bytes) -> bytes:
        """Bytes as they are, and all that comes back until the server closes or 2 s pass."""
        received = b""
        with socket.create_connection((self.host, self.port), timeout=2) as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has said what it has to say
            try:
                while chunk := connection.recv(65536):
                    received += chunk
            except (ConnectionError, TimeoutError):
                pass
        return received

    @property
    def limit_mb(self) -> int:
        """The largest body that it takes, if it says so."""
        parameters = self.ask("GET", "/execution-parameters")
        if parameters.status != 200:
            pytest.skip("a container need not have /execution-parameters, and this one has none")
        return int(json.loads(parameters.body)["MaxPayloadInMB"])


@pytest.fixture(scope="module", params=["other"] if OTHER else ["serve", "flask"])
def container(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    if OTHER:
        address = urlsplit(OTHER)
        yield Container(address.hostname or "127.0.0.1", address.port or 80)
    elif request.param == "flask":
        with flask_container() as port:
            yield Container("127.0.0.1", port)
    else:
        base = write_code(tmp_path_factory.mktemp("echo"), MODEL)
        with serving(base, SAGEMAKER_MAX_PAYLOAD_IN_MB="6") as server:
            yield Container("127.0.0.1", server.port)


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answers)]


# Health.


def test_ping_answers_200_in_time(container: Container) -> None:
    for _ in range(5):
        began = time.monotonic()
        assert container.ask("GET", "/ping").status == 200
        assert time.monotonic() - began < PING_TIMEOUT_S


def test_ping_answers_in_time_while_the_model_is_busy(container: Container) -> None:
    body = os.urandom(1_500_000)
    with ThreadPoolExecutor(8) as clients:
        waiting = [
            clients.submit(container.invoke, body, "application/octet-stream") for _ in range(24)
        ]
        while not all(future.done() for future in waiting):
            began = time.monotonic()
            assert container.ask("GET", "/ping").status == 200
            assert time.monotonic() - began < PING_TIMEOUT_S
        assert all(future.result().body == body for future in waiting)


def test_ping_may_be_asked_with_head_and_with_a_query(container: Container) -> None:
    assert container.ask("GET", "/ping?from=monitor").status == 200
    answer = container.ask("HEAD", "/ping")
    assert (answer.status, answer.body) == (200, b"")


# Invocations.


def test_an_invocation_gets_its_body_to_the_model_and_the_answer_back(
    container: Container,
) -> None:
    answer = container.invoke(b"[1, 2]")
    assert (answer.status, answer.body) == (200, b"[1, 2]")
    assert answer.headers.get_content_type() == "application/json"


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_900_000])
def test_bodies_of_every_size_arrive_whole(container: Container, size: int) -> None:
    sent = os.urandom(size)
    answer = container.invoke(sent, "application/octet-stream")
    assert answer.status == 200
    assert answer.body == sent


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/csv", "application/x-npy", "application/jsonlines", "image/png",
     "application/x-recordio-protobuf"],
)  # fmt: skip
def test_any_content_type_reaches_the_model_and_comes_back(
    container: Container, content_type: str
) -> None:
    answer = container.invoke(b"1,2", content_type)
    assert (answer.status, answer.body) == (200, b"1,2")
    assert answer.headers.get_content_type() == content_type


@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/json", "text/csv;q=0.5, application/json;q=0.9, */*;q=0.1", "image/*"],
)
def test_what_the_client_accepts_is_the_models_business(container: Container, accept: str) -> None:
    assert container.invoke(b"[1]", Accept=accept).body == b"[1]"


def test_custom_attributes_pass_both_ways_at_full_length(container: Container) -> None:
    for value in ("a=1;b=2", "x" * MAX_CUSTOM_ATTRIBUTES_CHARACTERS):
        answer = container.invoke(b"[1]", X_Amzn_SageMaker_Custom_Attributes=value)
        assert answer.headers[CUSTOM_ATTRIBUTES_HEADER] == value
    assert CUSTOM_ATTRIBUTES_HEADER not in container.invoke(b"[1]").headers


def test_the_headers_of_the_service_do_no_harm(container: Container) -> None:
    answer = container.invoke(
        b"[1]",
        X_Amzn_SageMaker_Inference_Id="request-1",
        X_Amzn_SageMaker_Target_Variant="AllTraffic",
        X_Amzn_SageMaker_Enable_Explanations="`[?x]`",
        X_Amzn_RequestId="0a1b2c3d-0000-4000-8000-000000000000",
    )
    assert (answer.status, answer.body) == (200, b"[1]")


def test_answers_are_never_mixed_up(container: Container) -> None:
    def ask(number: int) -> bool:
        connection = container.connect()
        try:
            for turn in range(10):
                body = json.dumps([number, turn]).encode() * (1 + number % 3 * 5000)
                connection.request("POST", "/invocations", body, {"Content-Type": "text/plain"})
                if connection.getresponse().read() != body:
                    return False
            return True
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as clients:
        assert all(clients.map(ask, range(16)))


# Other paths and methods.


@pytest.mark.parametrize("path", ["/", "/predict", "/ping/more", "/invocations/", "/..%2fping"])
def test_other_paths_are_not_found(container: Container, path: str) -> None:
    assert container.ask("GET", path).status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/invocations"), ("PUT", "/invocations"), ("DELETE", "/ping"), ("POST", "/ping")],
)
def test_other_methods_are_refused_with_those_that_are_right(
    container: Container, method: str, path: str
) -> None:
    answer = container.ask(method, path)
    assert answer.status == 405
    assert {"GET", "POST"} & {word.strip() for word in answer.headers["Allow"].split(",")}


def test_options_names_the_methods_of_a_path(container: Container) -> None:
    answer = container.ask("OPTIONS", "/invocations")
    assert answer.status in {200, 204}
    assert "POST" in answer.headers["Allow"]
    assert "GET" in container.ask("OPTIONS", "/ping").headers["Allow"]


# Batch transform.


def test_batch_transform_learns_how_to_feed_the_container(container: Container) -> None:
    answer = container.ask("GET", "/execution-parameters")
    if answer.status == 404:
        pytest.skip("it is optional")
    parameters = json.loads(answer.body)
    assert answer.status == 200
    assert answer.headers.get_content_type() == "application/json"
    assert parameters["MaxConcurrentTransforms"] >= 1
    assert parameters["BatchStrategy"] in {"MULTI_RECORD", "SINGLE_RECORD"}
    assert 1 <= parameters["MaxPayloadInMB"] <= 100


def test_a_body_of_the_largest_size_is_taken_and_one_byte_more_is_refused(
    container: Container,
) -> None:
    limit_bytes = container.limit_mb * 2**20
    whole = bytes(limit_bytes)
    assert container.invoke(whole, "application/octet-stream").body == whole
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Length: {limit_bytes + 1}\r\nConnection: close\r\n\r\n"
    )
    # One that reads no further than it must may reset the connection over its answer.
    assert statuses(container.send(head.encode(), bytes(limit_bytes + 1))) in ([413], [])
    assert container.ask("GET", "/ping").status == 200


# Connections.


def test_a_connection_serves_one_request_after_the_other(container: Container) -> None:
    connection = container.connect()
    connection.connect()
    before = connection.sock
    for number in range(20):
        body = json.dumps([number])
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert json.loads(response.read()) == [number]
        if response.headers["Connection"] == "close":
            break  # it may end with any answer, if it says so
        assert connection.sock is before
    connection.close()


def test_a_client_that_wants_the_connection_closed_has_it_closed(container: Container) -> None:
    for version, more in (("1.1", "Connection: close\r\n"), ("1.0", "")):
        began = time.monotonic()
        with socket.create_connection((container.host, container.port), timeout=5) as client:
            client.sendall(f"GET /ping HTTP/{version}\r\nHost: x\r\n{more}\r\n".encode())
            received = b""
            while chunk := client.recv(65536):
                received += chunk
        assert statuses(received) == [200]
        assert time.monotonic() - began < 3


def test_requests_sent_without_waiting_are_answered_in_order(container: Container) -> None:
    one = (
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 5\r\n\r\n[%03d]"
    )
    answers = container.send(b"".join(one % number for number in range(30)))
    count = len(statuses(answers))
    assert statuses(answers) == [200] * count
    assert count == 30 or (count > 0 and b"\r\nconnection: close\r\n" in answers.lower())
    places = [answers.index(b"[%03d]" % number) for number in range(count)]
    assert places == sorted(places)


def test_a_chunked_body_arrives_whole(container: Container) -> None:
    connection = container.connect()
    chunks = [b"a" * 10_000, b"b", b"c" * 70_000]
    headers = {"Content-Type": "application/octet-stream"}
    connection.request("POST", "/invocations", iter(chunks), headers, encode_chunked=True)
    assert connection.getresponse().read() == b"".join(chunks)
    connection.close()


def test_a_client_that_waits_to_continue_is_told_to(container: Container) -> None:
    head = (
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        b"Content-Type: application/json\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((container.host, container.port), timeout=5) as client:
        client.sendall(head)
        first = client.recv(65536)
        assert statuses(first)[0] == 100
        client.sendall(b"[7]")
        received = first
        while chunk := client.recv(65536):
            received += chunk
    assert [status for status in statuses(received) if status != 100] == [200]
    assert received.endswith(b"[7]")


def test_every_answer_says_where_it_ends(container: Container) -> None:
    for method, path in (("GET", "/ping"), ("GET", "/none"), ("PUT", "/ping")):
        headers = container.ask(method, path).headers
        assert "Content-Length" in headers or headers["Transfer-Encoding"] == "chunked"
    headers = container.invoke(b"[1]").headers
    assert "Content-Length" in headers or headers["Transfer-Encoding"] == "chunked"


# Clients that break the rules.

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
    "a long url": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long header": b"GET /ping HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    "a header without end": b"GET /ping HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000,
    "many headers": b"GET /ping HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_request_is_never_our_fault_and_the_server_goes_on(
    container: Container, name: str
) -> None:
    answered = statuses(container.send(BROKEN[name]))
    assert {status for status in answered if status >= 500} <= RIGHT_5XX
    assert container.ask("GET", "/ping").status == 200


def test_clients_that_leave_or_reset_in_the_middle_harm_nobody(container: Container) -> None:
    sent = [
        _POST + b"Host: x\r\nContent-Length: 5\r\n\r\n[1",
        _POST + b"Host: x\r\nContent-Length: 3\r\n\r\n[1]",
        b"GET /pi",
        _CHUNKED + b"Host: x\r\n\r\n5\r\nab",
    ]
    for data in sent * 3:
        for linger in (struct.pack("ii", 0, 0), struct.pack("ii", 1, 0)):
            with socket.create_connection((container.host, container.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                client.sendall(data)
    assert container.invoke(b"[2]").body == b"[2]"
    assert container.ask("GET", "/ping").status == 200
