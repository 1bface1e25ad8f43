"""Clients that are slow, wrong, hostile or gone, and what their connections then say."""

import contextlib
import re
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from intermodal_serving.pace import Pace
from tests.helpers.http_server import MAX_BODY_BYTES, HttpServer, http_server, read_all


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with http_server() as server:
        yield server


@pytest.fixture(scope="module")
def impatient() -> Iterator[HttpServer]:
    pace = Pace(
        keep_alive_s=1.2, headers_s=0.3, body_s=0.3, body_bytes_per_s=1000, stall_s=0.3,
        linger_s=0.3, check_s=0.05,
    )  # fmt: skip
    with http_server(pace) as server:
        yield server


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode("latin-1")


def post(body: bytes, *headers: str, path: str = "/now") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


@pytest.mark.parametrize("path", ["/now", "/later"])
def test_thousands_of_requests_sent_at_once_are_answered_in_order(
    server: HttpServer, path: str
) -> None:
    bodies = [b"%d;" % number for number in range(3000)]
    answers = server.say(post(b"first;", path=path) + b"".join(map(post, bodies)))
    assert statuses(answers) == [200] * 3001
    places = [answers.index(b"\r\n\r\n" + body) for body in [b"first;", *bodies]]
    assert places == sorted(places)


def test_what_was_whole_is_answered_though_the_next_request_is_cut_off(server: HttpServer) -> None:
    answers = server.say(post(b"one", path="/later") + post(b"two") + b"POST /now HT")
    assert statuses(answers) == [200, 200]
    assert b"two" in answers


@pytest.mark.parametrize(
    "cut",
    [
        b"GET /no",
        b"GET /now HTTP/1.1\r\nHo",
        post(b"1234567890")[:-3],
        post(bytes(100_000))[:-3],
        b"POST /now HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
    ids=["line", "headers", "body", "large body", "chunk"],
)
def test_a_request_that_is_cut_off_is_answered_400_and_never_handled(
    server: HttpServer, cut: bytes
) -> None:
    before = len(server.requests)
    answers = server.say(cut)
    assert statuses(answers) == [400]
    assert b"ended before it was whole" in answers
    assert [each.strip() for each in server.requests[before:]] == ["GET"]  # the refusal


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/" + "a" * 8_000), 200),
        (get("/" + "a" * 9_000), 414),
        (get("/" + "a" * 1_000_000), 414),
        (get("/now", "X: " + "a" * 60_000), 200),
        (get("/now", "X: " + "a" * 70_000), 431),
        (get("/now", "X: " + "a" * 5_000_000), 431),
        (get("/now", "a" * 5_000_000 + ": 1"), 431),
        (get("/now", *["A: b"] * 190), 200),
        (get("/now", *["A: b"] * 300), 431),
        (b"GET /now HTTP/1.1\r\nX: " + b"a" * 5_000_000, 431),
        (b"POST /now HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"e" * 5_000_000, 431),
        (
            b"POST /now HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 5_000_000,
            431,
        ),
        (
            b"POST /now HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 5_000,
            431,
        ),
    ],
    ids=["url", "long url", "huge url", "header", "long header", "huge header", "huge name",
         "headers", "many headers", "endless header", "endless chunk head", "endless trailer",
         "many trailers"],
)  # fmt: skip
def test_long_urls_and_headers_are_refused_and_the_client_sees_the_answer(
    server: HttpServer, request_: bytes, status: int
) -> None:
    with server.connect() as client:
        client.sendall(request_)  # although we have long stopped reading with interest
        client.shutdown(socket.SHUT_WR)
        assert statuses(read_all(client)) == [status]


def test_a_body_over_the_limit_is_answered_while_it_comes_and_the_connection_goes_on(
    server: HttpServer,
) -> None:
    large = bytes(MAX_BODY_BYTES + 1)
    chunk = b"%x\r\n%s\r\n" % (len(large), large)
    in_chunks = b"POST /now HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"
    assert statuses(server.say(post(large) + in_chunks + get("/now"))) == [413, 413, 200]


def test_a_refused_body_that_breaks_off_is_answered_once(server: HttpServer) -> None:
    head = b"POST /now HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%s\r\n" % (MAX_BODY_BYTES + 1, bytes(MAX_BODY_BYTES + 1))
    assert statuses(server.say(head + chunk + b"no chunk at all\r\n")) == [413]
    assert statuses(server.say(head + chunk)) == [413]


def test_a_body_that_nobody_will_read_is_refused_before_it_is_sent(server: HttpServer) -> None:
    head = post(b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 9000000")
    answers = server.say(head, half_close=False)
    assert statuses(answers) == [413]
    assert b"connection: close" in answers


def test_a_client_that_asks_to_continue_behind_another_request_is_told_in_its_turn(
    server: HttpServer,
) -> None:
    with server.connect() as client:
        client.sendall(get("/later") + post(b"", "Expect: 100-continue").replace(b"h: 0", b"h: 3"))
        received = b""
        while b"100 Continue" not in received:
            received += client.recv(65536)
        client.sendall(b"abc")
        client.shutdown(socket.SHUT_WR)
        received += read_all(client)
    assert statuses(received) == [200, 100, 200]
    assert received.endswith(b"abc")


def test_a_client_of_http_1_0_is_not_told_to_continue(server: HttpServer) -> None:
    ask = b"POST /now HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"
    assert statuses(server.say(ask)) == [200]


def test_a_target_may_name_the_server_too(server: HttpServer) -> None:
    server.say(get("http://localhost:8080/now?a=b") + get("HTTPS://x") + get("ftp://x/now"))
    assert server.requests[-3:] == ["GET /now", "GET /", "GET ftp://x/now"]


def test_nothing_follows_an_answer_that_has_no_body(server: HttpServer) -> None:
    answers = server.say(get("/empty") + get("/now"))
    assert statuses(answers) == [204, 200]
    assert b"must not be" not in answers
    assert b"HTTP/1.1 204 No Content\r\n" in answers
    assert answers.count(b"content-length") == 1


@pytest.mark.parametrize("path", ["/injected", "/not-latin"])
def test_a_header_that_is_not_one_line_of_latin_1_becomes_a_500_without_it(
    server: HttpServer, path: str
) -> None:
    answers = server.say(get(path) + get("/now"))
    assert statuses(answers) == [500, 200]
    assert b"x-b" not in answers


def test_whoever_takes_no_answers_is_asked_for_no_more_requests(server: HttpServer) -> None:
    before = len(server.requests)
    with server.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.settimeout(0.3)
        one = get("/large")
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 200_000_000:
                sent += client.send(one * 1000)
        assert sent < 200_000_000
        # One reading's worth of requests may have been handled at once, not all that was sent.
        assert len(server.requests) - before < 10_000
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert statuses(server.say(get("/now"))) == [200]


def test_headers_that_come_drop_by_drop_are_refused_in_time(impatient: HttpServer) -> None:
    began = time.monotonic()
    with impatient.connect() as client:
        for letter in get("/now", "X-Slow: " + "a" * 100).decode():
            try:
                client.sendall(letter.encode())
            except OSError:
                break
            time.sleep(0.02)
            if time.monotonic() - began > 0.6:
                break
        answers = read_all(client)
    assert statuses(answers) == [408]
    assert b"headers were not there within 0.3 s" in answers


@pytest.mark.parametrize("size", [1000, 500_000])
def test_a_body_that_stands_still_or_trickles_is_refused(impatient: HttpServer, size: int) -> None:
    head = post(bytes(size))[: -size + 10]
    assert statuses(impatient.say(head, half_close=False)) == [408]
    began = time.monotonic()
    with impatient.connect() as client:
        client.sendall(head)
        while time.monotonic() - began < 0.6:
            client.sendall(b"a")
            time.sleep(0.02)
        assert statuses(read_all(client)) == [408]


def test_an_idle_connection_is_closed_without_a_word(impatient: HttpServer) -> None:
    with impatient.connect() as client:
        client.sendall(get("/now"))
        assert statuses(read_all(client)) == [200]


def test_whoever_reads_nothing_is_cut_off(impatient: HttpServer) -> None:
    with impatient.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(get("/large") * 20)
        time.sleep(1.0)
        received = 0
        with contextlib.suppress(ConnectionError):
            while chunk := client.recv(262_144):
                received += len(chunk)
    assert received < 20_000_000


def test_a_refused_client_that_goes_on_sending_is_cut_off(impatient: HttpServer) -> None:
    began = time.monotonic()
    with impatient.connect() as client, contextlib.suppress(ConnectionError):
        while time.monotonic() - began < 5:
            client.sendall(b"no http at all " * 100)
            time.sleep(0.01)
    assert time.monotonic() - began < 3


def test_a_slow_but_steady_client_is_served(impatient: HttpServer) -> None:
    body = bytes(3000)
    head = post(body)[: -len(body)]
    with impatient.connect() as client:
        client.sendall(head)
        for start in range(0, len(body), 100):
            client.sendall(body[start : start + 100])
            time.sleep(0.02)
        client.shutdown(socket.SHUT_WR)
        assert statuses(read_all(client)) == [200]
