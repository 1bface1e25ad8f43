"""Transform jobs of several containers: instances of the driver, and requests that pass through."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.transform.program.client import (
    Client,
    InstanceLostError,
    InvocationError,
    NotHealthyError,
    Patience,
)
from intermodal_engine.lifecycle.transform.program.row import Row
from intermodal_engine.lifecycle.transform_job import LOOK_S
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.http_instance import HttpInstance, Reply, Seen
from tests.helpers.lifecycle import ROLE, World, make_world
from tests.helpers.transform_jobs import FakeMovers, create, describe, opened

PATIENCE = Patience(5.0, 0)


@pytest.fixture
def movers() -> FakeMovers:
    return FakeMovers()


@pytest.fixture
def world(tmp_path: Path, movers: FakeMovers) -> World:
    world = opened(make_world(tmp_path / "home", movers=movers))
    create_model(world, "row", [{"Image": "img:a"}, {"Image": "img:b", "Environment": {"A": "b"}}])
    return world


def create_model(world: World, name: str, containers: list[dict[str, Any]], **more: Any) -> None:
    world.call("CreateModel", ModelName=name, Containers=containers, ExecutionRoleArn=ROLE, **more)


def test_each_instance_has_all_containers_and_one_mover_that_knows_them(
    world: World, movers: FakeMovers
) -> None:
    create(world, ModelName="row", TransformResources={"InstanceCount": 2})
    assert [spec.image for spec in world.driver.started] == ["img:a", "img:b"] * 2
    assert len({spec.host for spec in world.driver.started}) == 4
    assert len({spec.network for spec in world.driver.started}) == 4
    assert world.driver.started[1].environment["A"] == "b"
    assert world.driver.started[1].environment["SAGEMAKER_BATCH"] == "true"
    assert len(movers.plans) == 2
    for folder, plan in list(movers.plans.items()):
        assert [name for name, _, _ in plan.row] == ["container-1", "container-2"]
        movers.moves(folder)
    world.advance(LOOK_S)
    assert describe(world)["TransformJobStatus"] == "Completed"
    assert world.driver.next_turn_at() is None


def test_a_container_that_ends_fails_the_job_by_its_name_and_ends_the_others(world: World) -> None:
    world.driver.script("*-1/0", Outcome(after_s=5, exit_code=3))
    create(world, ModelName="row")
    world.advance(5)
    job = describe(world)
    assert job["TransformJobStatus"] == "Failed"
    assert "/container-2` ended with exit code 3" in job["FailureReason"], job
    assert world.driver.next_turn_at() is None


def test_another_engine_goes_on_with_all_of_them(world: World, movers: FakeMovers) -> None:
    create(world, ModelName="row")
    again = world.restarted()
    again.settle()
    assert again.driver.started == []
    for folder in movers.plans:
        movers.moves(folder)
    again.advance(LOOK_S)
    assert describe(again)["TransformJobStatus"] == "Completed"


@pytest.mark.parametrize(
    ("containers", "mode", "words"),
    [
        ([{"Image": "a", "ContainerHostname": "x"}], "Direct", "invoked by their names"),
        (
            [{"Image": "a"}, {"Image": "b", "Mode": "MultiModel", "ModelDataUrl": "s3://data/m/"}],
            "Serial",
            "serves many models",
        ),
    ],
)
def test_containers_that_cannot_be_moved_through_are_refused(
    world: World, containers: list[dict[str, Any]], mode: str, words: str
) -> None:
    create_model(world, "odd", containers, InferenceExecutionConfig={"Mode": mode})
    with pytest.raises(ServiceError, match=words):
        create(world, ModelName="odd")


async def adds_a(seen: Seen) -> Reply:
    return Reply(seen.body + b"a", headers="Content-Type: text/a\r\n")


async def adds_b(seen: Seen) -> Reply:
    return Reply(seen.body + b"b", headers="Content-Type: text/b\r\n")


def row_of(*instances: HttpInstance) -> Row:
    names = ("first", "second")
    return Row(
        [
            (name, Client("127.0.0.1", one.port, PATIENCE))
            for name, one in zip(names, instances, strict=True)
        ]
    )


def test_each_container_gets_the_answer_before_with_its_content_type() -> None:
    with HttpInstance(adds_a) as first, HttpInstance(adds_b) as second:
        row = row_of(first, second)
        row.wait_until_healthy(5.0)
        headers = {"Content-Type": "text/csv", "Accept": "text/b"}
        assert row.invoke(b"0", headers) == (b"0ab", "text/b")
        row.close()
        (asked,), (then,) = first.seen, second.seen
        assert (asked.headers["content-type"], "accept" in asked.headers) == ("text/csv", False)
        assert (then.headers["content-type"], then.headers["accept"]) == ("text/a", "text/b")


def test_a_container_that_refuses_is_named() -> None:
    async def refuse(_seen: Seen) -> Reply:
        return Reply(b"odd", 400)

    with HttpInstance(adds_a) as first, HttpInstance(refuse) as second:
        row = row_of(first, second)
        with pytest.raises(InvocationError, match=r"container second: .*status 400: odd"):
            row.invoke(b"0", {})
        row.close()


def test_a_container_that_is_gone_or_never_healthy_is_named() -> None:
    with HttpInstance(adds_a) as first, HttpInstance(adds_b) as second:
        row = row_of(first, second)
        second.ping_status = 503
        with pytest.raises(NotHealthyError, match="container second did not pass"):
            row.wait_until_healthy(0.2)
        second.close()
        with pytest.raises(InstanceLostError, match="container second"):
            row.invoke(b"0", {})
        row.close()
