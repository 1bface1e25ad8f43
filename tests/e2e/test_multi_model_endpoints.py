"""Many models behind one endpoint, by boto3, in real containers of ours."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from intermodal_engine.drivers.records import InstanceFolder
from tests.helpers.engine import RunningEngine
from tests.helpers.many_models import (
    PATIENCE_S,
    SAYS,
    archive,
    ask,
    deploy,
    put_model,
    statistics,
    wait_for,
)
from tests.helpers.script_mode import BUCKET, create_endpoint, settled_endpoint, store_model

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

Clients = dict[str, Any]
SLOW = "import time\ntime.sleep(1.5)\n" + SAYS


@pytest.fixture(scope="module")
def many(clients: Clients) -> str:
    """An endpoint `many` of one instance, with the models `a` and `b`."""
    put_model(clients, "many", "a.tar.gz", archive("one"))
    put_model(clients, "many", "deep/b.tar.gz", archive("two"))
    assert deploy(clients, "many")["EndpointStatus"] == "InService"
    return "many"


def refused(clients: Clients, endpoint: str, target: str) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        ask(clients, endpoint, target)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def folders(engine: RunningEngine, endpoint: str) -> list[str]:
    """The models whose files are on the endpoint's instances."""
    found = (engine.home / "instances" / "endpoint" / endpoint).glob("*/ml/models/*")
    return sorted(path.name for path in found)


def test_each_request_is_answered_by_the_model_that_it_names(clients: Clients, many: str) -> None:
    assert ask(clients, many, "a.tar.gz") == "one hello"
    assert ask(clients, many, "deep/b.tar.gz") == "two hello"
    assert ask(clients, many, "a.tar.gz", "again") == "one again"


def test_models_come_and_change_without_a_deployment(
    clients: Clients, engine: RunningEngine, many: str
) -> None:
    assert refused(clients, many, "c.tar.gz")[0] == "ValidationError"
    put_model(clients, many, "c.tar.gz", archive("three"))
    assert ask(clients, many, "c.tar.gz") == "three hello"
    before = len(folders(engine, many))
    put_model(clients, many, "c.tar.gz", archive("four"))
    assert ask(clients, many, "c.tar.gz") == "four hello"
    deadline = time.monotonic() + PATIENCE_S
    while len(folders(engine, many)) != before:  # what it replaced goes
        assert time.monotonic() < deadline
        time.sleep(0.05)
    clients["s3"].delete_object(Bucket=BUCKET, Key=f"many/{many}/c.tar.gz")
    assert ask(clients, many, "c.tar.gz") == "four hello"  # what is in memory goes on


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("none.tar.gz", f"Failed to download model data(bucket: {BUCKET}, key: many/many/none"),
        ("../other/a.tar.gz", "it leads out of its prefix"),
        ("deep/../../a.tar.gz", "it leads out of its prefix"),
        ("deep\\..\\a.tar.gz", "it leads out of its prefix"),
        ("./a.tar.gz", "it leads out of its prefix"),
        ("/a.tar.gz", "it is absolute"),
        ("deep/", "it is a prefix"),
    ],
)
def test_a_name_that_is_no_model_below_the_prefix_is_refused(
    clients: Clients, many: str, target: str, words: str
) -> None:
    code, message = refused(clients, many, target)
    assert code == "ValidationError"
    assert words in message


def test_an_archive_that_is_none_and_code_that_fails_are_told(clients: Clients, many: str) -> None:
    put_model(clients, many, "bad.tar.gz", b"no archive")
    put_model(clients, many, "broken.tar.gz", archive("x", "raise OSError('no weights')"))
    code, message = refused(clients, many, "bad.tar.gz")
    assert code == "ValidationError"
    assert "valid tar.gz archive" in message
    code, message = refused(clients, many, "broken.tar.gz")
    assert code == "ModelError"
    assert "no weights" in message
    assert ask(clients, many, "a.tar.gz") == "one hello"


def test_a_target_belongs_to_multi_model_endpoints_alone(clients: Clients, many: str) -> None:
    with pytest.raises(ClientError, match="is missing a target model header") as caught:
        clients["sagemaker-runtime"].invoke_endpoint(EndpointName=many, Body=b"x")
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    create_endpoint(clients["sagemaker"], "single", store_model(clients["s3"], "single"))
    assert settled_endpoint(clients["sagemaker"], "single")["EndpointStatus"] == "InService"
    code, message = refused(clients, "single", "a.tar.gz")
    assert code == "ValidationError"
    assert "Endpoint single is not a multi-model endpoint" in message


def test_one_load_serves_all_who_wait_and_holds_nobody_else_up(clients: Clients) -> None:
    put_model(clients, "patient", "slow.tar.gz", archive("slow", SLOW))
    put_model(clients, "patient", "quick.tar.gz", archive("quick"))
    workers = {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}
    assert deploy(clients, "patient", Environment=workers)["EndpointStatus"] == "InService"
    assert ask(clients, "patient", "quick.tar.gz") == "quick hello"
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(ask, clients, "patient", "slow.tar.gz") for _ in range(4)]
        assert [one.result() for one in waiting] == ["slow hello"] * 4
    wait_for(clients, "patient", "ModelLoadingTime", "SampleCount", 2)
    wait_for(clients, "patient", "ModelDownloadingTime", "SampleCount", 2)
    wait_for(clients, "patient", "ModelLoadingWaitTime", "SampleCount", 5)
    wait_for(clients, "patient", "ModelCacheHit", "SampleCount", 5)
    assert ask(clients, "patient", "slow.tar.gz") == "slow hello"
    wait_for(clients, "patient", "ModelCacheHit", "Sum", 1)
    wait_for(clients, "patient", "LoadedModelCount", "Maximum", 2, "/aws/sagemaker/Endpoints")
    assert statistics(clients, "patient", "ModelLoadingTime")["Maximum"] > 1.5e6


def test_without_a_cache_a_model_goes_after_its_call(
    clients: Clients, engine: RunningEngine
) -> None:
    put_model(clients, "forgetful", "a.tar.gz", archive("one"))
    caching = {"ModelCacheSetting": "Disabled"}
    deployed = deploy(clients, "forgetful", MultiModelConfig=caching)
    assert deployed["EndpointStatus"] == "InService"
    assert ask(clients, "forgetful", "a.tar.gz") == "one hello"
    wait_for(clients, "forgetful", "ModelUnloadingTime", "SampleCount", 1)
    assert ask(clients, "forgetful", "a.tar.gz") == "one hello"
    wait_for(clients, "forgetful", "ModelLoadingTime", "SampleCount", 2)
    wait_for(clients, "forgetful", "ModelUnloadingTime", "SampleCount", 2)
    assert folders(engine, "forgetful") == []


def test_requests_go_to_the_instance_that_holds_the_model(
    clients: Clients, engine: RunningEngine
) -> None:
    for name in "abcd":
        put_model(clients, "spread", f"{name}.tar.gz", archive(name))
    assert deploy(clients, "spread", 2)["EndpointStatus"] == "InService"
    for _ in range(3):
        for name in "abcd":
            assert ask(clients, "spread", f"{name}.tar.gz") == f"{name} hello"
    wait_for(clients, "spread", "ModelLoadingTime", "SampleCount", 4)
    wait_for(clients, "spread", "ModelCacheHit", "Sum", 8)
    on_each = [
        len(list(path.glob("ml/models/*")))
        for path in (engine.home / "instances" / "endpoint" / "spread").iterdir()
    ]
    assert on_each == [2, 2]


def test_a_killed_engine_finds_the_models_that_are_loaded(
    clients: Clients, engine: RunningEngine
) -> None:
    put_model(clients, "lasting", "a.tar.gz", archive("one"))
    assert deploy(clients, "lasting")["EndpointStatus"] == "InService"
    assert ask(clients, "lasting", "a.tar.gz") == "one hello"
    wait_for(clients, "lasting", "ModelLoadingTime", "SampleCount", 1)
    engine.kill()
    engine.start()
    assert ask(clients, "lasting", "a.tar.gz") == "one hello"
    wait_for(clients, "lasting", "ModelCacheHit", "Sum", 1)
    assert statistics(clients, "lasting", "ModelLoadingTime")["SampleCount"] == 1


def test_an_engine_that_is_killed_during_a_load_serves_the_model_after_it(
    clients: Clients, engine: RunningEngine
) -> None:
    put_model(clients, "halfway", "slow.tar.gz", archive("slow", SLOW))
    assert deploy(clients, "halfway")["EndpointStatus"] == "InService"
    failed = threading.Event()

    def call() -> None:
        try:
            ask(clients, "halfway", "slow.tar.gz")
        except Exception:  # noqa: BLE001 - whatever the client makes of a killed server
            failed.set()

    caller = threading.Thread(target=call)
    caller.start()
    time.sleep(0.5)
    engine.kill()
    engine.start()
    assert ask(clients, "halfway", "slow.tar.gz") == "slow hello"
    caller.join()
    assert len(folders(engine, "halfway")) == 1


def test_an_instance_that_is_killed_during_a_load_costs_no_call(
    clients: Clients, engine: RunningEngine
) -> None:
    put_model(clients, "wounded", "slow.tar.gz", archive("slow", SLOW))
    assert deploy(clients, "wounded", 2)["EndpointStatus"] == "InService"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, clients, "wounded", "slow.tar.gz")
        deadline = time.monotonic() + PATIENCE_S
        while not folders(engine, "wounded"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (loading,) = (engine.home / "instances" / "endpoint" / "wounded").glob("*/ml/models/*")
        kill_supervisor(engine, loading.parents[2].name)
        assert waiting.result() == "slow hello"


def kill_supervisor(engine: RunningEngine, member: str) -> None:
    (folder,) = (engine.home / "instances" / "endpoint").glob(f"*/{member}")
    pid = InstanceFolder(folder).living_supervisor()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
