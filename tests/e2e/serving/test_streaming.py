"""Answers that go out piece by piece, seen from their clients."""

import http.client
import json
import os
import random
import signal
import socket
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.serving_process import LIMIT_S, Serving, serving, write_code


@contextmanager
def stream(
    server: Serving, body: bytes = b"{}", **headers: str
) -> Iterator[http.client.HTTPResponse]:
    """An answer whose head is there and whose body is to be read."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    try:
        connection.request("POST", "/invocations", body, named)
        response = connection.getresponse()
        with response:
            yield response
    finally:
        connection.close()


def send(server: Serving, head: bytes, body: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S)
    client.sendall(head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return client


def all_of(client: socket.socket) -> bytes:
    received = b""
    while chunk := client.recv(65536):
        received += chunk
    return received


FORMS = {
    "a generator transform_fn": """
        def transform_fn(model, body, content_type, accept):
            yield "first"
            wait()
            yield b"second"
    """,
    "an async generator transform_fn": """
        async def transform_fn(model, body, content_type, accept):
            yield "first"
            await asyncio.to_thread(wait)
            yield b"second"
    """,
    "a generator output_fn": """
        def input_fn(body, content_type):
            return body
        def predict_fn(data, model):
            return ["first", "second"]
        def output_fn(prediction, accept):
            yield prediction[0]
            wait()
            yield prediction[1]
    """,
    "a generator predict_fn and an output_fn for each": """
        def predict_fn(data, model):
            yield "first"
            wait()
            yield "second"
        def output_fn(prediction, accept):
            return prediction
    """,
    "a generator predict_fn and a generator output_fn": """
        def predict_fn(data, model):
            yield "first"
            wait()
            yield "second"
        def output_fn(prediction, accept):
            for each in prediction:
                yield each
    """,
    "an async generator predict_fn and an output_fn for each": """
        async def predict_fn(data, model):
            yield "first"
            await asyncio.to_thread(wait)
            yield "second"
        def output_fn(prediction, accept):
            return prediction
    """,
    "a generator predict_fn and an async output_fn for each": """
        def predict_fn(data, model):
            yield "first"
            wait()
            yield "second"
        async def output_fn(prediction, accept):
            await asyncio.sleep(0)
            return prediction
    """,
    "a function that returns an iterator and a content type": """
        class Tokens:
            def __init__(self):
                self.left = ["first", "second"]
            def __iter__(self):
                return self
            def __next__(self):
                if not self.left:
                    raise StopIteration
                if len(self.left) == 1:
                    wait()
                return self.left.pop(0)
        def transform_fn(model, body, content_type, accept):
            return Tokens(), "text/plain"
    """,
    "a plain function that returns an async generator": """
        async def tokens():
            yield "first"
            await asyncio.to_thread(wait)
            yield "second"
        def transform_fn(model, body, content_type, accept):
            return tokens()
    """,
    "an async function that returns a plain generator": """
        def tokens():
            yield "first"
            wait()
            yield "second"
        async def transform_fn(model, body, content_type, accept):
            return tokens()
    """,
}


@pytest.mark.parametrize("form", FORMS)
def test_chunks_are_there_before_the_handler_has_made_the_next(tmp_path: Path, form: str) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    head = f"""
        import asyncio
        def wait():
            open({str(gate)!r}).read()
        def model_fn(model_dir):
            return None
    """
    write_code(tmp_path, textwrap.dedent(head) + textwrap.dedent(FORMS[form]))
    with serving(tmp_path) as server, stream(server) as answer:
        assert answer.status == 200
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.read(5) == b"first"
        gate.write_text("now")
        assert answer.read() == b"second"


COUNTING = """
    def model_fn(model_dir):
        return None
    def predict_fn(data, model):
        for number in range(int(data["to"])):
            yield {"number": number}
"""


@pytest.mark.parametrize(
    ("accept", "content_type", "body"),
    [
        ("*/*", "application/jsonlines", b'{"number":0}\n{"number":1}\n'),
        ("application/json", "application/jsonlines", b'{"number":0}\n{"number":1}\n'),
        (
            "text/event-stream",
            "text/event-stream",
            b'data: {"number":0}\n\ndata: {"number":1}\n\n',
        ),
    ],
)
def test_predictions_are_json_lines_or_events_as_the_client_accepts(
    tmp_path: Path, accept: str, content_type: str, body: bytes
) -> None:
    with serving(write_code(tmp_path, COUNTING)) as server:
        reply = server.invoke(b'{"to": 2}', Accept=accept)
        assert reply.status == 200
        assert reply.headers["content-type"] == content_type
        assert reply.body == body
        refused = server.invoke(b'{"to": 2}', Accept="image/png")
        assert refused.status == 406


def test_a_list_in_a_stream_is_one_line_and_a_whole_prediction_one_event(tmp_path: Path) -> None:
    write_code(
        tmp_path,
        """
        def model_fn(model_dir):
            return None
        def predict_fn(data, model):
            return iter([[1, 2], [3]]) if data["stream"] else [1, 2]
        """,
    )
    with serving(tmp_path) as server:
        assert server.invoke(b'{"stream": true}').body == b"[1,2]\n[3]\n"
        whole = server.invoke(b'{"stream": false}', Accept="text/event-stream")
        assert whole.body == b"data: [1,2]\n\n"


def test_an_iterator_without_chunks_is_an_empty_answer(tmp_path: Path) -> None:
    with serving(write_code(tmp_path, COUNTING)) as server:
        reply = server.invoke(b'{"to": 0}')
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "0")


def test_a_handler_sets_status_and_headers_before_its_first_chunk(tmp_path: Path) -> None:
    write_code(
        tmp_path,
        """
        def model_fn(model_dir):
            return None
        def transform_fn(model, body, content_type, accept, context):
            context.set_response_status(202)
            context.set_header("x-amzn-sagemaker-custom-attributes", "seen")
            context.set_header("content-type", "text/plain")
            yield ""
            yield "one"
            context.set_response_status(500)
            yield "two"
        """,
    )
    with serving(tmp_path) as server:
        reply = server.invoke(b"{}")
    assert (reply.status, reply.body) == (202, b"onetwo")
    assert reply.headers["content-type"] == "text/plain"
    assert reply.headers["x-amzn-sagemaker-custom-attributes"] == "seen"


@pytest.mark.parametrize("form", ["def", "async def"])
def test_a_status_that_has_no_body_ends_the_handler_with_its_first_chunk(
    tmp_path: Path, form: str
) -> None:
    write_code(
        tmp_path,
        f"""
        def model_fn(model_dir):
            return None
        {form} transform_fn(model, body, content_type, accept, context):
            context.set_response_status(204)
            try:
                yield "nobody sees that"
                yield "nor that"
            finally:
                print("closed", flush=True)
        """,
    )
    with serving(tmp_path) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
        for _ in range(2):
            connection.request("POST", "/invocations", b"{}")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (204, b"")
        connection.close()
        server.wait_for("closed")


def test_an_http_10_client_reads_until_the_connection_ends(tmp_path: Path) -> None:
    with serving(write_code(tmp_path, COUNTING)) as server:
        for connection in (b"", b"Connection: keep-alive\r\n"):
            head = b"POST /invocations HTTP/1.0\r\n" + connection + b"Accept: */*"
            with send(server, head, b'{"to": 2}') as client:
                answer, _, body = all_of(client).partition(b"\r\n\r\n")
            assert b"transfer-encoding" not in answer
            assert b"connection: close" in answer
            assert body == b'{"number":0}\n{"number":1}\n'


def test_a_connection_serves_on_after_a_stream(tmp_path: Path) -> None:
    with serving(write_code(tmp_path, COUNTING)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
        for number in range(1, 4):
            connection.request("POST", "/invocations", json.dumps({"to": number}))
            assert connection.getresponse().read().count(b"\n") == number
        connection.close()
        two = b'POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"to": 1}'
        last = two.replace(b"Host: x", b"Connection: close")
        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S) as client:
            client.sendall(two + last)
            assert all_of(client).count(b'd\r\n{"number":0}\n\r\n0\r\n\r\n') == 2


FAILING = """
    import intermodal_serving
    def model_fn(model_dir):
        return None
    def transform_fn(model, body, content_type, accept):
        if body == "first":
            raise ZeroDivisionError("at once")
        if body == "refuse":
            raise intermodal_serving.BadRequestError("send something else")
        yield "some"
        if body == "exit":
            raise SystemExit(3)
        if body == "type":
            yield {}
        raise ZeroDivisionError("too late")
"""


@pytest.mark.parametrize("is_async", [False, True])
def test_an_error_before_the_first_chunk_is_told_and_one_after_it_ends_the_connection(
    tmp_path: Path, is_async: bool
) -> None:
    source = FAILING.replace("def transform", "async def transform") if is_async else FAILING
    with serving(write_code(tmp_path, source)) as server:
        early = server.invoke(b"first")
        assert (early.status, early.json["type"]) == (500, "ZeroDivisionError")
        assert server.invoke(b"refuse").status == 400
        for body in (b"later", b"exit", b"type"):
            with stream(server, body, X_Amzn_RequestId=body.decode()) as answer:
                assert answer.status == 200
                with pytest.raises(http.client.IncompleteRead) as cut:
                    answer.read()
                assert cut.value.partial == b"some"
            server.wait_for(f"request {body.decode()} failed after 4 bytes of its answer\n")
        client = send(server, b"POST /invocations HTTP/1.0")
        with client, pytest.raises(ConnectionResetError):
            all_of(client)
        assert server.ask("GET", "/ping").status == 200
        assert server.terminate() == 0
    assert "ZeroDivisionError: too late" in server.log
    assert "transform_fn yielded a dict; it must yield bytes or str" in server.log
    assert "intermodal_serving/" not in server.log


ENDLESS = """
    import asyncio
    def model_fn(model_dir):
        return None
    def transform_fn(model, body, content_type, accept):
        made = 0
        try:
            while True:
                made += 1
                yield bytes(int(body))
        finally:
            print(f"closed after {made} chunks", flush=True)
"""


def async_form(source: str) -> str:
    return source.replace("def transform", "async def transform").replace(
        "                made += 1\n",
        "                made += 1\n                await asyncio.sleep(0)\n",
    )


@pytest.mark.parametrize("is_async", [False, True])
def test_a_reader_that_is_slow_stops_the_handler(tmp_path: Path, is_async: bool) -> None:
    source = async_form(ENDLESS) if is_async else ENDLESS
    size = 100_000
    with serving(write_code(tmp_path, source)) as server:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.settimeout(LIMIT_S)
            client.connect(("127.0.0.1", server.port))
            body = str(size).encode()
            client.sendall(
                b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
                + body
            )
            assert client.recv(100).startswith(b"HTTP/1.1 200")
            time.sleep(1)  # free-running, it would make gigabytes
            assert server.ask("GET", "/ping").status == 200
        made = int(server.wait_for(r"closed after (\d+) chunks")[1])
    # What the kernel holds for both ends, a few megabytes, and what is held here.
    assert made * size < 32e6


@pytest.mark.parametrize("is_async", [False, True])
def test_a_client_that_leaves_early_closes_the_handler(tmp_path: Path, is_async: bool) -> None:
    source = """
        import asyncio, time
        def model_fn(model_dir):
            return None
        def transform_fn(model, body, content_type, accept):
            try:
                yield "first"
                sleep(0.2)
                yield "second"
                sleep(60)
                yield "third"
            finally:
                print("closed", flush=True)
        """
    if is_async:
        source = source.replace("def transform", "async def transform")
        source = source.replace("sleep(", "await asyncio.sleep(")
    else:
        source = source.replace("sleep(60)", "").replace("sleep(", "time.sleep(")
    with serving(write_code(tmp_path, source)) as server:
        with stream(server) as answer:
            assert answer.read(5) == b"first"
        started = time.monotonic()
        server.wait_for("closed")
        assert time.monotonic() - started < 5
        assert server.terminate() == 0
    assert "Traceback" not in server.log


def test_a_stream_lets_others_through(tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    write_code(
        tmp_path,
        f"""
        import os
        def model_fn(model_dir):
            return None
        def long():
            while not os.path.exists({str(stop)!r}):
                yield b"."
        def transform_fn(model, body, content_type, accept):
            return {{"long": long(), "short": iter("abc"), "plain": "whole"}}[body]
        """,
    )
    with serving(tmp_path) as server, stream(server, b"long") as first:
        with stream(server, b"long") as second:
            for answer in (first, second, first):
                assert answer.read(1000).strip(b".") == b""
            for _ in range(3):
                assert server.invoke(b"short").body == b"abc"
                assert server.invoke(b"plain").body == b"whole"
            stop.touch()
            assert second.read().strip(b".") == b""
        assert first.read().strip(b".") == b""


def test_requests_of_one_batch_are_streamed_each_on_its_own(tmp_path: Path) -> None:
    write_code(
        tmp_path,
        """
        import numpy
        def model_fn(model_dir):
            return None
        def predict_fn(data, model):
            return data * 2
        def output_fn(prediction, accept):
            for number in prediction.ravel():
                yield f"{number:g} "
        predict_fn.batched = True
        """,
    )
    with serving(tmp_path, MAX_BATCH_SIZE="8") as server, ThreadPoolExecutor(8) as clients:
        bodies = [b"[[%d, %d]]" % (number, number + 1) for number in range(64)]
        replies = list(clients.map(server.invoke, bodies))
    expected = [f"{2 * number} {2 * number + 2} ".encode() for number in range(64)]
    assert [reply.body for reply in replies] == expected


def test_a_stream_may_take_longer_than_an_invocation_but_no_chunk_may(tmp_path: Path) -> None:
    write_code(
        tmp_path,
        """
        import time
        def model_fn(model_dir):
            return None
        def transform_fn(model, body, content_type, accept):
            for pause in body.split(","):
                time.sleep(float(pause))
                yield "."
        """,
    )
    with serving(tmp_path, SAGEMAKER_MODEL_SERVER_TIMEOUT="1.5") as server:
        assert server.invoke(b"0.5,0.5,0.5,0.5,0.5").body == b"....."
        assert server.invoke(b"3,0").status == 504
        server.invoke(b"0")
        cut_off = pytest.raises(http.client.IncompleteRead)
        with stream(server, b"0,0,3,0") as answer, cut_off as cut:
            answer.read()
        assert cut.value.partial == b".."
        server.wait_for("no chunk within 1.5 s")


def test_a_stream_that_takes_too_long_is_cut_off(tmp_path: Path) -> None:
    with serving(
        write_code(tmp_path, ENDLESS),
        INTERMODAL_STREAM_TIMEOUT="0.5",
        SAGEMAKER_MODEL_SERVER_TIMEOUT="1",
    ) as server:
        with stream(server, b"10") as answer, pytest.raises(http.client.IncompleteRead):
            answer.read()
        server.wait_for("streamed for over 0.5 s")
        server.wait_for("closed after")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stream_under_way_is_answered_whole_when_its_worker_ends(
    tmp_path: Path, number: int
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    write_code(
        tmp_path,
        f"""
        import asyncio
        def model_fn(model_dir):
            return None
        async def transform_fn(model, body, content_type, accept):
            yield "first"
            await asyncio.to_thread(lambda: open({str(gate)!r}).read())
            yield "second"
        """,
    )
    with serving(tmp_path) as server, stream(server) as answer:
        assert answer.read(5) == b"first"
        server.process.send_signal(number)
        server.wait_for("draining" if number == signal.SIGTERM else "the model was loaded anew")
        time.sleep(0.5)
        threading.Timer(0.1, gate.write_text, ["now"]).start()
        assert answer.read() == b"second"
        if number == signal.SIGTERM:
            assert server.wait() == 0


def test_streams_are_in_the_access_log_the_metrics_and_the_trace_of_slow_requests(
    tmp_path: Path,
) -> None:
    write_code(
        tmp_path,
        """
        import time
        def model_fn(model_dir):
            return None
        def transform_fn(model, body, content_type, accept):
            for _ in range(4):
                yield "piece"
                time.sleep(0.05)
        """,
    )
    with serving(
        tmp_path, INTERMODAL_ACCESS_LOG="true", INTERMODAL_SLOW_REQUEST_MS="100"
    ) as server:
        assert server.invoke(b"{}", X_Amzn_RequestId="r-1").body == b"piece" * 4
        line = json.loads(server.wait_for(r"access (\{.*\})")[1])
        assert line["request_id"] == "r-1"
        assert (line["status"], line["bytes_out"], line["stream"]) == (200, 20, "whole")
        assert line["ms"] >= 200
        slow = json.loads(server.wait_for(r"slow request (\{.*\})")[1])
        assert slow["request_id"] == "r-1"
        assert slow["total_ms"] >= slow["predict_ms"] >= 190
        metrics = server.ask("GET", "/metrics").body.decode()
        assert 'responses_total{status="200"} 1' in metrics
        assert 'invocation_seconds_count{phase="total"} 1' in metrics
        assert "batch_requests_count 1" in metrics
        with stream(server) as answer:
            answer.read(5)
        server.wait_for(r'"stream":"client left"')


@pytest.mark.parametrize("is_async", [False, True])
def test_clients_that_leave_at_random_leave_no_generator_open(
    tmp_path: Path, is_async: bool
) -> None:
    source = """
        def model_fn(model_dir):
            return {"began": 0, "ended": 0}
        def transform_fn(model, body, content_type, accept):
            if body == "count":
                yield f"{model['began']} {model['ended']}"
                return
            model["began"] += 1
            try:
                for _ in range(int(body)):
                    yield b"x" * 5000
            finally:
                model["ended"] += 1
        """
    if is_async:
        source = source.replace("def transform", "async def transform")
    chance = random.Random(7)
    plans = [
        (chance.choice([0, 1, 10, 400]), chance.choice([0, 1, 9000, 10**9])) for _ in range(150)
    ]

    def ask(plan: tuple[int, int]) -> None:
        pieces, wanted = plan
        with stream(server, str(pieces).encode()) as answer:
            taken = answer.read(wanted) if wanted else b""
            assert len(taken) == min(wanted, 5000 * pieces)

    with serving(write_code(tmp_path, source)) as server:
        with ThreadPoolExecutor(8) as clients:
            list(clients.map(ask, plans))
        deadline = time.monotonic() + 10
        while True:
            began, ended = map(int, server.invoke(b"count").body.split())
            if began == ended or time.monotonic() > deadline:
                break
        assert server.terminate() == 0
    assert began == ended == len(plans)
    assert "Traceback" not in server.log
