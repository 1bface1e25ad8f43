"""Updates of an endpoint: each policy, each way back, and an engine that dies in between."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.lifecycle.fleet import Member, members_of
from intermodal_engine.lifecycle.resizing import Resize
from intermodal_engine.router.router import Health, Route
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.endpoints import (
    FOREVER,
    create,
    create_config,
    describe,
    endpoint_world,
    in_service,
    make_healthy,
    say,
)
from tests.helpers.lifecycle import World

LINEAR = {"Type": "LINEAR", "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 50}}
CANARY = {"Type": "CANARY", "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1}}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = endpoint_world(tmp_path)
    create_config(world, "config-4", count=4)
    create_config(world, "next-4", count=4)
    return world


def up(world: World, config: str = "config-4") -> None:
    create(world, config)
    make_healthy(world)
    assert describe(world)["EndpointStatus"] == "InService"


def update(world: World, policy: dict[str, Any] | None = None, **parameters: Any) -> None:
    if policy is not None:
        parameters["DeploymentConfig"] = policy
    config = parameters.pop("config", "next-4")
    world.call("UpdateEndpoint", EndpointName="ep", EndpointConfigName=config, **parameters)
    world.settle()


def blue_green(routing: dict[str, Any], wait_s: int = 60, **more: Any) -> dict[str, Any]:
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {**routing, "WaitIntervalInSeconds": wait_s},
            **more,
        }
    }


def rolling(batch: int, wait_s: int = 60) -> dict[str, Any]:
    size = {"Type": "INSTANCE_COUNT", "Value": batch}
    return {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": wait_s}}


def with_batches_back(policy: dict[str, Any], batch: int) -> dict[str, Any]:
    size = {"Type": "INSTANCE_COUNT", "Value": batch}
    rolling_policy = {**policy["RollingUpdatePolicy"], "RollbackMaximumBatchSize": size}
    return {**policy, "RollingUpdatePolicy": rolling_policy}


def with_alarm(policy: dict[str, Any], name: str = "errors") -> dict[str, Any]:
    return {**policy, "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name}]}}


def ring(world: World, name: str = "errors") -> None:
    arn = f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}"
    world.backends.records.insert("alarm", name, arn=arn, request={}, status="ALARM")


def fleets(world: World) -> dict[int, int]:
    """How many instances each generation has."""
    counts: dict[int, int] = {}
    for member in members(world):
        counts[member.generation] = counts.get(member.generation, 0) + 1
    return counts


def members(world: World) -> list[Member]:
    return members_of(world.backends.records.get("endpoint", "ep").state)


def traffic(world: World) -> dict[int, float]:
    """What each generation gets of the requests."""
    routes: tuple[Route, ...] = world.router._directions["ep"].routes
    return {one.generation: round(one.weight, 3) for one in routes}


def test_without_a_policy_all_traffic_moves_when_the_new_fleet_is_healthy(world: World) -> None:
    up(world)
    update(world)
    assert fleets(world) == {1: 4, 2: 4}
    assert traffic(world) == {1: 1.0}
    pending = describe(world)["PendingDeploymentSummary"]
    assert pending["EndpointConfigName"] == "next-4"
    assert pending["ProductionVariants"][0]["VariantStatus"][0]["Status"] == "Creating"
    make_healthy(world)
    world.advance(1)
    assert describe(world)["EndpointStatus"] == "InService"
    assert fleets(world) == {2: 4}
    assert traffic(world) == {2: 1.0}
    assert "PendingDeploymentSummary" not in describe(world)


def test_a_canary_gets_its_share_is_watched_and_then_the_rest_follows(world: World) -> None:
    up(world)
    policy = blue_green(CANARY, TerminationWaitInSeconds=30)
    update(world, policy)
    make_healthy(world)
    assert traffic(world) == {1: 0.75, 2: 0.25}
    status = describe(world)["PendingDeploymentSummary"]["ProductionVariants"][0]
    assert status["VariantStatus"][0]["Status"] == "Baking"
    world.advance(59)
    assert traffic(world) == {1: 0.75, 2: 0.25}
    world.advance(1)
    assert traffic(world) == {2: 1.0}
    assert fleets(world) == {1: 4, 2: 4}
    world.advance(60)
    assert describe(world)["EndpointStatus"] == "Updating"
    world.advance(30)
    world.advance(1)
    assert describe(world)["EndpointStatus"] == "InService"
    assert fleets(world) == {2: 4}
    assert describe(world)["LastDeploymentConfig"] == policy


def test_linear_steps_follow_one_another(world: World) -> None:
    up(world)
    update(world, blue_green(LINEAR))
    make_healthy(world)
    seen = [traffic(world)]
    for _ in range(3):
        world.advance(60)
        seen.append(traffic(world))
    assert seen == [{1: 0.5, 2: 0.5}, {2: 1.0}, {2: 1.0}, {2: 1.0}]
    assert describe(world)["EndpointStatus"] == "InService"


def test_a_rolling_update_never_has_more_than_a_batch_too_many(world: World) -> None:
    up(world)
    update(world, rolling(2))
    assert fleets(world) == {1: 4, 2: 2}
    make_healthy(world)
    world.advance(1)
    assert traffic(world) == {1: 0.5, 2: 0.5}
    assert fleets(world) == {1: 2, 2: 2}
    world.advance(60)
    assert fleets(world) == {1: 2, 2: 4}
    make_healthy(world)
    world.advance(1)
    assert fleets(world) == {2: 4}
    world.advance(61)
    assert describe(world)["EndpointStatus"] == "InService"
    assert {member.zone[-1] for member in members(world)} == {"a", "b", "c"}


def test_an_alarm_while_it_is_watched_rolls_back_and_says_so(world: World) -> None:
    up(world)
    update(world, with_alarm(blue_green(CANARY)))
    make_healthy(world)
    ring(world)
    world.advance(1)
    world.advance(1)
    endpoint = describe(world)
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["EndpointConfigName"] == "config-4"
    assert "alarms were in ALARM state during the deployment: errors" in endpoint["FailureReason"]
    assert traffic(world) == {1: 1.0}
    assert fleets(world) == {1: 4}


def test_a_rolling_update_that_fails_brings_the_old_instances_back_first(world: World) -> None:
    up(world)
    update(world, with_alarm(rolling(2)))
    make_healthy(world)
    world.advance(1)
    assert fleets(world) == {1: 2, 2: 2}
    ring(world)
    world.advance(1)
    assert describe(world)["EndpointStatus"] == "RollingBack"
    assert traffic(world) == {1: 1.0}
    assert fleets(world) == {1: 4, 2: 2}
    make_healthy(world)
    world.advance(1)
    assert describe(world)["EndpointStatus"] == "InService"
    assert fleets(world) == {1: 4}


def test_the_way_back_is_taken_batch_by_batch_where_a_size_is_set(world: World) -> None:
    up(world)
    update(world, with_alarm(with_batches_back(rolling(2), 1)))
    make_healthy(world)
    world.advance(1)
    assert fleets(world) == {1: 2, 2: 2}
    ring(world)
    world.advance(1)
    assert (fleets(world), traffic(world)) == ({1: 3, 2: 2}, {1: 0.5, 2: 0.5})
    make_healthy(world)
    world.advance(1)
    assert (fleets(world), traffic(world)) == ({1: 4, 2: 1}, {1: 0.75, 2: 0.25})
    assert describe(world)["EndpointStatus"] == "RollingBack"
    world = world.restarted()
    make_healthy(world)
    world.advance(1)
    assert describe(world)["EndpointStatus"] == "InService"
    assert describe(world)["EndpointConfigName"] == "config-4"
    assert (fleets(world), traffic(world)) == ({1: 4}, {1: 1.0})


def test_a_batch_of_the_way_back_that_never_gets_healthy_is_told(world: World) -> None:
    up(world)
    update(world, with_alarm(with_batches_back(rolling(2), 1)))
    make_healthy(world)
    world.advance(1)
    ring(world)
    world.advance(1)
    world.advance(61)
    assert describe(world)["EndpointStatus"] == "UpdateRollbackFailed"
    assert fleets(world)[1] >= 3
    assert traffic(world) == {1: 1.0}


def test_a_rollback_that_cannot_be_made_is_told(world: World) -> None:
    up(world)
    update(world, with_alarm(rolling(2)))
    make_healthy(world)
    world.advance(1)
    ring(world)
    world.advance(1)
    world.advance(61)
    assert describe(world)["EndpointStatus"] == "UpdateRollbackFailed"
    make_healthy(world)
    assert fleets(world)[1] == 4


def test_a_new_instance_that_gets_sick_while_it_is_watched_rolls_back(world: World) -> None:
    up(world)
    update(world, blue_green(CANARY))
    make_healthy(world)
    sick = next(one for one in members(world) if one.generation == 2)
    say(world, sick.member_id, Health.UNHEALTHY)
    world.advance(1)
    endpoint = describe(world)
    assert endpoint["EndpointStatus"] == "InService"
    assert "did not pass the ping health check while it was watched" in endpoint["FailureReason"]
    assert fleets(world) == {1: 4}


def test_a_deployment_that_takes_too_long_rolls_back(world: World) -> None:
    up(world)
    update(world, blue_green(CANARY, 3600, MaximumExecutionTimeoutInSeconds=600))
    make_healthy(world)
    world.advance(600)
    world.advance(1)
    assert describe(world)["EndpointStatus"] == "InService"
    assert "longer than MaximumExecutionTimeoutInSeconds" in describe(world)["FailureReason"]


@pytest.mark.parametrize("policy", [blue_green(CANARY), rolling(2)], ids=["canary", "rolling"])
def test_another_engine_goes_on_from_every_phase(world: World, policy: dict[str, Any]) -> None:
    up(world)
    update(world, policy)
    for seconds in (0, 0, 30, 31, 0, 61, 1):
        world = reopened(world)
        make_healthy(world)
        world.advance(seconds)
    assert describe(world)["EndpointStatus"] == "InService", describe(world)
    assert describe(world)["EndpointConfigName"] == "next-4"
    assert fleets(world) == {2: 4}
    assert len({member.member_id for member in members(world)}) == 4


def reopened(world: World) -> World:
    after = world.restarted()
    after.driver.script("*", FOREVER)
    after.router.healths.update(world.router.healths)
    after.settle()
    return after


def test_numbers_and_weights_are_kept_where_that_is_asked_for(world: World) -> None:
    up(world)
    resize(world, count=3, weight=7.0)
    make_healthy(world)
    update(
        world,
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
    )
    make_healthy(world)
    world.advance(1)
    (variant,) = describe(world)["ProductionVariants"]
    assert (variant["DesiredInstanceCount"], variant["DesiredWeight"]) == (3, 1.0)


def test_the_last_deployment_config_is_used_again_where_that_is_asked_for(world: World) -> None:
    up(world)
    update(world, blue_green(CANARY))
    make_healthy(world)
    world.advance(60)
    world.advance(61)
    update(world, RetainDeploymentConfig=True, config="config-4")
    make_healthy(world)
    assert traffic(world) == {2: 0.75, 3: 0.25}


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (blue_green({"Type": "CANARY"}), "of type CANARY requires CanarySize"),
        (blue_green({**CANARY, "Type": "ALL_AT_ONCE"}), "ALL_AT_ONCE does not allow CanarySize"),
        (rolling(3), "MaximumBatchSize must be 5-50% of the total instance count of 4: it is 75%"),
        (
            with_batches_back(rolling(2), 5),
            "RollbackMaximumBatchSize must be 5-100% of the total instance count of 4: it is 125%",
        ),
        ({**blue_green({"Type": "ALL_AT_ONCE"}), **rolling(1)}, "Only one of"),
        (
            blue_green({"Type": "LINEAR", "LinearStepSize": {"Type": "CAPACITY_PERCENT",
                                                             "Value": 5}}),
            "LinearStepSize must be 10-50%",
        ),
    ],
)  # fmt: skip
def test_a_policy_that_the_service_refuses_changes_nothing(
    world: World, policy: dict[str, Any], words: str
) -> None:
    up(world)
    with pytest.raises(ServiceError, match=words):
        update(world, policy)
    assert describe(world)["EndpointStatus"] == "InService"
    assert fleets(world) == {1: 4}


def test_an_endpoint_is_deleted_in_the_middle_of_an_update(world: World) -> None:
    up(world)
    update(world, blue_green(CANARY))
    make_healthy(world)
    world.call("DeleteEndpoint", EndpointName="ep")
    world.advance(1)
    assert world.backends.records.find("endpoint", "ep") is None
    assert world.driver.next_turn_at() is None


# Numbers and weights


def resize(world: World, count: int | None = None, weight: float | None = None) -> None:
    entry = {"VariantName": "AllTraffic", "DesiredInstanceCount": count, "DesiredWeight": weight}
    world.call(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="ep",
        DesiredWeightsAndCapacities=[{k: v for k, v in entry.items() if v is not None}],
    )
    world.settle()


def test_more_instances_are_in_service_when_they_are_healthy(world: World) -> None:
    in_service(world)
    resize(world, count=4)
    endpoint = describe(world)
    (variant,) = endpoint["ProductionVariants"]
    assert endpoint["EndpointStatus"] == "Updating"
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (2, 4)
    assert variant["VariantStatus"][0]["Status"] == "Updating"
    make_healthy(world)
    assert describe(world)["EndpointStatus"] == "InService"
    assert [member.zone[-1] for member in members(world)] == ["a", "b", "c", "a"]


def test_of_fewer_instances_the_oldest_stay_spread_over_zones(world: World) -> None:
    up(world)
    before = members(world)
    resize(world, count=2, weight=3.0)
    world.advance(1)
    assert describe(world)["EndpointStatus"] == "InService"
    assert members(world) == before[:2]
    assert describe(world)["ProductionVariants"][0]["DesiredWeight"] == 3.0


def test_instances_that_never_become_healthy_are_given_up_and_the_rest_serves(
    world: World,
) -> None:
    in_service(world)
    resize(world, count=4)
    world.advance(61)
    world.advance(1)
    endpoint = describe(world)
    assert endpoint["EndpointStatus"] == "InService"
    assert "the earlier number is kept" in endpoint["FailureReason"]
    assert endpoint["ProductionVariants"][0]["DesiredInstanceCount"] == 2
    assert fleets(world) == {1: 2}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"VariantName": "none", "DesiredWeight": 1.0}, 'variant name\\(s\\) "none" is/are not'),
        ({"VariantName": "AllTraffic", "DesiredInstanceCount": 0}, "must be at least 1"),
        ({"VariantName": "AllTraffic", "DesiredInstanceCount": 99}, "service limit"),
        (
            {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"MaxConcurrency": 1}},
            "ServerlessUpdateConfig",
        ),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    world: World, entry: dict[str, Any], words: str
) -> None:
    in_service(world)
    with pytest.raises(ServiceError, match=words):
        world.call(
            "UpdateEndpointWeightsAndCapacities",
            EndpointName="ep",
            DesiredWeightsAndCapacities=[entry],
        )
    assert describe(world)["EndpointStatus"] == "InService"


def test_a_crash_loop_in_service_is_told_and_forgotten_when_it_is_over(world: World) -> None:
    in_service(world)
    for _ in range(3):
        make_healthy(world)
        youngest = max(members(world), key=lambda one: one.started_at)
        say(world, youngest.member_id, Health.UNHEALTHY)
        world.advance(10)
    endpoint = describe(world)
    assert endpoint["EndpointStatus"] == "InService"
    assert "AllTraffic keeps ending: 3 times in a row" in endpoint["FailureReason"]
    make_healthy(world)
    world.advance(61)
    assert "FailureReason" not in describe(world)


def test_what_died_young_does_not_hold_up_more_instances_that_are_asked_for(
    world: World,
) -> None:
    in_service(world)
    for _ in range(4):
        make_healthy(world)
        youngest = max(members(world), key=lambda one: one.started_at)
        say(world, youngest.member_id, Health.UNHEALTHY)
        world.advance(20)
    make_healthy(world)
    resize(world, count=4)
    assert len(members(world)) == 4


def test_a_shadow_has_instances_and_is_shown_beside_the_variant(world: World) -> None:
    create_config(
        world, "shadowed", count=1, shadow={"VariantName": "shadow", "InitialVariantWeight": 0.5}
    )
    create(world, "shadowed")
    make_healthy(world)
    endpoint = describe(world)
    assert endpoint["EndpointStatus"] == "InService"
    assert [one["VariantName"] for one in endpoint["ProductionVariants"]] == ["AllTraffic"]
    assert [one["VariantName"] for one in endpoint["ShadowProductionVariants"]] == ["shadow"]
    routes = {one.variant: one.is_shadow for one in world.router._directions["ep"].routes}
    assert routes == {"AllTraffic": False, "shadow": True}


def test_a_resize_and_what_is_to_be_told_of_it_happen_together_or_not_at_all(world: World) -> None:
    up(world)

    def also() -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        world.backends.endpoints.resize("ep", {"AllTraffic": Resize(count=6)}, also)
    world.settle()
    endpoint = describe(world)
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["ProductionVariants"][0]["DesiredInstanceCount"] == 4
