"""Who may ask the engine for what AWS has no operation for, and what it answers."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.identity import KeyRing
from intermodal_engine.wire.sigv4 import Credentials
from tests.helpers.gateway import ServedGateway, served
from tests.helpers.lifecycle import World, make_world, training_request

TASK = "/_intermodal/drills/spot"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = make_world(tmp_path_factory.mktemp("home"))
    world.backends.objects.create_bucket("results")
    world.driver.script("*", Outcome(after_s=None))
    world.call("CreateTrainingJob", **training_request("on-demand"))
    spot = {"MaxRuntimeInSeconds": 500, "MaxWaitTimeInSeconds": 1000}
    request = training_request("spot", EnableManagedSpotTraining=True, StoppingCondition=spot)
    world.call("CreateTrainingJob", **request)
    world.settle()
    return world


@pytest.fixture(scope="module")
def gateway(world: World) -> Iterator[ServedGateway]:
    backends = world.backends
    records, jobs = backends.records, backends.training_jobs
    with served({}, backends.settings, records=records, training_jobs=jobs) as gateway:
        yield gateway


def bearer(keys: KeyRing) -> dict[str, str]:
    return {"Authorization": f"Bearer {keys.owner_token}"}


def ask(
    gateway: ServedGateway, body: bytes, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    answer = gateway.send("POST", TASK, body, headers or bearer(gateway.key_ring))
    return answer.status, json.loads(answer.body)


def status_of(world: World, name: str) -> str:
    return str(world.call("DescribeTrainingJob", TrainingJobName=name)["SecondaryStatus"])


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "y"},
        {"Authorization": ""},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer \u00fc"},
        {"Authorization": f"Basic {KeyRing(Credentials('AKIAEXAMPLE', 'secret')).owner_token}"},
        bearer(KeyRing(Credentials("AKIAEXAMPLE", "another engine's"))),
    ],
    ids=["nothing", "empty", "no-token", "not-ascii", "another-scheme", "another-home"],
)
def test_without_the_owners_token_nothing_happens(
    gateway: ServedGateway, world: World, headers: Mapping[str, str]
) -> None:
    status, answer = ask(gateway, b'{"job": "spot"}', headers)
    assert (status, answer["code"]) == (403, "AccessDenied")
    assert status_of(world, "spot") == "Training"


def test_a_signature_is_no_token_be_it_the_engines_or_a_jobs(
    gateway: ServedGateway, world: World
) -> None:
    job = gateway.key_ring.issue("training-job/spot")
    for keys in (job, gateway.key_ring.engine.credentials):
        answer = gateway.call("sagemaker", "POST", TASK, b'{"job": "spot"}', keys=keys)
        assert answer.status == 403
    for secret in (job.access_key_id, job.secret_access_key, job.session_token):
        status, _ = ask(gateway, b'{"job": "spot"}', {"Authorization": f"Bearer {secret}"})
        assert status == 403
    assert status_of(world, "spot") == "Training"


def test_a_web_page_gets_nothing_even_with_the_token(gateway: ServedGateway) -> None:
    host = f"127.0.0.1:{gateway.port}"
    headers = {**bearer(gateway.key_ring), "Host": host, "Origin": f"http://{host}"}
    status, answer = ask(gateway, b'{"job": "spot"}', headers)
    assert (status, answer["message"]) == (403, "this path is not for web pages")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"job": 1}', b"\xff"])
def test_what_is_not_understood_is_refused(gateway: ServedGateway, body: bytes) -> None:
    status, answer = ask(gateway, body)
    assert (status, answer["code"]) == (400, "ValidationException")


def test_a_body_that_is_too_large_is_refused(gateway: ServedGateway) -> None:
    status, _ = ask(gateway, bytes(65 << 10))
    assert status == 413


def test_an_unknown_path_and_another_method_are_named(gateway: ServedGateway) -> None:
    headers = bearer(gateway.key_ring)
    assert gateway.send("POST", "/_intermodal/fly", b"{}", headers).status == 404
    assert gateway.send("GET", TASK, b"", headers).status == 405


def test_a_job_that_is_not_there_or_not_on_spot_is_named(gateway: ServedGateway) -> None:
    status, answer = ask(gateway, b'{"job": "nobody"}')
    assert (status, answer["message"]) == (404, "there is no training job `nobody`")
    assert "list-training-jobs" in answer["hint"]
    for check in ("false", "true"):
        status, answer = ask(gateway, b'{"job": "on-demand", "only_check": %s}' % check.encode())
        assert status == 409
        assert "does not use managed spot training" in answer["message"]


def test_a_check_changes_nothing_and_the_drill_interrupts(
    gateway: ServedGateway, world: World
) -> None:
    status, answer = ask(gateway, b'{"job": "spot", "only_check": true}')
    assert (status, answer["checkpoint_s3_uri"]) == (200, None)
    assert status_of(world, "spot") == "Training"
    assert ask(gateway, b'{"job": "spot"}')[0] == 200
    assert status_of(world, "spot") == "Interrupted"
    status, answer = ask(gateway, b'{"job": "spot"}')
    assert (status, answer["message"]) == (409, "training job `spot` is Interrupted, not Training")
    events = world.backends.records.events("training-job", "spot")
    assert [one.data for one in events if one.type == "SpotInterruption"] == [{"cause": "drill"}]
