"""The credentials of jobs: whose they are, and that they end with the job."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.job_sessions import subject_of
from intermodal_engine.services import sts
from intermodal_engine.wire.sigv4 import Credentials
from tests.helpers.gateway import Answer, ServedGateway, served
from tests.helpers.lifecycle import World, make_world, training_request

WHO = b"Action=GetCallerIdentity&Version=2011-06-15"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OPERATIONS = {("sts", "GetCallerIdentity"): sts.get_caller_identity}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = make_world(tmp_path / "home")
    world.backends.objects.create_bucket("results")
    world.driver.script("*", Outcome(after_s=100.0))
    world.call("CreateTrainingJob", **training_request())
    world.settle()
    return world


@pytest.fixture
def gateway(world: World) -> Iterator[ServedGateway]:
    backends = world.backends
    with served(OPERATIONS, backends.settings, records=backends.records) as gateway:
        yield gateway


def keys_of(gateway: ServedGateway, world: World, name: str = "job-1") -> Credentials:
    record = world.backends.records.get("training-job", name)
    return gateway.key_ring.issue(subject_of(record), "trainer")


def ask(gateway: ServedGateway, keys: Credentials) -> Answer:
    return gateway.call("sts", "POST", "/", WHO, FORM, keys)


def test_a_job_is_known_by_its_session_credentials_while_it_runs(
    gateway: ServedGateway, world: World
) -> None:
    assert b"assumed-role/trainer/SageMaker" in ask(gateway, keys_of(gateway, world)).body


def test_the_credentials_end_with_the_job(gateway: ServedGateway, world: World) -> None:
    keys = keys_of(gateway, world)
    world.advance(200.0)
    assert world.call("DescribeTrainingJob", TrainingJobName="job-1")["TrainingJobStatus"] in (
        "Completed",
        "Failed",
    )
    answer = ask(gateway, keys)
    assert answer.status == 403
    assert b"<Code>ExpiredToken</Code>" in answer.body
    s3 = gateway.call("s3", "GET", "/results", keys=keys)
    assert (s3.status, b"<Code>ExpiredToken</Code>" in s3.body) == (400, True)


@pytest.mark.parametrize(
    "subject",
    ["training-job/job-1", "training-job/job-1/0.000000", "training-job/other/1.0", "x", "", "a/b"],
)
def test_what_was_issued_to_another_job_of_that_name_is_over(
    gateway: ServedGateway, world: World, subject: str
) -> None:
    answer = ask(gateway, gateway.key_ring.issue(subject))
    assert (answer.status, b"ExpiredToken" in answer.body) == (403, True)


def test_an_endpoints_credentials_end_when_it_is_deleted(
    gateway: ServedGateway, world: World
) -> None:
    record = world.backends.records.insert(
        "endpoint", "e", arn="arn:e", request={}, status="InService"
    )
    keys = gateway.key_ring.issue(subject_of(record), "server")
    assert ask(gateway, keys).status == 200
    world.backends.records.delete("endpoint", "e")
    assert ask(gateway, keys).status == 403
