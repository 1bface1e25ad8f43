"""The command line starts, shows and stops real engines; real clients talk to them."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from intermodal import LocalSession, get_execution_role
from intermodal_engine.settings import DEFAULT_PORT
from tests.helpers.engine import CLI, RunningEngine, running_engine, scrubbed

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    with running_engine("--driver=fake") as engine:
        yield engine


def account_of(engine: RunningEngine) -> str:
    return str(engine.client("sts").get_caller_identity()["Account"])


def test_a_client_pointed_by_env_reaches_it(engine: RunningEngine) -> None:
    identity = engine.client("sts").get_caller_identity()
    assert identity["Arn"] == "arn:aws:sts::123456789012:assumed-role/intermodal-local/engine"


def test_any_role_has_an_arn(engine: RunningEngine) -> None:
    role = engine.client("iam").get_role(RoleName="trainer")["Role"]
    assert role["Arn"] == "arn:aws:iam::123456789012:role/trainer"
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Action"] == "sts:AssumeRole"


def test_any_role_may_do_everything(engine: RunningEngine) -> None:
    asked = {"s3:GetObject", "ecr:BatchGetImage"}
    pages = (
        engine.client("iam")
        .get_paginator("simulate_principal_policy")
        .paginate(
            PolicySourceArn="arn:aws:iam::123456789012:role/trainer", ActionNames=sorted(asked)
        )
    )
    results = [result for page in pages for result in page["EvaluationResults"]]
    assert {one["EvalActionName"]: one["EvalDecision"] for one in results} == dict.fromkeys(
        asked, "allowed"
    )


def test_status_tells_what_a_client_needs(engine: RunningEngine) -> None:
    status = json.loads(engine.cli("status", "--json").stdout)
    assert status["endpoint_url"] == f"http://127.0.0.1:{status['port']}"
    assert status["home"] == str(engine.home)
    assert status["version"]
    os.kill(status["pid"], 0)
    assert status["endpoint_url"] in engine.cli("status").stdout


def test_up_once_more_says_where_it_runs(engine: RunningEngine) -> None:
    done = engine.cli("up", "--detach", "--port=0")
    assert done.stdout == f"{engine.endpoint_url}\n"


def test_up_in_the_foreground_once_more_is_an_error(engine: RunningEngine) -> None:
    done = engine.cli("up", "--port=0", check=False)
    assert done.returncode == 1
    assert f"an engine runs already on `{engine.home}`" in done.stderr


def test_a_busy_port_is_named_with_a_way_out(engine: RunningEngine, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for detach in (("--detach",), ()):
            done = engine.cli(
                "up", f"--home={tmp_path}", f"--port={port}", "--driver=fake", *detach, check=False
            )
            assert done.returncode == 1
            assert f"port {port} on 127.0.0.1 is in use" in done.stderr
            assert "hint: choose another port with `--port N`" in done.stderr


def test_a_session_gets_its_engine_whoever_has_the_usual_port(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with scrubbed(), contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # in use already: all the better
            stack.enter_context(socket.create_server(("127.0.0.1", DEFAULT_PORT)))
        session = LocalSession(home)
        stack.callback(subprocess.run, [*CLI, "down", f"--home={home}"], check=True)
        assert session.engine.endpoint_url != f"http://127.0.0.1:{DEFAULT_PORT}"
        assert get_execution_role(session).startswith("arn:aws:iam::123456789012:role/")
        assert LocalSession(home).engine == session.engine


def test_a_port_other_than_the_usual_one_is_explained(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, running_engine("--driver=fake") as engine:
        engine.stop()
        port = other.getsockname()[1]
        (engine.home / "engine.port").write_text(f"{port}\n")
        done = engine.cli("up", "--detach", "--driver=fake")
    assert f"port {port} is in use by another program, so the engine took" in done.stderr


def test_settings_given_to_a_running_engine_are_said_to_wait(engine: RunningEngine) -> None:
    done = engine.cli("up", "--detach", "--max-instances=3", "--stop-grace=1")
    assert done.stdout == f"{engine.endpoint_url}\n"
    assert "--max-instances, --stop-grace would count from its next start on" in done.stderr


def test_a_region_that_was_named_is_everybodys() -> None:
    with running_engine("--driver=fake", "--region=eu-central-1") as engine:
        assert json.loads(engine.cli("status", "--json").stdout)["region"] == "eu-central-1"
        assert engine.environment["AWS_REGION"] == "eu-central-1"
        assert LocalSession(engine.home).boto_region_name == "eu-central-1"
        engine.client("s3").create_bucket(
            Bucket="demo", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        model = engine.client("sagemaker").create_model(
            ModelName="m",
            ExecutionRoleArn="arn:aws:iam::123456789012:role/demo",
            PrimaryContainer={"Image": "img:1"},
        )
        assert model["ModelArn"] == "arn:aws:sagemaker:eu-central-1:123456789012:model/m"


@pytest.mark.parametrize("options", [(), ("--port=0",)])
def test_a_restart_takes_the_last_port_again(
    engine: RunningEngine, options: tuple[str, ...]
) -> None:
    url = engine.endpoint_url
    engine.stop()
    done = engine.cli("up", "--detach", "--driver=fake", *options)
    assert done.stdout == f"{url}\n"
    engine.start()


def test_a_restart_whose_last_port_is_taken_finds_another(engine: RunningEngine) -> None:
    url = engine.endpoint_url
    engine.stop()
    with socket.create_server(("127.0.0.1", engine.port)):
        done = engine.cli("up", "--detach", "--driver=fake", "--port=0")
    assert done.stdout != f"{url}\n"
    engine.stop()
    engine.start()
    assert engine.endpoint_url == url


def test_a_killed_engine_is_known_to_be_dead_and_another_starts(engine: RunningEngine) -> None:
    port = engine.port
    engine.kill()
    assert (engine.home / "engine.json").exists()
    assert engine.cli("status", check=False).returncode == 3
    engine.start()
    assert engine.port == port
    assert account_of(engine) == "123456789012"


def test_down_stops_it_and_is_harmless_twice(engine: RunningEngine) -> None:
    engine.stop()
    assert not (engine.home / "engine.json").exists()
    assert "no engine runs" in engine.cli("down").stderr
    engine.start()
    assert account_of(engine) == "123456789012"


def test_the_key_pair_stays_the_same_over_restarts(engine: RunningEngine) -> None:
    before = engine.environment["AWS_ACCESS_KEY_ID"]
    engine.stop()
    engine.start()
    assert engine.environment["AWS_ACCESS_KEY_ID"] == before


def test_an_engine_whose_home_is_removed_ends_and_lets_the_next_have_its_port() -> None:
    with running_engine("--driver=fake") as engine:
        before, port = engine.pid, engine.port
        shutil.rmtree(engine.home)
        engine.start()
        assert (engine.port, engine.pid) != (port, before)
        assert engine.port == port
        deadline = time.monotonic() + 30  # it has 10 s for requests under way
        while Path(f"/proc/{before}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        engine.client("s3").create_bucket(Bucket="demo")
        engine.kill()
        engine.start()
        buckets = engine.client("s3").list_buckets()["Buckets"]
        assert [bucket["Name"] for bucket in buckets] == ["demo"]


def test_an_engine_says_why_it_ends_with_its_home(tmp_path: Path) -> None:
    command = [*CLI, "up", "--port=0", "--driver=fake", f"--home={tmp_path / 'home'}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        assert up.stdout.readline().startswith("http://127.0.0.1:")
        (tmp_path / "home").rename(tmp_path / "elsewhere")
        assert up.wait(10) == 1
        assert up.stderr is not None
        assert f"`{tmp_path / 'home'}` of the running engine was moved; ending" in up.stderr.read()
    assert not (tmp_path / "home").exists()


def test_a_hung_engine_is_unavailable(engine: RunningEngine) -> None:
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        done = engine.cli("status", check=False)
    finally:
        os.kill(engine.pid, signal.SIGCONT)
    assert done.returncode == 3
    assert f"the engine (process {engine.pid}) does not answer" in done.stderr


def test_in_the_foreground_it_prints_its_url_and_stops_at_ctrl_c(tmp_path: Path) -> None:
    command = [*CLI, "up", "--port=0", "--driver=fake", f"--home={tmp_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        assert up.stdout.readline().startswith("http://127.0.0.1:")
        up.send_signal(signal.SIGINT)
        assert up.wait(10) == 0


def test_a_stop_lets_a_request_under_way_finish(engine: RunningEngine) -> None:
    answers: list[int] = []
    body = bytes(64 << 20)
    s3 = engine.client("s3", retries={"total_max_attempts": 1})
    s3.create_bucket(Bucket="demo")

    def slow_chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 1 << 20):
            time.sleep(0.01)
            yield body[start : start + (1 << 20)]

    url = s3.generate_presigned_url("put_object", Params={"Bucket": "demo", "Key": "slow"})
    path = url.removeprefix(engine.endpoint_url)

    def upload() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", engine.port)
        connection.request("PUT", path, slow_chunks(), {"Content-Length": str(len(body))})
        answers.append(connection.getresponse().status)
        connection.close()

    thread = threading.Thread(target=upload)
    thread.start()
    time.sleep(0.2)
    engine.stop()
    thread.join(30)
    assert answers == [200]
    engine.start()
    size_bytes = engine.client("s3").head_object(Bucket="demo", Key="slow")["ContentLength"]
    assert size_bytes == len(body)
