"""Each drill on a real engine, and what its clients see of it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.helpers.engine import CLI, RunningEngine, running_engine, scrubbed_environment
from tests.helpers.script_mode import (
    BUCKET,
    create_configuration,
    create_endpoint,
    settled_endpoint,
    store_model,
)

pytestmark = pytest.mark.e2e

NAME = "drilled"
QUICK = ("--before=1s", "--after=1s", "--pause=50ms", "--clients=3")
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    """An engine with settings of its own, and an endpoint of two instances in two zones."""
    with running_engine("--max-instances=7") as engine:
        s3, sagemaker = engine.client("s3"), engine.client("sagemaker")
        s3.create_bucket(Bucket=BUCKET)
        create_endpoint(sagemaker, NAME, store_model(s3, NAME), 2)
        bad = store_model(s3, "bad", "raise ValueError('no such weights')")
        create_configuration(sagemaker, "bad", bad)
        good = store_model(s3, "good")
        create_configuration(sagemaker, "good", good)
        assert settled_endpoint(sagemaker, NAME)["EndpointStatus"] == "InService"
        yield engine


@pytest.fixture
def body(tmp_path: Path) -> tuple[str, ...]:
    """What the model takes."""
    file = tmp_path / "body.txt"
    file.write_text("hello")
    return (f"--body={file}", "--content-type=text/plain")


def played(engine: RunningEngine, *arguments: str) -> dict[str, Any]:
    done = engine.cli("drill", *arguments, "--json", *QUICK)
    report: dict[str, Any] = json.loads(done.stdout)
    print(done.stdout)  # the figures, for whoever reads what CI prints
    assert report["clients"]["before"]["calls"] > 5
    assert report["clients"]["before"]["failures"] == 0
    assert report["clients"]["after"]["calls"] > 5
    assert report["clients"]["after"]["failures"] == 0, report
    is_whole(engine)
    return report


def is_whole(engine: RunningEngine) -> None:
    status = json.loads(engine.cli("status", "--json").stdout)
    mine = [one for one in status["instances"] if one["name"] == NAME]
    assert len({one["zone"] for one in mine}) == len(mine) == 2, mine


def test_an_instance_that_is_killed_costs_clients_nothing_and_is_replaced(
    engine: RunningEngine, body: tuple[str, ...], tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    before = engine.supervisors("endpoint", NAME)
    report = played(engine, "instance", NAME, *body, f"--report={page}")
    assert report["clients"]["during"]["failures"] == 0, report
    assert 0 < report["recovery"]["whole_s"] < PATIENCE_S
    assert len(set(before) & set(engine.supervisors("endpoint", NAME))) == 1
    assert 0 < report["cost"]["usd"] < 0.01
    assert "2 x ml.m5.large" in report["cost"]["basis"]
    text = page.read_text()
    assert text.count("<circle") > 20
    assert "<svg" in text
    assert "src=" not in text


def test_a_zone_that_is_lost_gets_no_instance_until_its_time_is_over(
    engine: RunningEngine, body: tuple[str, ...]
) -> None:
    report = played(engine, "zone", "us-east-1a", "--for=4s", *body)
    assert report["clients"]["during"]["failures"] == 0, report
    assert report["recovery"]["whole_s"] >= 4
    status = json.loads(engine.cli("status", "--json").stdout)
    assert "us-east-1a" not in {one["zone"] for one in status["instances"]}


def test_latency_and_errors_are_as_many_as_was_asked_for(
    engine: RunningEngine, body: tuple[str, ...]
) -> None:
    late = played(engine, "latency", NAME, "--delay=300ms", "--for=3s", *body)["clients"]
    assert late["during"]["p50_ms"] > 300 > late["before"]["p50_ms"]
    assert late["after"]["p50_ms"] < 300
    wrong = played(engine, "errors", NAME, "--fraction=0.5", "--status=503", "--for=3s", *body)
    during = wrong["clients"]["during"]
    assert 0.2 < during["failures"] / during["calls"] < 0.8
    assert during["errors"] == {"ModelError": during["failures"]}


def test_throttled_callers_try_again_and_most_get_through(
    engine: RunningEngine, body: tuple[str, ...]
) -> None:
    report = played(engine, "throttle", "--fraction=0.3", "--for=3s", "--service=sagemaker")
    assert report["clients"]["during"]["retries"] > 0
    report = played(engine, "throttle", NAME, "--fraction=0.3", "--for=3s", *body)
    assert report["clients"]["during"]["retries"] > 0


def test_a_full_disk_loses_nothing_that_was_acknowledged(engine: RunningEngine) -> None:
    report = played(engine, "disk-full", "--for=2s")
    assert report["clients"]["during"]["failures"] > 0
    objects = report["objects"]
    assert objects["refused"] == report["clients"]["during"]["failures"]
    assert objects["acknowledged"] == objects["kept"] > 10
    buckets = [one["Name"] for one in engine.client("s3").list_buckets()["Buckets"]]
    assert buckets == [BUCKET]


def test_a_full_disk_takes_away_what_a_killed_drill_has_left(engine: RunningEngine) -> None:
    s3 = engine.client("s3")
    environment = {**scrubbed_environment(), "INTERMODAL_HOME": str(engine.home)}
    with subprocess.Popen([*CLI, "drill", "disk-full", "--for=30s"], env=environment) as killed:
        while not (left := drill_buckets(s3)):
            assert killed.poll() is None
            time.sleep(0.05)
        killed.kill()
    s3.put_object(Bucket=BUCKET, Key="unlike-a-drill", Body=b"stays")
    report = played(engine, "disk-full", "--for=1s")
    assert report["objects"]["acknowledged"] == report["objects"]["kept"] > 0
    assert len(left) == 1
    assert drill_buckets(s3) == []


def drill_buckets(s3: Any) -> list[str]:
    names = [one["Name"] for one in s3.list_buckets()["Buckets"]]
    return [name for name in names if name.startswith("intermodal-drill-")]


def test_an_update_to_a_bad_model_goes_back_and_no_call_fails(
    engine: RunningEngine, body: tuple[str, ...]
) -> None:
    report = played(engine, "deploy", NAME, "bad", *body)
    assert report["rolled_back"]
    assert "no such weights" in report["failure_reason"]
    assert report["clients"]["during"]["failures"] == 0, report
    configs = engine.client("sagemaker").list_endpoint_configs(NameContains="drill-")
    assert configs["EndpointConfigs"] == []


def test_a_model_that_turns_out_to_be_good_is_taken_back(
    engine: RunningEngine, body: tuple[str, ...]
) -> None:
    done = engine.cli("drill", "deploy", NAME, "good", *QUICK, *body, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "model `good` did not fail" in done.stderr
    sagemaker = engine.client("sagemaker")
    assert settled_endpoint(sagemaker, NAME)["EndpointConfigName"] == NAME
    deadline = time.monotonic() + PATIENCE_S
    while len(engine.supervisors("endpoint", NAME)) > 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_an_engine_that_is_killed_starts_as_it_was_started_and_takes_its_instances_over(
    engine: RunningEngine, body: tuple[str, ...]
) -> None:
    before = engine.supervisors("endpoint", NAME)
    pid = json.loads(engine.cli("status", "--json").stdout)["pid"]
    report = played(engine, "engine", NAME, *body)
    assert report["instances"] == {"before": 2, "adopted": 2}
    assert engine.supervisors("endpoint", NAME) == before
    engine.pid = json.loads(engine.cli("status", "--json").stdout)["pid"]
    assert engine.pid != pid
    assert b"--max-instances=7" in Path(f"/proc/{engine.pid}/cmdline").read_bytes()


def test_an_engine_comes_back_though_the_drill_that_killed_it_is_dead(
    engine: RunningEngine,
) -> None:
    process = subprocess.Popen(
        [*CLI, "drill", "engine", "--before=300ms"],
        env={**os.environ, "INTERMODAL_HOME": str(engine.home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    pid = json.loads(engine.cli("status", "--json").stdout)["pid"]
    deadline = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    while engine.cli("status", check=False).returncode != 0:
        assert time.monotonic() < deadline
    engine.pid = json.loads(engine.cli("status", "--json").stdout)["pid"]
    assert engine.pid != pid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_drill_that_ends_early_leaves_no_fault_behind(
    engine: RunningEngine, body: tuple[str, ...], number: signal.Signals
) -> None:
    arguments = ["errors", NAME, "--fraction=1", "--for=3s", "--before=200ms", *body]
    process = subprocess.Popen(
        [*CLI, "drill", *arguments],
        env={**os.environ, "INTERMODAL_HOME": str(engine.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    runtime = engine.client("sagemaker-runtime", retries={"max_attempts": 0})
    deadline = time.monotonic() + PATIENCE_S
    while answers(runtime):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_S)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert answers(runtime)
    while not answers(runtime):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(runtime: Any) -> bool:
    try:
        runtime.invoke_endpoint(EndpointName=NAME, ContentType="text/plain", Body=b"x")
    except ClientError:
        return False
    return True


def test_a_fault_goes_on_and_ends_in_time_under_the_next_engine(engine: RunningEngine) -> None:
    process = subprocess.Popen(
        [*CLI, "drill", "throttle", "--fraction=1", "--for=6s", "--before=100ms"],
        env={**os.environ, "INTERMODAL_HOME": str(engine.home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    once = {"retries": {"total_max_attempts": 1}}
    sagemaker = engine.client("sagemaker", **once)
    deadline = time.monotonic() + PATIENCE_S
    while not throttled(sagemaker):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    engine.kill()
    engine.start()
    assert throttled(sagemaker)
    while throttled(sagemaker):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def throttled(sagemaker: Any) -> bool:
    try:
        sagemaker.list_endpoints()
    except ClientError as error:
        return bool(error.response["Error"]["Code"] == "ThrottlingException")
    return False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("instance", "nobody"), "there is no endpoint `nobody`"),
        (("instance", NAME, "--instance=i-1"), "has no instance `i-1` that runs"),
        (("zone", "us-east-1z"), "there is no zone `us-east-1z`"),
        (("latency", NAME, "--variant=B"), "has no variant `B`"),
        (("errors", NAME), "every call of the drill's clients fails already"),
        (("throttle", "--service=ec3"), "there is no service `ec3`"),
        (("deploy", NAME, "nothing"), "Could not find model"),
        (("errors", NAME, "--body=/nowhere"), "`/nowhere` cannot be read"),
    ],
)
def test_what_cannot_be_drilled_is_said_and_nothing_is_done(
    engine: RunningEngine, body: tuple[str, ...], arguments: tuple[str, ...], said: str
) -> None:
    more = () if arguments == ("errors", NAME) or "--body" in str(arguments) else body
    wanted = () if "throttle" in arguments else more
    done = engine.cli("drill", *arguments, *wanted, *QUICK, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr, done.stderr
    is_whole(engine)
