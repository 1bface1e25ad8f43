"""Serverless variants: instances come with requests and go without, within their bounds."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.wire.errors import ServiceError
from tests.helpers.endpoints import (
    FOREVER,
    create,
    describe,
    endpoint_world,
    make_healthy,
    member_ids,
)
from tests.helpers.lifecycle import World

IDLE_S = 300


@pytest.fixture
def world(tmp_path: Path) -> World:
    return endpoint_world(tmp_path)


def config(world: World, name: str = "sls", **changes: int) -> None:
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 4, **changes}
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "model-of-config-1",
        "ServerlessConfig": serverless,
    }
    world.call("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[variant])


def up(world: World, **changes: int) -> None:
    config(world, "sls", **changes)
    create(world, "sls")
    make_healthy(world)
    assert describe(world)["EndpointStatus"] == "InService"


def ask_for(world: World, count: int) -> None:
    """What the router says when requests wait."""
    world.backends.endpoints.on_demand("ep", "AllTraffic", count)
    world.settle()
    make_healthy(world)


def idle(world: World, seconds: float) -> None:
    """Time goes by without requests."""
    for member in member_ids(world):
        world.router.idle[member] = world.router.idle.get(member, 0.0) + seconds
    world.advance(seconds)
    world.advance(1)


def count(world: World) -> int:
    return len(member_ids(world))


def test_a_serverless_endpoint_is_in_service_once_one_instance_has_served_a_ping(
    world: World,
) -> None:
    up(world)
    (variant,) = describe(world)["ProductionVariants"]
    shown = {"MemorySizeInMB": 2048, "MaxConcurrency": 4}
    assert variant["CurrentServerlessConfig"] == variant["DesiredServerlessConfig"] == shown
    assert "CurrentInstanceCount" not in variant
    (spec,) = world.driver.started
    assert (spec.memory_bytes, spec.cpus) == (2048 << 20, 2.0)
    assert spec.environment["SAGEMAKER_MODEL_SERVER_WORKERS"] == "1"


def test_idle_instances_go_down_to_none_and_come_back_when_asked_for(world: World) -> None:
    up(world)
    idle(world, IDLE_S - 10)
    assert count(world) == 1
    idle(world, 10)
    assert count(world) == 0
    assert describe(world)["EndpointStatus"] == "InService"
    ask_for(world, 3)
    assert count(world) == 3


def test_an_instance_that_was_busy_at_the_last_look_is_looked_at_again(world: World) -> None:
    up(world)
    for member in member_ids(world):
        world.router.idle[member] = 0.0
    world.advance(1)
    for member in member_ids(world):
        world.router.idle[member] = float(IDLE_S)
    world.advance(IDLE_S)
    world.advance(1)
    assert count(world) == 0


def test_what_requests_ask_for_while_idle_instances_are_let_go_is_not_forgotten(
    world: World,
) -> None:
    up(world)
    world.router.idle = dict.fromkeys(member_ids(world), float(IDLE_S))
    world.router.on_idle = lambda: world.backends.endpoints.on_demand("ep", "AllTraffic", 3)
    world.advance(IDLE_S)
    world.advance(1)
    assert count(world) >= 2


def test_it_is_the_idle_instances_that_go(world: World) -> None:
    up(world)
    ask_for(world, 3)
    idle_one, *others = member_ids(world)
    world.router.idle[idle_one] = float(IDLE_S)
    world.advance(IDLE_S)
    world.advance(1)
    world.advance(1)
    assert member_ids(world) == others


def test_no_more_come_than_may_and_fewer_are_no_order_to_go(world: World) -> None:
    up(world)
    ask_for(world, 9)
    assert count(world) == 4
    ask_for(world, 1)
    assert count(world) == 4


def test_provisioned_instances_stay(world: World) -> None:
    up(world, ProvisionedConcurrency=2)
    assert count(world) == 2
    ask_for(world, 4)
    idle(world, IDLE_S)
    assert count(world) == 2
    idle(world, IDLE_S)
    assert count(world) == 2


def test_a_new_engine_keeps_the_number_and_goes_on(world: World) -> None:
    up(world)
    ask_for(world, 3)
    before = member_ids(world)
    world = world.restarted()
    world.driver.script("*", FOREVER)
    make_healthy(world)
    assert member_ids(world) == before
    ask_for(world, 4)
    assert count(world) == 4


def test_concurrencies_are_changed_while_it_serves(world: World) -> None:
    up(world)
    world.call(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="ep",
        DesiredWeightsAndCapacities=[
            {
                "VariantName": "AllTraffic",
                "ServerlessUpdateConfig": {"MaxConcurrency": 6, "ProvisionedConcurrency": 2},
            }
        ],
    )
    world.settle()
    make_healthy(world)
    world.advance(1)
    (variant,) = describe(world)["ProductionVariants"]
    assert describe(world)["EndpointStatus"] == "InService"
    assert variant["CurrentServerlessConfig"]["MaxConcurrency"] == 6
    assert count(world) == 2
    ask_for(world, 9)
    assert count(world) == 6


def test_an_update_to_a_configuration_with_instances_moves_to_these(world: World) -> None:
    up(world)
    world.call("UpdateEndpoint", EndpointName="ep", EndpointConfigName="config-1")
    world.settle()
    make_healthy(world)
    world.advance(1)
    (variant,) = describe(world)["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ServerlessConfig": {"MemorySizeInMB": 1500, "MaxConcurrency": 1}}, "multiple of 1024"),
        (
            {
                "ServerlessConfig": {
                    "MemorySizeInMB": 1024,
                    "MaxConcurrency": 1,
                    "ProvisionedConcurrency": 2,
                }
            },
            "must not be greater than MaxConcurrency",
        ),
        ({"InstanceType": "ml.m5.large"}, "cannot be used with InstanceType"),
    ],
)
def test_what_no_serverless_variant_can_be_is_named(
    world: World, changes: dict[str, Any], says: str
) -> None:
    variant = {
        "VariantName": "v",
        "ModelName": "model-of-config-1",
        "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
        **changes,
    }
    with pytest.raises(ServiceError, match=says):
        world.call("CreateEndpointConfig", EndpointConfigName="s", ProductionVariants=[variant])


def test_more_at_once_than_this_machine_is_to_carry_is_refused(world: World) -> None:
    config(world, MaxConcurrency=200)
    with pytest.raises(ServiceError, match="--max-endpoint-instances"):
        world.call("CreateEndpoint", EndpointName="ep", EndpointConfigName="sls")


def test_numbers_of_instances_and_serverless_updates_are_told_apart(world: World) -> None:
    up(world)
    for change, says in (
        ({"DesiredInstanceCount": 2}, "has no DesiredInstanceCount"),
        ({"ServerlessUpdateConfig": {"ProvisionedConcurrency": 9}}, "must not be greater"),
    ):
        with pytest.raises(ServiceError, match=says):
            world.call(
                "UpdateEndpointWeightsAndCapacities",
                EndpointName="ep",
                DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", **change}],
            )


def test_an_instance_that_is_on_its_way_out_is_no_answer_to_a_new_request(world: World) -> None:
    up(world)
    (old,) = member_ids(world)
    world.router.busy[old] = 1  # it works on a last request
    idle(world, IDLE_S)
    ask_for(world, 1)
    assert count(world) == 2
    (new,) = [one for one in member_ids(world) if one != old]
    world.router.busy[old] = 0
    world.advance(1)
    world.advance(1)
    assert member_ids(world) == [new]
