"""Several workers: who answers for whom, what happens when one dies, and loading anew."""

import http.client
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.serving_process import LIMIT_S, Serving, serving, write_code

WHO = """
    import os, time

    def model_fn(model_dir):
        return open(model_dir + "/answer").read()

    def input_fn(body, content_type):
        return body

    def predict_fn(data, model):
        if data == "die":
            os._exit(9)
        if data.startswith("sleep"):
            time.sleep(float(data[5:]))
        return {"pid": os.getpid(), "model": model, "threads": os.environ["OMP_NUM_THREADS"]}
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_code(tmp_path, WHO)
    (tmp_path / "model" / "answer").write_text("one")
    return tmp_path


def pids_that_answer(server: Serving, count: int) -> set[int]:
    """The workers' process ids, as `count` requests on connections of their own meet them."""
    return {server.invoke(b"who").json["pid"] for _ in range(count)}


def until(what: str, condition: object) -> None:
    assert callable(condition)
    ends_at = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < ends_at, f"waited in vain for {what}"
        time.sleep(0.02)


@contextmanager
def clients_that_ask(server: Serving, count: int) -> Iterator[list[str]]:
    """Keeps asking on `count` connections; gives what went wrong, whole only at the end."""
    wrong: list[str] = []
    is_over = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
        while not is_over.is_set():
            try:
                connection.request("POST", "/invocations", b"who")
                response = connection.getresponse()
                response.read()
            except OSError as error:
                wrong.append(repr(error))
                connection.close()
                continue
            if response.status != 200:
                wrong.append(str(response.status))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_all_workers_answer_and_share_the_cores(base: Path) -> None:
    with serving(base, SAGEMAKER_MODEL_SERVER_WORKERS="2", SAGEMAKER_NUM_CPUS="6") as server:
        until("both workers", lambda: len(pids_that_answer(server, 20)) == 2)
        assert server.invoke(b"who").json["threads"] == "3"


def test_ping_is_good_only_when_every_worker_is_ready(base: Path) -> None:
    write_code(
        base,
        """
        import os, time
        def model_fn(model_dir):
            try:
                os.mkdir(model_dir + "/first")
            except FileExistsError:
                while not os.path.exists(model_dir + "/go"):
                    time.sleep(0.01)
        def predict_fn(data, model):
            return data
        """,
    )
    with serving(base, ready=False, SAGEMAKER_MODEL_SERVER_WORKERS="2") as server:
        until("the first worker", lambda: (base / "model" / "first").exists())
        time.sleep(0.2)
        assert {server.ask("GET", "/ping").status for _ in range(10)} == {503}
        (base / "model" / "go").touch()
        server.wait_for("the model is ready in 2 workers")
        assert {server.ask("GET", "/ping").status for _ in range(10)} == {200}


def test_a_worker_that_dies_is_replaced_while_the_other_goes_on(base: Path) -> None:
    with serving(base, SAGEMAKER_MODEL_SERVER_WORKERS="2") as server:
        until("both workers", lambda: len(pids_that_answer(server, 20)) == 2)
        before = pids_that_answer(server, 40)
        victim = min(before)
        with clients_that_ask(server, 4) as wrong:
            os.kill(victim, signal.SIGKILL)
            server.wait_for(f"worker {victim} was killed by SIGKILL")
            until("a new worker", lambda: pids_that_answer(server, 20) - before)
            until("a good ping", lambda: server.ask("GET", "/ping").status == 200)
        assert victim not in pids_that_answer(server, 20)
    assert len(wrong) <= 4, wrong  # no more than one request in flight a connection


def test_a_worker_that_its_model_kills_resets_its_clients_at_once(base: Path) -> None:
    with serving(base) as server:
        started = time.monotonic()
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            server.invoke(b"die")
        assert time.monotonic() - started < 5
        until("a new worker", lambda: server.ask("GET", "/ping").status == 200)
        assert server.invoke(b"who").status == 200
        assert server.terminate() == 0
    assert "ended with exit code 9 while it served" in server.log


def test_sighup_loads_the_model_anew_and_loses_no_request(base: Path) -> None:
    with serving(base, SAGEMAKER_MODEL_SERVER_WORKERS="2") as server:
        with clients_that_ask(server, 4) as wrong:
            (base / "model" / "answer").write_text("two")
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("the model was loaded anew in 2 workers")
            until(
                "the new model everywhere",
                lambda: {server.invoke(b"who").json["model"] for _ in range(20)} == {"two"},
            )
        assert server.ask("GET", "/ping").status == 200
        assert server.terminate() == 0
    assert wrong == []


def test_a_reload_waits_for_room_while_old_workers_still_have_clients(base: Path) -> None:
    with serving(base, SAGEMAKER_MODEL_SERVER_WORKERS="3") as server:
        with ThreadPoolExecutor(12) as clients:
            long = [clients.submit(server.invoke, b"sleep3") for _ in range(12)]
            time.sleep(0.3)
            for _ in range(3):  # each before the one before has ended
                server.process.send_signal(signal.SIGHUP)
                time.sleep(0.3)
            assert [future.result().status for future in long] == [200] * 12
        server.wait_for("the model was loaded anew in 3 workers")
        until("three workers", lambda: "workers_ready 3" in metrics_of(server))
        assert server.ask("GET", "/ping").status == 200
        assert server.terminate() == 0


def metrics_of(server: Serving) -> str:
    return server.ask("GET", "/metrics").body.decode()


def test_a_second_reload_while_the_first_loads_ends_with_one_worker_each(base: Path) -> None:
    slow = WHO.replace("        return open", "        time.sleep(0.5)\n        return open")
    write_code(base, slow)
    with serving(base, SAGEMAKER_MODEL_SERVER_WORKERS="2") as server:
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        (base / "model" / "answer").write_text("two")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("the model was loaded anew in 2 workers")
        until("two workers", lambda: "workers_ready 2" in metrics_of(server))
        until(
            "the new model everywhere",
            lambda: {server.invoke(b"who").json["model"] for _ in range(20)} == {"two"},
        )
        assert len(pids_that_answer(server, 40)) == 2
        assert server.terminate() == 0


def test_a_model_that_cannot_be_loaded_anew_leaves_the_one_before(base: Path) -> None:
    with serving(base) as server:
        (base / "model" / "answer").unlink()
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("the one before still serves")
        assert server.invoke(b"who").json["model"] == "one"
        assert server.ask("GET", "/ping").status == 200
        (base / "model" / "answer").write_text("three")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("the model was loaded anew")
        until("the new model", lambda: server.invoke(b"who").json["model"] == "three")
    assert "FileNotFoundError" in server.log


def test_workers_that_keep_dying_while_they_load_end_the_container(base: Path) -> None:
    write_code(base, "import os\ndef model_fn(model_dir): os.kill(os.getpid(), 9)")
    with serving(base, ready=False) as server:
        assert server.wait() == 1
    assert len(re.findall("was killed by SIGKILL.* while it loaded the model", server.log)) == 3
    assert "3 workers in a row ended while they loaded the model" in server.log
    assert "was killed by SIGKILL, as the system does when memory is short" in server.log


def test_a_supervisor_that_is_killed_takes_its_workers_with_it(base: Path) -> None:
    with serving(base) as server:
        worker = server.invoke(b"who").json["pid"]
        server.process.kill()
        server.wait()
        until("the worker's end", lambda: not Path(f"/proc/{worker}").exists())


def test_metrics_speak_for_all_workers(base: Path) -> None:
    with serving(base, SAGEMAKER_MODEL_SERVER_WORKERS="2") as server:
        for _ in range(30):
            assert server.invoke(b"who").status == 200
        server.ask("GET", "/nothing")
        reply = server.ask("GET", "/metrics")
    text = reply.body.decode()
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'intermodal_serving_responses_total{status="200"}' in text
    assert 'intermodal_serving_responses_total{status="404"} 1' in text
    assert "intermodal_serving_workers_ready 2" in text
    assert 'invocation_seconds_count{phase="predict"} 30' in text
    assert 'invocation_seconds_bucket{phase="total",le="+Inf"} 30' in text


def test_requests_are_logged_where_asked_for_and_slow_ones_say_where_time_went(base: Path) -> None:
    with serving(base, INTERMODAL_ACCESS_LOG="true", INTERMODAL_SLOW_REQUEST_MS="100") as server:
        server.invoke(b"who", X_Amzn_RequestId="quick")
        server.invoke(b"sleep0.2", X_Amzn_RequestId="slow")
        server.terminate()
    assert '"request_id":"quick","method":"POST","path":"/invocations","status":200' in server.log
    slow = [line for line in server.lines if "slow request" in line]
    assert len(slow) == 1
    assert '"request_id":"slow"' in slow[0]
    assert '"predict_ms":2' in slow[0]
