"""The program `serve`, run as a container runs it."""

import http.client
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers.serving_process import ECHO, Serving, serving, write_code


def test_ping_is_503_until_the_model_is_loaded(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    write_code(
        tmp_path,
        f"""
        import os, time
        def model_fn(model_dir):
            open({str(gate)!r}).read()
        def predict_fn(data, model):
            return data
        """,
    )
    os.mkfifo(gate)
    with serving(tmp_path, ready=False) as server:
        assert server.ask("GET", "/ping").status == 503
        early = server.invoke(b"[1]")
        assert (early.status, early.json["error"]) == (503, "the model is still loading")
        gate.write_text("now")
        server.wait_for("the model is ready")
        assert server.ask("GET", "/ping").status == 200
        assert server.invoke(b"[1]").json == [1]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def model_fn(model_dir):\n    raise ValueError('weights do not fit')",
         "serve: error: ValueError: weights do not fit (inference.py:2)"),
        ("import no_such_module", "No module named 'no_such_module' (inference.py:1)"),
        ("def model_fn(:", "SyntaxError: "),
        ("def model_fn(): pass", "hint: write it as model_fn(model_dir)"),
        ("def model_fn(model_dir): exit(3)", "SystemExit: 3"),
        ("def model_fn(model_dir): return 5", "hint: define predict_fn(data, model)"),
        ("x = 1", "put a TorchScript file `model.pt` at the top of model.tar.gz"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_load_ends_the_process_with_the_users_error_last(
    tmp_path: Path, source: str, reason: str
) -> None:
    with serving(write_code(tmp_path, source), ready=False) as server:
        assert server.wait() == 1
    assert reason in "".join(server.lines[-2:])
    assert "intermodal_serving/" not in server.log


def test_a_setting_that_cannot_be_used_ends_the_process_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="`SAGEMAKER_BIND_TO_PORT` is `http`"):
        Serving(tmp_path, {"SAGEMAKER_BIND_TO_PORT": "http"})


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(AssertionError, match=f"cannot listen on 127.0.0.1:{port}"):
            Serving(tmp_path, {"SAGEMAKER_BIND_TO_PORT": port})


def test_plain_python_needs_neither_torch_nor_numpy_for_text_of_its_own(tmp_path: Path) -> None:
    write_code(
        tmp_path,
        """
        import sys
        def model_fn(model_dir):
            return None
        def input_fn(body, content_type):
            return sorted(name for name in ("torch", "numpy") if name in sys.modules)
        def predict_fn(data, model):
            return data
        """,
    )
    with serving(tmp_path) as server:
        assert server.invoke(b"{}").json == []


def test_handlers_get_what_the_vendors_toolkit_gives(tmp_path: Path) -> None:
    write_code(
        tmp_path,
        """
        def model_fn(model_dir, context):
            return context.system_properties["model_dir"] == model_dir

        def transform_fn(model, body, content_type, accept, context):
            context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "seen")
            context.set_response_status(202)
            attributes = context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes")
            return repr((model, body, content_type, accept, attributes)), "text/plain"
        """,
        "train.py",
    )
    with serving(
        tmp_path,
        SAGEMAKER_PROGRAM="train.py",
        SAGEMAKER_SUBMIT_DIRECTORY="/opt/ml/model/code",
    ) as server:
        reply = server.invoke(
            b"1,2", "text/csv; charset=utf-8", X_Amzn_SageMaker_Custom_Attributes="a=b"
        )
    assert reply.body == b"(True, '1,2', 'text/csv', 'application/json', 'a=b')"
    assert reply.status == 202
    assert reply.headers["content-type"] == "text/plain"
    assert reply.headers["x-amzn-sagemaker-custom-attributes"] == "seen"


def test_async_handlers_run_beside_each_other_and_beside_plain_ones(tmp_path: Path) -> None:
    write_code(
        tmp_path,
        """
        import asyncio
        async def model_fn(model_dir):
            return asyncio.Barrier(2)
        def input_fn(body, content_type):
            return body
        async def predict_fn(data, model):
            async with model:
                return data
        """,
    )
    with serving(tmp_path, SAGEMAKER_MODEL_SERVER_TIMEOUT="10") as server:
        with ThreadPoolExecutor(2) as clients:
            replies = list(clients.map(server.invoke, [b"1", b"2"]))
        assert [reply.json for reply in replies] == ["1", "2"]


FAULTY = """
    import intermodal_serving

    def model_fn(model_dir):
        return None

    def input_fn(body, content_type):
        if body == "refuse":
            raise intermodal_serving.BadRequestError("send something else")
        return body

    async def later(data):
        raise KeyError("later")

    def predict_fn(data, model):
        if data == "exit":
            raise SystemExit(3)
        if data == "stop":
            next(iter([]))
        if data == "surrogate":
            raise ValueError("\\ud800")
        if data == "none":
            return lambda: None
        raise ZeroDivisionError("by nothing")
"""


@pytest.mark.parametrize("is_async", [False, True])
def test_a_handlers_error_is_told_without_a_traceback_and_logged_with_one(
    tmp_path: Path, is_async: bool
) -> None:
    source = FAULTY.replace("def predict_fn", "async def predict_fn") if is_async else FAULTY
    with serving(write_code(tmp_path, source)) as server:
        refused = server.invoke(b"refuse")
        assert (refused.status, refused.json["error"]) == (400, "send something else")
        broken = server.invoke(b"divide", X_Amzn_RequestId="request-7")
        assert broken.status == 500
        assert broken.json["type"] == "ZeroDivisionError"
        assert "by nothing (inference.py:" in broken.json["error"]
        assert broken.json["request_id"] == broken.headers["x-amzn-requestid"] == "request-7"
        assert b"Traceback" not in broken.body
        for body in (b"exit", b"stop", b"surrogate", b"none"):
            assert server.invoke(body).status == 500
        assert server.ask("GET", "/ping").status == 200
        assert server.terminate() == 0
    assert "request request-7 failed\nTraceback" in server.log
    assert "ZeroDivisionError: by nothing" in server.log


def test_a_model_that_takes_too_long_is_given_up_and_ping_tells_that_it_hangs(
    tmp_path: Path,
) -> None:
    write_code(
        tmp_path,
        """
        import time
        def model_fn(model_dir):
            return None
        def predict_fn(data, model):
            time.sleep(float(data))
            return data
        """,
    )
    with serving(tmp_path, SAGEMAKER_MODEL_SERVER_TIMEOUT="0.5") as server:
        assert server.invoke(b"0").status == 200
        late = server.invoke(b"60")
        assert late.status == 504
        assert "0.5 s" in late.json["error"]
        stuck = server.ask("GET", "/ping")
        assert (stuck.status, stuck.json["status"]) == (503, "Stuck")
        assert server.terminate() == 0


def test_a_body_over_the_limit_is_refused_by_length_or_while_it_streams(tmp_path: Path) -> None:
    with serving(write_code(tmp_path, ECHO), SAGEMAKER_MAX_REQUEST_SIZE="1000") as server:
        assert server.invoke(b"x" * 1000).status == 200
        refused = server.invoke(b"x" * 1001)
        assert refused.status == 413
        assert "1000 bytes" in refused.json["error"]
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("POST", "/invocations", iter([b"x" * 600] * 2), encode_chunked=True)
        assert connection.getresponse().status == 413
        connection.close()


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    write_code(tmp_path, "def model_fn(model_dir): return list")
    with serving(tmp_path) as server:
        assert server.invoke(b"[1]", "image/png").status == 415
        assert server.invoke(b"[1]", Content_Encoding="br").status == 415
        assert server.invoke(b"[1]", Accept="image/png").status == 406
        assert server.invoke(b"[1").status == 400
        assert server.invoke(b"[1, 2]", Accept="text/csv").body == b"1\n2\n"


SLOW = """
    import time
    def model_fn(model_dir):
        return None
    def predict_fn(data, model):
        print("predicting", flush=True)
        time.sleep(0.15)
        return data
"""


def test_sigterm_answers_what_is_in_flight_and_what_was_sent_before_it(tmp_path: Path) -> None:
    with serving(write_code(tmp_path, SLOW)) as server:
        with ThreadPoolExecutor(3) as clients:
            waiting = [clients.submit(server.invoke, b"[%d]" % number) for number in range(3)]
            idle = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            idle.connect()
            server.wait_for("predicting")
            server.process.send_signal(signal.SIGTERM)
            server.wait_for("draining")
            idle.request("GET", "/ping")
            ping = idle.getresponse()
            assert (ping.status, ping.headers["connection"]) == (503, "close")
            replies = [future.result() for future in waiting]
        assert server.wait() == 0
    assert sorted(reply.json[0] for reply in replies) == [0, 1, 2]
    assert "drained" in server.lines[-1]


def test_sigterm_answers_all_that_a_client_sent_without_waiting(tmp_path: Path) -> None:
    one = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n[%d]"
    with serving(write_code(tmp_path, SLOW)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(b"".join(one % number for number in range(6)))
            server.wait_for("predicting")
            server.process.send_signal(signal.SIGTERM)
            received = b""
            while chunk := client.recv(65536):
                received += chunk
        assert server.wait() == 0
    assert [received.count(b"[%d]" % number) for number in range(6)] == [1] * 6
    assert received.count(b"connection: close") == 1


def test_sigterm_during_full_load_loses_no_request_that_was_accepted(tmp_path: Path) -> None:
    answered = 0
    lost: list[str] = []
    lock = threading.Lock()

    def keep_asking() -> None:
        nonlocal answered
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        while True:
            try:
                if connection.sock is None:
                    connection.connect()
            except ConnectionRefusedError:
                return  # never accepted: the server no longer listens
            try:
                connection.request("POST", "/invocations", b"[1]")
                status = connection.getresponse().read()
            except OSError as error:
                with lock:
                    lost.append(repr(error))
                return
            with lock:
                answered += status == b"[1]"

    with serving(write_code(tmp_path, ECHO)) as server, ThreadPoolExecutor(8) as clients:
        asking = [clients.submit(keep_asking) for _ in range(8)]
        while answered < 200 and not any(future.done() for future in asking):
            time.sleep(0.01)
        assert server.terminate() == 0
    assert lost == []
    assert answered >= 200


def test_sigterm_while_the_model_loads_ends_at_once(tmp_path: Path) -> None:
    write_code(tmp_path, "import time\ndef model_fn(model_dir): time.sleep(60)")
    with serving(tmp_path, ready=False) as server:
        assert server.terminate() == 0


def test_clients_that_leave_early_harm_nobody(tmp_path: Path) -> None:
    with serving(write_code(tmp_path, SLOW)) as server:
        for sent in (b"[1", b"[1, 2, 3]"):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
                client.sendall(head + sent)
        assert server.invoke(b"[4]").json == [4]
        assert server.terminate() == 0
    assert "Traceback" not in server.log


def test_requirements_of_the_model_are_installed_before_its_code_runs(tmp_path: Path) -> None:
    write_code(tmp_path, ECHO)
    write_code(tmp_path, "no-such-package-here", "requirements.txt")
    with serving(tmp_path, ready=False, PIP_NO_INDEX="1") as server:
        assert server.wait() == 1
    assert "the requirements of the model could not be installed" in server.log
    assert server.lines[-1].startswith("hint: correct code/requirements.txt")
