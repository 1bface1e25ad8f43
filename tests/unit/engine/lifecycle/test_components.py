"""Inference components: placed, kept, changed, scaled, and gone without a trace."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.base import InstanceSpec
from intermodal_engine.lifecycle.faults import FaultKind
from intermodal_engine.lifecycle.fleet import Member, members_of
from intermodal_engine.router.instance import target_of
from intermodal_engine.router.router import ComponentRequiredError, Health, NoCapacityError
from intermodal_engine.store.statistic_sets import SetSeries, StatisticSet
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.endpoints import create as create_endpoint
from tests.helpers.endpoints import (
    create_bare_config,
    create_config,
    describe,
    endpoint_world,
)
from tests.helpers.lifecycle import World

# Of the 8 cores and 32 GiB of an ml.m5.2xlarge.
TWO_FIT = {"NumberOfCpuCoresRequired": 4.0, "MinMemoryRequiredInMb": 1024}
MANAGED = {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 3}
IMAGE = "component:1"


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = endpoint_world(tmp_path)
    create_bare_config(world, "places", 2)
    create_endpoint(world, "places")
    assert describe(world)["EndpointStatus"] == "InService"
    return world


def specified(needs: dict[str, Any] = TWO_FIT, image: str = IMAGE) -> dict[str, Any]:
    container = {"Image": image, "ArtifactUrl": "s3://models/m/model.tar.gz"}
    return {"Container": container, "ComputeResourceRequirements": needs}


def create(world: World, name: str = "one", copies: int = 1, **specification: Any) -> None:
    world.call(
        "CreateInferenceComponent",
        InferenceComponentName=name,
        EndpointName="ep",
        VariantName="AllTraffic",
        Specification=specified() | specification,
        RuntimeConfig={"CopyCount": copies},
    )
    world.settle()


def copies(world: World, name: str = "one") -> list[Member]:
    return members_of(world.backends.records.get("inference-component", name).state)


def shown(world: World, name: str = "one") -> dict[str, Any]:
    return world.call("DescribeInferenceComponent", InferenceComponentName=name)


def status(world: World, name: str = "one") -> str:
    found: str = shown(world, name)["InferenceComponentStatus"]
    return found


def counts(world: World, name: str = "one") -> tuple[int, int]:
    runtime = shown(world, name)["RuntimeConfig"]
    return runtime["CurrentCopyCount"], runtime["DesiredCopyCount"]


def make_healthy(world: World) -> None:
    for record in world.backends.records.all("inference-component"):
        for member in members_of(record.state):
            if world.router.health(member.member_id) is Health.STARTING:
                world.router.healths[member.member_id] = Health.HEALTHY
                world.backends.components.on_health(record.name, member.member_id, Health.HEALTHY)
                world.settle()


def serve(world: World, name: str = "one", count: int = 1, **specification: Any) -> None:
    create(world, name, count, **specification)
    make_healthy(world)
    assert status(world, name) == "InService"


def resize(world: World, count: int, name: str = "one") -> None:
    world.call(
        "UpdateInferenceComponentRuntimeConfig",
        InferenceComponentName=name,
        DesiredRuntimeConfig={"CopyCount": count},
    )
    world.settle()


def images(world: World) -> list[str]:
    return sorted(spec.image for spec in running(world))


def running(world: World) -> list[InstanceSpec]:
    alive = {run.instance.instance_id for run in world.driver._running()}
    return [spec for spec in world.driver.started if spec.instance_id in alive]


def refusal(world: World, name: str = "") -> type[Exception] | None:
    return world.router._directions[target_of("ep", name)].refusal


def instances(world: World) -> int:
    found: int = describe(world)["ProductionVariants"][0]["DesiredInstanceCount"]
    return found


def test_instances_of_an_endpoint_for_components_are_there_at_once_and_run_nothing(
    world: World,
) -> None:
    (variant,) = describe(world)["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (2, 2)
    assert "DeployedImages" not in variant
    assert running(world) == []
    assert refusal(world) is ComponentRequiredError


def test_copies_are_spread_over_instances_and_serve_when_they_are_healthy(world: World) -> None:
    create(world, copies=3)
    assert status(world) == "Creating"
    assert counts(world) == (0, 3)
    make_healthy(world)
    assert (status(world), counts(world)) == ("InService", (3, 3))
    hosts = [one.host for one in copies(world)]
    assert sorted(hosts.count(host) for host in set(hosts)) == [1, 2]
    assert refusal(world, "one") is None
    answer = shown(world)
    assert answer["Specification"]["Container"]["DeployedImage"]["SpecifiedImage"] == IMAGE
    assert answer["EndpointName"] == "ep"


def test_a_copy_may_use_what_it_asked_for(world: World) -> None:
    needs = {
        "NumberOfCpuCoresRequired": 0.5,
        "MinMemoryRequiredInMb": 256,
        "MaxMemoryRequiredInMb": 512,
    }
    create(world, ComputeResourceRequirements=needs)
    (spec,) = running(world)
    assert (spec.cpus, spec.memory_bytes) == (0.5, 512 << 20)


def test_a_component_has_the_container_and_the_role_of_a_model(world: World) -> None:
    create_config(world, "other")
    world.call(
        "CreateInferenceComponent",
        InferenceComponentName="one",
        EndpointName="ep",
        Specification={
            "ModelName": "model-of-other",
            "ComputeResourceRequirements": TWO_FIT,
        },
    )
    world.settle()
    (spec,) = running(world)
    assert (spec.image, spec.environment["A"]) == ("img:other", "b")
    assert shown(world)["Specification"]["ModelName"] == "model-of-other"


def test_without_room_a_component_fails_and_others_are_left_alone(world: World) -> None:
    serve(world, count=4)
    create(world, "two")
    assert status(world, "two") == "Failed"
    assert "not enough hardware resources" in shown(world, "two")["FailureReason"]
    assert counts(world) == (4, 4)
    world.call("DeleteInferenceComponent", InferenceComponentName="two")
    world.settle()
    assert world.call("ListInferenceComponents")["InferenceComponents"][0][
        "InferenceComponentName"
    ] == ("one")


def test_a_dead_copy_is_replaced_on_an_instance_with_room(world: World) -> None:
    serve(world, count=4)
    victim = copies(world)[0]
    (run,) = [
        one for one in world.driver._running() if victim.member_id in one.instance.instance_id
    ]
    world.driver.kill(run.instance)
    world.advance(61)
    make_healthy(world)
    assert victim.member_id not in [one.member_id for one in copies(world)]
    assert counts(world) == (4, 4)
    assert sorted(one.host for one in copies(world)).count(victim.host) == 2


def test_the_number_of_copies_goes_up_and_down_to_none_and_back(world: World) -> None:
    serve(world)
    resize(world, 4)
    assert status(world) == "Updating"
    make_healthy(world)
    assert (status(world), counts(world)) == ("InService", (4, 4))
    resize(world, 1)
    world.advance(1)
    assert (status(world), counts(world)) == ("InService", (1, 1))
    resize(world, 0)
    world.advance(1)
    assert (status(world), counts(world)) == ("InService", (0, 0))
    assert running(world) == []
    assert refusal(world, "one") is NoCapacityError
    resize(world, 2)
    make_healthy(world)
    assert (status(world), counts(world)) == ("InService", (2, 2))
    assert refusal(world, "one") is None


def test_more_copies_than_there_is_room_for_keep_the_earlier_number_and_say_why(
    world: World,
) -> None:
    serve(world, count=2)
    resize(world, 5)
    world.advance(1)
    world.advance(1)
    answer = shown(world)
    assert answer["InferenceComponentStatus"] == "InService"
    assert "not enough hardware resources" in answer["FailureReason"]
    assert counts(world) == (2, 2)


def test_another_image_comes_one_copy_after_the_other(world: World) -> None:
    serve(world, count=3)
    world.call(
        "UpdateInferenceComponent",
        InferenceComponentName="one",
        Specification=specified(image="component:2"),
    )
    world.settle()
    seen = [images(world)]
    for _ in range(6):
        make_healthy(world)
        world.advance(1)
        seen.append(images(world))
    assert seen[0] == [IMAGE] * 3 + ["component:2"]
    assert all(len(one) <= 4 for one in seen)
    assert all(len(one) >= 3 for one in seen)
    assert seen[-1] == ["component:2"] * 3
    assert status(world) == "InService"
    container = shown(world)["Specification"]["Container"]
    assert container["DeployedImage"]["SpecifiedImage"] == "component:2"


def test_an_update_that_has_no_room_leaves_what_there_is(world: World) -> None:
    serve(world, count=4)
    world.call(
        "UpdateInferenceComponent",
        InferenceComponentName="one",
        Specification=specified(image="component:2"),
    )
    for _ in range(3):
        world.settle()
        world.advance(1)
    answer = shown(world)
    assert answer["InferenceComponentStatus"] == "InService"
    assert "not enough hardware resources" in answer["FailureReason"]
    assert answer["Specification"]["Container"]["DeployedImage"]["SpecifiedImage"] == IMAGE
    assert images(world) == [IMAGE] * 4


def test_an_update_by_a_policy_is_watched_and_remembered(world: World) -> None:
    serve(world, count=2)
    policy = {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": "COPY_COUNT", "Value": 1},
            "WaitIntervalInSeconds": 60,
        }
    }
    world.call(
        "UpdateInferenceComponent",
        InferenceComponentName="one",
        Specification=specified(image="component:2"),
        DeploymentConfig=policy,
    )
    world.settle()
    make_healthy(world)
    world.advance(1)
    assert images(world) == [IMAGE, "component:2"]
    world.advance(60)
    make_healthy(world)
    world.advance(61)
    world.advance(1)
    assert images(world) == ["component:2"] * 2
    assert status(world) == "InService"
    assert shown(world)["LastDeploymentConfig"] == policy


def test_an_engine_that_dies_finds_its_copies_and_goes_on(world: World) -> None:
    serve(world, count=2)
    create(world, "two")
    before = [one.member_id for one in copies(world)]
    world = world.restarted()
    assert refusal(world) is ComponentRequiredError
    make_healthy(world)
    assert [one.member_id for one in copies(world)] == before
    assert (status(world), status(world, "two")) == ("InService", "InService")


def test_an_endpoint_with_components_is_not_deleted(world: World) -> None:
    serve(world)
    with pytest.raises(ServiceError, match="Delete these first: one"):
        world.call("DeleteEndpoint", EndpointName="ep")
    world.call("DeleteInferenceComponent", InferenceComponentName="one")
    world.settle()
    assert running(world) == []
    world.call("DeleteEndpoint", EndpointName="ep")
    world.settle()
    with pytest.raises(ServiceError, match="Could not find endpoint"):
        describe(world)


def test_copies_move_to_the_instances_of_the_next_configuration_before_they_go(
    world: World,
) -> None:
    serve(world, count=2)
    create_bare_config(world, "larger", 1, InstanceType="ml.m5.4xlarge")
    before = {one.member_id for one in copies(world)}
    world.call("UpdateEndpoint", EndpointName="ep", EndpointConfigName="larger")
    world.settle()
    assert describe(world)["EndpointStatus"] == "InService"
    assert before < {one.member_id for one in copies(world)}
    make_healthy(world)
    world.advance(1)
    there = copies(world)
    assert len(there) == 2
    assert before.isdisjoint(one.member_id for one in there)
    assert len({one.host for one in there}) == 1


def test_a_configuration_without_a_place_for_a_component_is_refused(world: World) -> None:
    serve(world)
    create_config(world, "plain")
    with pytest.raises(ServiceError, match="no place for it"):
        world.call("UpdateEndpoint", EndpointName="ep", EndpointConfigName="plain")


def test_instances_that_are_taken_away_are_those_with_the_fewest_copies(world: World) -> None:
    serve(world, ComputeResourceRequirements=TWO_FIT | {"NumberOfCpuCoresRequired": 8.0})
    (copy,) = copies(world)
    world.call(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="ep",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}],
    )
    world.settle()
    world.advance(1)
    (left,) = members_of(world.backends.records.get("endpoint", "ep").state)
    assert left.member_id == copy.host
    assert copies(world) == [copy]


def test_instances_without_copies_go_and_none_comes_for_them(world: World) -> None:
    needs = TWO_FIT | {"NumberOfCpuCoresRequired": 8.0}
    serve(world, "one", ComputeResourceRequirements=needs)
    serve(world, "two", ComputeResourceRequirements=needs)
    world.call("DeleteInferenceComponent", InferenceComponentName="one")
    world.settle()
    (copy,) = copies(world, "two")
    world.call(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="ep",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}],
    )
    for _ in range(3):
        world.settle()
        world.advance(1)
    (left,) = members_of(world.backends.records.get("endpoint", "ep").state)
    assert left.member_id == copy.host
    assert copies(world, "two") == [copy]
    assert describe(world)["EndpointStatus"] == "InService"


# Instances that follow their copies


@pytest.fixture
def managed(tmp_path: Path) -> World:
    world = endpoint_world(tmp_path)
    create_bare_config(world, "follows", 1, ManagedInstanceScaling=MANAGED)
    create_endpoint(world, "follows")
    return world


def test_instances_come_for_copies_and_go_with_them(managed: World) -> None:
    serve(managed, count=2)
    assert instances(managed) == 1
    resize(managed, 5)
    managed.advance(1)
    managed.advance(1)
    assert instances(managed) == 3
    make_healthy(managed)
    managed.advance(1)
    assert (status(managed), counts(managed)) == ("InService", (5, 5))
    resize(managed, 0)
    managed.advance(1)
    assert instances(managed) == 3
    managed.advance(60)
    managed.advance(1)
    assert instances(managed) == 0
    assert describe(managed)["EndpointStatus"] == "InService"
    resize(managed, 1)
    managed.advance(1)
    managed.advance(1)
    make_healthy(managed)
    assert (instances(managed), counts(managed)) == (1, (1, 1))


def test_more_instances_than_may_be_are_no_room(managed: World) -> None:
    serve(managed)
    resize(managed, 7)
    for _ in range(4):
        managed.advance(1)
        make_healthy(managed)
    answer = shown(managed)
    assert answer["InferenceComponentStatus"] == "InService"
    assert "not enough hardware resources" in answer["FailureReason"]
    assert counts(managed) == (1, 1)


def test_a_variant_whose_instances_follow_cannot_be_scaled_itself(managed: World) -> None:
    with pytest.raises(ServiceError, match="follow its inference components"):
        managed.call(
            "RegisterScalableTarget",
            "application-autoscaling",
            ServiceNamespace="sagemaker",
            ResourceId="endpoint/ep/variant/AllTraffic",
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
            MinCapacity=0,
            MaxCapacity=2,
        )


# Scaling by traffic


COPIES = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "inference-component/one",
    "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
}


def scaling(world: World, operation: str, **parameters: Any) -> dict[str, Any]:
    answer = world.call(operation, "application-autoscaling", **COPIES, **parameters)
    world.settle()
    return answer


def tell(world: World, metric: str, value: float) -> None:
    """A value of a component's metric, each ten seconds for a minute."""
    series = SetSeries("AWS/SageMaker", metric, {"InferenceComponentName": "one"}, "None")
    for _ in range(6):
        one = StatisticSet(1, value, value, value)
        world.backends.statistic_sets.add([(series, int(world.clock.now()), one)])
        world.advance(10)
        make_healthy(world)


def test_copies_follow_their_traffic_down_to_none(world: World) -> None:
    serve(world)
    scaling(world, "RegisterScalableTarget", MinCapacity=0, MaxCapacity=4)
    config = {
        "TargetValue": 60.0,
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "SageMakerInferenceComponentInvocationsPerCopy"
        },
        "ScaleOutCooldown": 0,
        "ScaleInCooldown": 0,
    }
    scaling(
        world,
        "PutScalingPolicy",
        PolicyName="track",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=config,
    )
    for _ in range(4):
        tell(world, "InvocationsPerCopy", 30.0)
    assert counts(world)[1] > 1
    for _ in range(40):
        tell(world, "InvocationsPerCopy", 0.0)
    assert counts(world) == (0, 0)
    (newest, *_) = scaling(world, "DescribeScalingActivities")["ScalingActivities"]
    assert newest["Description"] == "Setting desired copy count to 0."


def test_a_call_that_finds_no_copy_brings_one_by_an_alarm_of_ones_own(world: World) -> None:
    serve(world, count=0)
    scaling(world, "RegisterScalableTarget", MinCapacity=0, MaxCapacity=4)
    policy = scaling(
        world,
        "PutScalingPolicy",
        PolicyName="from-zero",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Maximum",
            "Cooldown": 60,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    )["PolicyARN"]
    world.call(
        "PutMetricAlarm",
        "cloudwatch",
        AlarmName="nobody",
        AlarmActions=[policy],
        MetricName="NoCapacityInvocationFailures",
        Namespace="AWS/SageMaker",
        Statistic="Maximum",
        Dimensions=[{"Name": "InferenceComponentName", "Value": "one"}],
        Period=30,
        EvaluationPeriods=1,
        DatapointsToAlarm=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="missing",
    )
    world.settle()
    tell(world, "NoCapacityInvocationFailures", 1.0)
    assert counts(world) == (1, 1)


# Refusals


@pytest.mark.parametrize(
    ("specification", "says"),
    [
        ({"ComputeResourceRequirements": TWO_FIT}, "exactly one of `ModelName` and `Container`"),
        ({**specified(), "ModelName": "m"}, "exactly one of `ModelName` and `Container`"),
        ({**specified(), "BaseInferenceComponentName": "b"}, "`BaseInferenceComponentName`"),
        ({"Container": {"Image": IMAGE}}, "`ComputeResourceRequirements`"),
        (specified({"MinMemoryRequiredInMb": 128}), "`NumberOfCpuCoresRequired` or"),
        (specified({**TWO_FIT, "MaxMemoryRequiredInMb": 512}), "must not be less than"),
        ({"ModelName": "nope", "ComputeResourceRequirements": TWO_FIT}, "Could not find model"),
    ],
)
def test_what_a_component_cannot_be_is_named(
    world: World, specification: dict[str, Any], says: str
) -> None:
    with pytest.raises(ServiceError, match=says):
        world.call(
            "CreateInferenceComponent",
            InferenceComponentName="one",
            EndpointName="ep",
            Specification=specification,
        )


def test_a_component_needs_an_endpoint_in_service_with_a_variant_for_it(world: World) -> None:
    def create_on(endpoint: str, variant: str) -> None:
        world.call(
            "CreateInferenceComponent",
            InferenceComponentName="one",
            EndpointName=endpoint,
            VariantName=variant,
            Specification=specified(),
        )

    with pytest.raises(ServiceError, match="Could not find endpoint"):
        create_on("nope", "AllTraffic")
    with pytest.raises(ServiceError, match="no production variant Other"):
        create_on("ep", "Other")
    world.call("CreateEndpoint", EndpointName="plain", EndpointConfigName="config-1")
    with pytest.raises(ServiceError, match="status Creating"):
        create_on("plain", "AllTraffic")


@pytest.mark.parametrize(
    ("variants", "more", "says"),
    [
        ([{}], {}, "ExecutionRoleArn must be given"),
        ([{}, {"VariantName": "b", "ModelName": "model-of-config-1"}], {}, "or none has"),
        (
            [{"ManagedInstanceScaling": {**MANAGED, "MinInstanceCount": 4}}],
            {"ExecutionRoleArn": "arn:aws:iam::123456789012:role/r"},
            "must not be greater",
        ),
        (
            [{"ModelName": "model-of-config-1", "ManagedInstanceScaling": MANAGED}],
            {},
            "for variants without ModelName",
        ),
        (
            [{}],
            {
                "ExecutionRoleArn": "arn:aws:iam::123456789012:role/r",
                "DataCaptureConfig": {
                    "InitialSamplingPercentage": 100,
                    "DestinationS3Uri": "s3://kept/captures",
                    "CaptureOptions": [{"CaptureMode": "Input"}],
                },
            },
            "`DataCaptureConfig` with inference components",
        ),
    ],
)
def test_what_a_configuration_for_components_cannot_be_is_named(
    world: World, variants: list[dict[str, Any]], more: dict[str, Any], says: str
) -> None:
    usual = {"VariantName": "a", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    with pytest.raises(ServiceError, match=says):
        world.call(
            "CreateEndpointConfig",
            EndpointConfigName="c",
            ProductionVariants=[{**usual, **variant} for variant in variants],
            **more,
        )


def test_a_busy_component_is_not_changed_and_an_unknown_one_is_named(world: World) -> None:
    create(world)
    with pytest.raises(ServiceError, match="in status Creating"):
        resize(world, 2)
    with pytest.raises(ServiceError, match="Could not find inference component"):
        shown(world, "nope")


def test_more_copies_than_the_machine_is_to_carry_are_refused(world: World) -> None:
    with pytest.raises(ServiceError, match="--max-endpoint-instances"):
        create(world, copies=1000)
    serve(world)
    with pytest.raises(ServiceError, match="ResourceLimitExceeded"):
        resize(world, 1000)


def test_components_are_listed_by_endpoint_and_variant(world: World) -> None:
    serve(world)
    for filters, count in (
        ({"EndpointNameEquals": "ep"}, 1),
        ({"EndpointNameEquals": "other"}, 0),
        ({"VariantNameEquals": "AllTraffic", "StatusEquals": "InService"}, 1),
    ):
        found = world.call("ListInferenceComponents", **filters)["InferenceComponents"]
        assert len(found) == count, filters


def test_copies_in_a_zone_that_is_lost_come_up_on_instances_elsewhere(world: World) -> None:
    serve(world, count=2)
    assert sorted(one.zone[-1] for one in copies(world)) == ["a", "b"]
    world.backends.faults.begin(FaultKind.ZONE, {"zone": "us-east-1a"}, 60)
    world.settle()
    world.advance(2)
    make_healthy(world)
    assert sorted(one.zone[-1] for one in copies(world)) == ["b", "c"]
    assert len(running(world)) == 2
    world.advance(61)
    assert sorted(one.zone[-1] for one in copies(world)) == ["b", "c"]
    assert status(world) == "InService"
