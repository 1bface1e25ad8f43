"""Members of several containers, which come, live and go together; and which models have them."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_contract.artifact import pack
from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.prune import prune
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.endpoints import (
    create,
    describe,
    endpoint_world,
    in_service,
    make_healthy,
    member_ids,
)
from tests.helpers.lifecycle import ROLE, World

URL = "s3://models/m/model.tar.gz"


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = endpoint_world(tmp_path)
    configure(world, "row", two())
    return world


def two(**second: Any) -> list[dict[str, Any]]:
    """Two containers, of which the second has other things, too."""
    first = {"Image": "img:a", "ModelDataUrl": URL, "ContainerHostname": "first"}
    return [first, {"Image": "img:b", "ContainerHostname": "second", **second}]


def configure(world: World, name: str, containers: list[dict[str, Any]], **model: Any) -> None:
    world.call("CreateModel", ModelName=name, ExecutionRoleArn=ROLE, Containers=containers, **model)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.xlarge",
    }
    world.call("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[variant])


def folders(world: World) -> list[str]:
    return sorted(
        path.name for path in (world.backends.settings.instances_folder / "endpoint/ep").iterdir()
    )


def test_a_member_has_an_instance_of_the_driver_for_each_container(world: World) -> None:
    create(world, "row")
    make_healthy(world)
    assert describe(world)["EndpointStatus"] == "InService"
    (member,) = member_ids(world)
    first, second = world.driver.started
    assert [one.image for one in (first, second)] == ["img:a", "img:b"]
    assert [one.host for one in (first, second)] == ["first", "second"]
    assert first.instance_id != second.instance_id
    assert [mount.target for mount in first.mounts] == ["/opt/ml/model"]
    assert not second.mounts
    assert folders(world) == [f"{member}.first", f"{member}.second"]
    assert first.log.name != second.log.name
    backend = world.router.backends[member]
    assert [one.name for one in backend.containers] == ["first", "second"]
    assert not backend.is_direct
    (variant,) = describe(world)["ProductionVariants"]
    assert [one["SpecifiedImage"] for one in variant["DeployedImages"]] == ["img:a", "img:b"]


def test_containers_without_names_are_numbered(world: World) -> None:
    configure(world, "plain", [{"Image": "img:a"}, {"Image": "img:b"}])
    create(world, "plain")
    (member,) = member_ids(world)
    names = [one.name for one in world.router.backends[member].containers]
    assert names == ["container-1", "container-2"]


def test_an_only_container_is_like_a_primary_one_unless_it_is_to_be_named(world: World) -> None:
    configure(world, "lone", [{"Image": "img:a", "ContainerHostname": "first"}])
    execution = {"InferenceExecutionConfig": {"Mode": "Direct"}}
    configure(world, "named", [{"Image": "img:a", "ContainerHostname": "first"}], **execution)
    create(world, "lone")
    (member,) = member_ids(world)
    assert world.router.backends[member].containers == ()
    world.call("DeleteEndpoint", EndpointName="ep")
    world.settle()
    world.advance(1)
    create(world, "named")
    (member,) = member_ids(world)
    assert world.router.backends[member].is_direct


def test_when_one_container_ends_the_others_end_too_and_all_come_anew(world: World) -> None:
    world.driver.script("*/1", Outcome(after_s=100.0, exit_code=3), Outcome(after_s=None))
    create(world, "row")
    make_healthy(world)
    (before,) = member_ids(world)
    world.advance(101)
    world.advance(1)
    (after,) = member_ids(world)
    assert after != before
    assert folders(world) == [f"{after}.first", f"{after}.second"]
    assert len(world.driver.started) == 4


def test_a_container_that_ends_before_it_is_healthy_fails_the_endpoint_with_its_words(
    world: World,
) -> None:
    world.driver.script("*/1", Outcome(after_s=1.0, exit_code=3, log=((0.0, "no weights"),)))
    create(world, "row")
    world.advance(2)
    world.advance(1)
    described = describe(world)
    assert described["EndpointStatus"] == "Failed"
    reason = described["FailureReason"]
    assert "container second: last output" in reason
    assert "no weights" in reason
    assert member_ids(world) == []


def test_all_containers_of_a_deleted_endpoint_end(world: World) -> None:
    create(world, "row")
    make_healthy(world)
    world.call("DeleteEndpoint", EndpointName="ep")
    world.settle()
    world.advance(1)
    assert world.backends.records.find("endpoint", "ep") is None
    assert not (world.backends.settings.instances_folder / "endpoint/ep").exists()


def test_another_engine_finds_all_containers(world: World) -> None:
    create(world, "row")
    make_healthy(world)
    (member,) = member_ids(world)
    again = world.restarted()
    again.settle()
    assert again.driver.started == []
    assert len(again.router.backends[member].containers) == 2


def test_an_update_from_one_container_to_several_leaves_none_of_the_old(world: World) -> None:
    in_service(world)
    before = member_ids(world)
    world.call("UpdateEndpoint", EndpointName="ep", EndpointConfigName="row")
    world.settle()
    make_healthy(world)
    world.advance(1)
    (after,) = member_ids(world)
    assert after not in before
    assert folders(world) == [f"{after}.first", f"{after}.second"]


def test_models_of_several_containers_are_kept_while_they_are_used(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "model" / "weights.bin").write_text("other")
    pack(tmp_path / "model", tmp_path / "other.tar.gz")
    content = (tmp_path / "other.tar.gz").read_bytes()
    world.backends.objects.put_bytes("models", "m/other.tar.gz", content)
    configure(world, "both", two(ModelDataUrl="s3://models/m/other.tar.gz"))
    create(world, "both")
    make_healthy(world)
    assert len(list(world.backends.settings.models_folder.iterdir())) == 2
    gone = prune(
        world.backends.settings, world.backends.records, now=world.clock.now() + 1e9, older_than_s=0
    )
    assert [one for one in gone if one.what == "model"] == []


@pytest.mark.parametrize(
    ("containers", "mode", "words"),
    [
        ([{"Image": "a"}, {"Image": "b", "ContainerHostname": "x"}], None, "for every"),
        (two(ContainerHostname="first"), None, "must be unique"),
        ([{"Image": "a"}, {"Image": "b"}], "Direct", "needs a `ContainerHostname`"),
        (
            two(Mode="MultiModel", ModelDataUrl="s3://models/many/"),
            "Direct",
            "cannot be invoked directly",
        ),
        (
            [{"Image": "a", "Mode": "MultiModel", "ModelDataUrl": "s3://models/many/"}] * 2,
            None,
            "only one may have",
        ),
        ([{"Image": "a"}, {"ModelDataUrl": URL}], None, "needs `Image`"),
    ],
)
def test_containers_that_make_no_sense_together_are_refused(
    world: World, containers: list[dict[str, Any]], mode: str | None, words: str
) -> None:
    more: dict[str, Any] = {"InferenceExecutionConfig": {"Mode": mode}} if mode else {}
    with pytest.raises(ServiceError, match=words):
        world.call("CreateModel", ModelName="m", Containers=containers, **more)


def test_a_mode_of_execution_is_for_containers(world: World) -> None:
    with pytest.raises(ServiceError, match="needs `Containers`"):
        world.call(
            "CreateModel",
            ModelName="m",
            PrimaryContainer={"Image": "a"},
            InferenceExecutionConfig={"Mode": "Direct"},
        )
