"""The life of an endpoint, on a fake driver, a clock turned by hand, and health as a test says."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.base import InstanceSpec
from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.fleet import members_of
from intermodal_engine.router.router import Health
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.endpoints import (
    create,
    create_config,
    describe,
    endpoint_world,
    in_service,
    make_healthy,
    member_ids,
    say,
)
from tests.helpers.lifecycle import ROLE, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return endpoint_world(tmp_path)


def started(world: World) -> list[InstanceSpec]:
    return world.driver.started


def test_an_endpoint_is_in_service_only_when_every_instance_is_healthy(world: World) -> None:
    create(world)
    first, second = member_ids(world)
    assert describe(world)["EndpointStatus"] == "Creating"
    say(world, first, Health.HEALTHY)
    assert describe(world)["EndpointStatus"] == "Creating"
    say(world, second, Health.HEALTHY)
    endpoint = describe(world)
    assert endpoint["EndpointStatus"] == "InService"
    (variant,) = endpoint["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (2, 2)
    (image,) = variant["DeployedImages"]
    assert image["SpecifiedImage"] == "img:config-1"
    assert image["ResolvedImage"].startswith("img@sha256:")
    assert image["ResolutionTime"] >= endpoint["CreationTime"]


def test_instances_are_spread_over_zones(world: World) -> None:
    create_config(world, "config-3", count=4)
    create(world, "config-3")
    record = world.backends.records.get("endpoint", "ep")
    zones = [member.zone for member in members_of(record.state)]
    assert zones == ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1a"]


def test_an_instance_gets_its_model_its_environment_and_the_command_serve(world: World) -> None:
    create(world)
    spec = started(world)[0]
    assert spec.command == ("serve",)
    assert spec.environment["A"] == "b"
    assert 1 <= int(spec.environment["SAGEMAKER_NUM_CPUS"]) <= 2  # of an ml.m5.large
    assert spec.ports == (8080,)
    (mount,) = spec.mounts
    assert mount.target == "/opt/ml/model"
    assert (mount.source / "weights.bin").read_text() == "w"
    assert started(world)[1].mounts[0].source == mount.source


def test_an_instance_that_dies_in_service_is_replaced_in_its_zone(world: World) -> None:
    in_service(world)
    world.advance(100)
    record = world.backends.records.get("endpoint", "ep")
    lost = members_of(record.state)[0]
    world.driver.kill(next(iter_instances(world, lost.member_id)))
    world.settle()
    record = world.backends.records.get("endpoint", "ep")
    members = members_of(record.state)
    assert lost.member_id not in {member.member_id for member in members}
    assert sorted(member.zone for member in members) == ["us-east-1a", "us-east-1b"]
    assert describe(world)["EndpointStatus"] == "InService"
    assert describe(world)["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    make_healthy(world)
    assert describe(world)["ProductionVariants"][0]["CurrentInstanceCount"] == 2


def test_an_unhealthy_instance_is_stopped_and_replaced(world: World) -> None:
    in_service(world)
    world.advance(100)
    sick = member_ids(world)[0]
    say(world, sick, Health.UNHEALTHY)
    world.advance(1)
    assert sick not in member_ids(world)
    assert len(member_ids(world)) == 2


def test_replacements_of_an_instance_that_dies_young_come_slower_and_slower(world: World) -> None:
    in_service(world)
    starts = []
    for _ in range(200):
        dying = [one for one in member_ids(world) if one not in starts]
        for member in dying[:1]:
            starts.append(member)
            world.driver.kill(next(iter_instances(world, member)))
            world.settle()
        world.advance(1)
    assert 4 <= len(starts) <= 12


def test_a_model_that_cannot_be_found_fails_the_endpoint_by_its_uri(world: World) -> None:
    create_config(world, "config-x", url="s3://models/absent/model.tar.gz")
    create(world, "config-x")
    endpoint = describe(world)
    assert endpoint["EndpointStatus"] == "Failed"
    assert "s3://models/absent/model.tar.gz" in endpoint["FailureReason"]
    assert started(world) == []


def test_a_corrupt_archive_fails_the_endpoint_and_leaves_nothing(world: World) -> None:
    world.backends.objects.put_bytes("models", "bad.tar.gz", b"this is no archive")
    create_config(world, "config-x", url="s3://models/bad.tar.gz")
    create(world, "config-x")
    endpoint = describe(world)
    assert endpoint["EndpointStatus"] == "Failed"
    assert "s3://models/bad.tar.gz" in endpoint["FailureReason"]
    assert list(world.backends.settings.models_folder.iterdir()) == []


def test_a_container_that_ends_while_it_starts_fails_the_endpoint_with_its_words(
    world: World,
) -> None:
    world.driver.script("endpoint/*", Outcome(exit_code=1, log=((0, "ImportError: no torch"),)))
    create(world)
    endpoint = describe(world)
    assert endpoint["EndpointStatus"] == "Failed"
    assert "ImportError: no torch" in endpoint["FailureReason"]
    assert "/aws/sagemaker/Endpoints/ep" in endpoint["FailureReason"]
    assert member_ids(world) == []


def test_an_instance_killed_while_it_starts_is_replaced(world: World) -> None:
    create(world)
    first = member_ids(world)[0]
    world.driver.kill(next(iter_instances(world, first)))
    world.settle()
    assert first not in member_ids(world)
    make_healthy(world)
    assert describe(world)["EndpointStatus"] == "InService"


def test_an_endpoint_that_never_gets_healthy_fails_in_time_and_stops_its_instances(
    world: World,
) -> None:
    create(world)
    world.advance(59)
    assert describe(world)["EndpointStatus"] == "Creating"
    world.advance(1)
    endpoint = describe(world)
    assert endpoint["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in endpoint["FailureReason"]
    world.advance(1)
    assert member_ids(world) == []


def test_a_variant_may_ask_for_another_patience(world: World) -> None:
    create_config(world, "slow", ContainerStartupHealthCheckTimeoutInSeconds=90)
    create(world, "slow")
    world.advance(89)
    assert describe(world)["EndpointStatus"] == "Creating"
    world.advance(1)
    assert "within 90 s" in describe(world)["FailureReason"]


def test_an_endpoint_of_more_instances_than_allowed_is_refused(world: World) -> None:
    create_config(world, "typo", count=100_000)
    with pytest.raises(ServiceError, match="account-level service limit") as refused:
        create(world, "typo")
    assert refused.value.code == "ResourceLimitExceeded"


def test_an_update_moves_traffic_only_when_the_new_instances_are_healthy(world: World) -> None:
    in_service(world)
    old = member_ids(world)
    create_config(world, "config-2", count=1)
    world.call("UpdateEndpoint", EndpointName="ep", EndpointConfigName="config-2")
    world.settle()
    assert describe(world)["EndpointStatus"] == "Updating"
    assert describe(world)["EndpointConfigName"] == "config-1"
    assert set(old) < set(member_ids(world))
    make_healthy(world)
    world.advance(1)
    endpoint = describe(world)
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == (
        "InService",
        "config-2",
    )
    assert len(member_ids(world)) == 1
    assert not set(old) & set(member_ids(world))


def test_a_bad_update_rolls_back_and_the_old_instances_stay(world: World) -> None:
    in_service(world)
    old = member_ids(world)
    create_config(world, "config-2", url="s3://models/absent.tar.gz")
    world.call("UpdateEndpoint", EndpointName="ep", EndpointConfigName="config-2")
    world.settle()
    endpoint = describe(world)
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["EndpointConfigName"] == "config-1"
    assert "absent.tar.gz" in endpoint["FailureReason"]
    assert member_ids(world) == old


def test_an_endpoint_serves_on_without_its_config_model_and_data(world: World) -> None:
    in_service(world)
    world.call("DeleteEndpointConfig", EndpointConfigName="config-1")
    world.call("DeleteModel", ModelName="model-of-config-1")
    world.backends.objects.delete("models", "m/model.tar.gz")
    world.driver.kill(next(iter_instances(world, member_ids(world)[0])))
    world.advance(5)
    make_healthy(world)
    assert describe(world)["ProductionVariants"][0]["CurrentInstanceCount"] == 2


def test_a_deleted_endpoint_is_gone_when_its_instances_have_ended(world: World) -> None:
    world.driver.script("endpoint/*", Outcome(after_s=None, ignores_sigterm=True))
    in_service(world)
    world.call("DeleteEndpoint", EndpointName="ep")
    world.settle()
    assert describe(world)["EndpointStatus"] == "Deleting"
    with pytest.raises(ServiceError, match="in-progress"):
        world.call("DeleteEndpoint", EndpointName="ep")
    world.advance(30)
    world.advance(1)
    with pytest.raises(ServiceError, match="Could not find endpoint"):
        describe(world)
    assert not (world.backends.settings.instances_folder / "endpoint" / "ep").exists()


def test_a_restarted_engine_adopts_the_instances_and_starts_none(world: World) -> None:
    in_service(world)
    before = member_ids(world)
    second = world.restarted()
    second.settle()
    assert second.driver.started == []
    assert member_ids(second) == before
    make_healthy(second)
    assert describe(second)["ProductionVariants"][0]["CurrentInstanceCount"] == 2


def test_an_update_in_progress_refuses_another(world: World) -> None:
    create(world)
    with pytest.raises(ServiceError, match="Cannot update in-progress endpoint"):
        world.call("UpdateEndpoint", EndpointName="ep", EndpointConfigName="config-1")


@pytest.mark.parametrize(
    ("operation", "parameters", "words"),
    [
        ("DescribeModel", {"ModelName": "x"}, 'Could not find model "arn:aws:sagemaker:'),
        ("DeleteModel", {"ModelName": "x"}, "Could not find model"),
        ("DescribeEndpointConfig", {"EndpointConfigName": "x"}, "Could not find endpoint config"),
        (
            "CreateEndpoint",
            {"EndpointName": "e", "EndpointConfigName": "x"},
            "Could not find endpoint configuration",
        ),
        ("CreateModel", {"ModelName": "m", "ExecutionRoleArn": ROLE}, "exactly one of"),
    ],
)
def test_errors_are_in_the_services_words(
    world: World, operation: str, parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError, match=words) as refused:
        world.call(operation, **parameters)
    assert refused.value.code == "ValidationException"


def test_models_configs_and_endpoints_are_listed(world: World) -> None:
    create(world)
    assert [one["ModelName"] for one in world.call("ListModels")["Models"]] == ["model-of-config-1"]
    assert len(world.call("ListEndpointConfigs")["EndpointConfigs"]) == 1
    (endpoint,) = world.call("ListEndpoints", StatusEquals="Creating")["Endpoints"]
    assert endpoint["EndpointName"] == "ep"


def iter_instances(world: World, member: str) -> Any:
    """The running instances of a member."""
    from intermodal_engine.drivers.base import Instance

    for spec in world.driver.started:
        if f"/{member}/" in spec.instance_id:
            yield Instance(spec.instance_id, spec.folder)
