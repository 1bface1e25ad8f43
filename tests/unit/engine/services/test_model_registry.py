"""The model registry: groups, versions, approval, and models made of packages."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.services.sagemaker.models import container_of
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.lifecycle import ROLE, World, make_world

URL = "s3://models/m/model.tar.gz"
POLICY = '{"Version": "2012-10-17", "Statement": []}'


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = make_world(tmp_path / "home")
    world.backends.objects.create_bucket("models")
    world.backends.objects.put_bytes("models", "m/model.tar.gz", b"weights")
    world.call("CreateModelPackageGroup", ModelPackageGroupName="Digits")
    return world


def specification(*images: str, **more: Any) -> dict[str, Any]:
    containers = [
        {"Image": image, "ModelDataUrl": URL, "Environment": {"A": "package", "B": "package"}}
        for image in images or ("img:1",)
    ]
    return {"Containers": containers, **more}


def register(world: World, **changes: Any) -> str:
    """The ARN of one more version."""
    request = {"ModelPackageGroupName": "Digits", "InferenceSpecification": specification()}
    package_arn: str = world.call("CreateModelPackage", **request | changes)["ModelPackageArn"]
    return package_arn


def describe(world: World, name: str) -> dict[str, Any]:
    return world.call("DescribeModelPackage", ModelPackageName=name)


def deploy(world: World, package: str, **container: Any) -> dict[str, Any]:
    """The container that a model of a package has."""
    primary = {"ModelPackageName": package, **container}
    world.call("CreateModel", ModelName="m", PrimaryContainer=primary, ExecutionRoleArn=ROLE)
    record = world.backends.records.get("model", "m")
    return container_of(record)


def versions(world: World, **filters: Any) -> list[int]:
    found = world.call("ListModelPackages", ModelPackageGroupName="Digits", **filters)
    return [one["ModelPackageVersion"] for one in found["ModelPackageSummaryList"]]


# Groups


def test_a_group_is_described_listed_and_deleted(world: World) -> None:
    world.call(
        "CreateModelPackageGroup", ModelPackageGroupName="x", ModelPackageGroupDescription="d"
    )
    group = world.call("DescribeModelPackageGroup", ModelPackageGroupName="x")
    assert group["ModelPackageGroupStatus"] == "Completed"
    assert group["ModelPackageGroupDescription"] == "d"
    assert group["CreatedBy"]["IamIdentity"]["Arn"].startswith("arn:aws:sts::")
    by_arn = world.call(
        "DescribeModelPackageGroup", ModelPackageGroupName=group["ModelPackageGroupArn"]
    )
    assert by_arn == group
    names = [
        one["ModelPackageGroupName"]
        for one in world.call("ListModelPackageGroups", SortBy="Name", SortOrder="Ascending")[
            "ModelPackageGroupSummaryList"
        ]
    ]
    assert names == ["Digits", "x"]
    world.call("DeleteModelPackageGroup", ModelPackageGroupName="x")
    with pytest.raises(ServiceError, match=r"Model Package Group .*/x does not exist"):
        world.call("DescribeModelPackageGroup", ModelPackageGroupName="x")


def test_a_group_that_has_versions_is_not_deleted(world: World) -> None:
    package = register(world)
    with pytest.raises(ServiceError, match="still contains Model Packages") as caught:
        world.call("DeleteModelPackageGroup", ModelPackageGroupName="Digits")
    assert caught.value.code == "ConflictException"
    world.call("DeleteModelPackage", ModelPackageName=package)
    world.call("DeleteModelPackageGroup", ModelPackageGroupName="Digits")


def test_a_groups_policy_is_kept_and_dropped(world: World) -> None:
    here = {"ModelPackageGroupName": "Digits"}
    with pytest.raises(ServiceError, match="has no resource policy"):
        world.call("GetModelPackageGroupPolicy", **here)
    with pytest.raises(ServiceError, match="not a JSON document"):
        world.call("PutModelPackageGroupPolicy", **here, ResourcePolicy="[no")
    world.call("PutModelPackageGroupPolicy", **here, ResourcePolicy=POLICY)
    assert world.call("GetModelPackageGroupPolicy", **here)["ResourcePolicy"] == POLICY
    world.call("DeleteModelPackageGroupPolicy", **here)
    with pytest.raises(ServiceError, match="has no resource policy"):
        world.call("DeleteModelPackageGroupPolicy", **here)


# Packages


def test_versions_are_counted_by_group_and_no_number_is_given_twice(world: World) -> None:
    first, second = register(world), register(world)
    assert first.endswith(":model-package/digits/1")
    assert second.endswith(":model-package/digits/2")
    world.call("DeleteModelPackage", ModelPackageName=second)
    assert register(world).endswith("/3")
    assert versions(world, SortOrder="Ascending") == [1, 3]
    again = world.restarted()
    assert register(again).endswith("/4")


def test_a_version_is_described_as_it_was_registered(world: World) -> None:
    metrics = {"ModelQuality": {"Statistics": {"ContentType": "a/b", "S3Uri": "s3://x/y"}}}
    given: dict[str, Any] = {
        "ModelPackageDescription": "d",
        "ModelMetrics": metrics,
        "MetadataProperties": {"CommitId": "abc"},
        "CustomerMetadataProperties": {"k": "v"},
        "Domain": "MACHINE_LEARNING",
        "Task": "CLASSIFICATION",
        "SkipModelValidation": "None",
    }
    package = register(world, **given, Tags=[{"Key": "team", "Value": "x"}])
    found = describe(world, "Digits/1")
    assert found == describe(world, package)
    assert found.items() >= given.items()
    assert (found["ModelPackageGroupName"], found["ModelPackageVersion"]) == ("Digits", 1)
    assert found["ModelApprovalStatus"] == "PendingManualApproval"
    assert found["ModelPackageStatus"] == "Completed"
    (container,) = found["InferenceSpecification"]["Containers"]
    assert container["ModelDataETag"]
    tags = world.call("ListTags", ResourceArn=package)["Tags"]
    assert tags == [{"Key": "team", "Value": "x"}]


def test_a_request_that_is_repeated_makes_one_version(world: World) -> None:
    token = "a" * 36
    assert register(world, ClientToken=token) == register(world, ClientToken=token)
    assert versions(world) == [1]


def test_a_package_without_versions_has_a_name_of_its_own(world: World) -> None:
    types: dict[str, Any] = {
        "SupportedTransformInstanceTypes": ["ml.m5.large"],
        "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"],
    }
    given: dict[str, Any] = {
        "ModelPackageName": "alone",
        "InferenceSpecification": specification(**types),
    }
    world.call("CreateModelPackage", **given)
    found = describe(world, "alone")
    assert found["ModelPackageName"] == "alone"
    assert "ModelApprovalStatus" not in found
    with pytest.raises(ServiceError, match="already exists"):
        world.call("CreateModelPackage", **given)
    register(world)
    listed = world.call("ListModelPackages")["ModelPackageSummaryList"]
    assert [one["ModelPackageName"] for one in listed] == ["alone"]
    both = world.call("ListModelPackages", ModelPackageType="Both")["ModelPackageSummaryList"]
    assert len(both) == 2
    assert deploy(world, "alone")["Image"] == "img:1"
    with pytest.raises(ServiceError, match="has no versions"):
        world.call(
            "UpdateModelPackage",
            ModelPackageArn=found["ModelPackageArn"],
            ModelApprovalStatus="Approved",
        )


def test_versions_are_listed_by_approval(world: World) -> None:
    register(world)
    register(world, ModelApprovalStatus="Approved")
    assert versions(world) == [2, 1]
    assert versions(world, ModelApprovalStatus="Approved") == [2]
    assert versions(world, ModelApprovalStatus="Rejected") == []


def test_an_update_changes_what_it_names(world: World) -> None:
    package = register(world, CustomerMetadataProperties={"a": "1", "b": "2"})
    world.call(
        "UpdateModelPackage",
        ModelPackageArn=package,
        ModelApprovalStatus="Rejected",
        ApprovalDescription="too old",
        CustomerMetadataProperties={"c": "3"},
        CustomerMetadataPropertiesToRemove=["a"],
        AdditionalInferenceSpecificationsToAdd=[{"Name": "gpu", **specification("img:gpu")}],
        SourceUri="s3://models/source",
    )
    found = describe(world, package)
    assert (found["ModelApprovalStatus"], found["ApprovalDescription"]) == ("Rejected", "too old")
    assert found["CustomerMetadataProperties"] == {"b": "2", "c": "3"}
    assert found["AdditionalInferenceSpecifications"][0]["Name"] == "gpu"
    assert found["LastModifiedTime"] >= found["CreationTime"]
    with pytest.raises(ServiceError, match="must be unique: gpu, gpu"):
        world.call(
            "UpdateModelPackage",
            ModelPackageArn=package,
            AdditionalInferenceSpecificationsToAdd=[{"Name": "gpu", **specification()}],
        )


def test_several_versions_are_described_at_once_and_missing_ones_named(world: World) -> None:
    package = register(world)
    missing = package.replace("/1", "/9")
    found = world.call("BatchDescribeModelPackage", ModelPackageArnList=[package, missing])
    assert list(found["ModelPackageSummaries"]) == [package]
    summary = found["ModelPackageSummaries"][package]
    assert summary["InferenceSpecification"]["Containers"][0]["Image"] == "img:1"
    assert "does not exist" in found["BatchDescribeModelPackageErrorMap"][missing]["ErrorResponse"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ModelPackageName": "x"}, "exactly one of ModelPackageName and ModelPackageGroupName"),
        ({"ModelPackageGroupName": "none"}, "Group .*/none does not exist"),
        ({"InferenceSpecification": {"Containers": [{"ModelDataUrl": URL}]}}, "Image is required"),
        ({"CertifyForMarketplace": True}, "CertifyForMarketplace"),
        (
            {"SourceAlgorithmSpecification": {"SourceAlgorithms": [{"AlgorithmName": "a"}]}},
            "SourceAlgorithmSpecification",
        ),
        (
            {
                "InferenceSpecification": {
                    "Containers": [{"Image": "i", "ModelDataUrl": "https://x/y"}]
                }
            },
            "Could not use model data",
        ),
    ],
)
def test_what_cannot_be_registered_is_refused(
    world: World, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError, match=words):
        register(world, **changes)
    assert versions(world) == []


# Models of packages


@pytest.mark.parametrize("status", ["PendingManualApproval", "Rejected"])
def test_a_version_that_is_not_approved_is_not_deployed(world: World, status: str) -> None:
    register(world, ModelApprovalStatus=status)
    with pytest.raises(ServiceError, match=f"ModelApprovalStatus is {status} and must be Approved"):
        deploy(world, "Digits/1")


def test_a_model_has_the_container_of_its_package_and_its_own_variables(world: World) -> None:
    package = register(world, ModelApprovalStatus="Approved")
    container = deploy(world, package, Environment={"B": "model"})
    assert container == {
        "Image": "img:1",
        "ModelDataUrl": URL,
        "Environment": {"A": "package", "B": "model"},
    }
    shown = world.call("DescribeModel", ModelName="m")["PrimaryContainer"]
    assert shown == {"ModelPackageName": package, "Environment": {"B": "model"}}


def test_a_model_outlives_its_package(world: World) -> None:
    package = register(world, ModelApprovalStatus="Approved")
    deploy(world, package)
    world.call("DeleteModelPackage", ModelPackageName=package)
    assert container_of(world.backends.records.get("model", "m"))["Image"] == "img:1"


def test_another_specification_of_the_package_is_chosen_by_its_name(world: World) -> None:
    package = register(
        world,
        ModelApprovalStatus="Approved",
        AdditionalInferenceSpecifications=[{"Name": "gpu", **specification("img:gpu")}],
    )
    with pytest.raises(ServiceError, match="no inference specification named cpu"):
        deploy(world, package, InferenceSpecificationName="cpu")
    assert deploy(world, package, InferenceSpecificationName="gpu")["Image"] == "img:gpu"


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({"ModelPackageName": "Digits/9"}, "ModelPackage .*/digits/9 does not exist"),
        ({"ModelPackageName": "Digits/1", "Image": "i"}, "Image cannot be given with"),
        ({}, "needs `Image` or `ModelPackageName`"),
    ],
)
def test_a_model_of_nothing_is_refused(world: World, container: dict[str, Any], words: str) -> None:
    register(world, ModelApprovalStatus="Approved")
    with pytest.raises(ServiceError, match=words):
        world.call("CreateModel", ModelName="m", PrimaryContainer=container)


# Search


def found(world: World, resource: str, **expression: Any) -> list[dict[str, Any]]:
    results = world.call("Search", Resource=resource, SearchExpression=expression)["Results"]
    return [one[resource] for one in results]


def where(name: str, value: str = "", operator: str = "Equals") -> dict[str, str]:
    return {"Name": name, "Operator": operator, **({"Value": value} if value else {})}


def test_groups_and_versions_are_found_by_what_describes_them(world: World) -> None:
    register(world, Tags=[{"Key": "team", "Value": "x"}])
    register(world, ModelApprovalStatus="Approved")
    (group,) = found(world, "ModelPackageGroup", Filters=[where("ModelPackageGroupName", "Digits")])
    assert group["ModelPackageGroupName"] == "Digits"

    def numbers(*filters: dict[str, str], **more: Any) -> list[int]:
        named = {"Filters": list(filters)} if filters else {}
        packages = found(world, "ModelPackage", **named, **more)
        return [one["ModelPackageVersion"] for one in packages]

    assert numbers(where("ModelApprovalStatus", "Approved")) == [2]
    assert numbers(where("Tags.team", "x")) == [1]
    assert numbers(where("Tags.team", operator="NotExists")) == [2]
    assert numbers(where("ModelPackageVersion", "1", "GreaterThan")) == [2]
    assert numbers(where("ModelPackageVersion", "2", "LessThanOrEqualTo")) == [2, 1]
    assert numbers(where("ModelPackageVersion", "1, 7", "In")) == [1]
    assert numbers(where("ModelPackageArn", "digits", "Contains")) == [2, 1]
    assert numbers(where("ModelPackageVersion", "1", "NotEquals")) == [2]
    assert numbers(where("CreationTime", "2000-01-01T00:00:00Z", "LessThan")) == []
    either = (where("ModelPackageVersion", "1"), where("ModelApprovalStatus", "Approved"))
    assert numbers(*either) == []
    assert numbers(*either, Operator="Or") == [2, 1]
    assert numbers(SubExpressions=[{"Filters": [either[0]]}]) == [1]


def test_what_is_found_comes_in_pages(world: World) -> None:
    for _ in range(3):
        register(world)
    asked: dict[str, Any] = {
        "Resource": "ModelPackage",
        "SortBy": "ModelPackageVersion",
        "SortOrder": "Ascending",
        "MaxResults": 2,
    }
    first = world.call("Search", **asked)
    assert first["TotalHits"] == {"Value": 3, "Relation": "EqualTo"}
    second = world.call("Search", **asked, NextToken=first["NextToken"])
    both = [*first["Results"], *second["Results"]]
    assert [one["ModelPackage"]["ModelPackageVersion"] for one in both] == [1, 2, 3]
    assert "NextToken" not in second


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Resource": "Pipeline"}, "a search for `Pipeline`"),
        ({"NextToken": "x"}, "NextToken"),
        (
            {"SearchExpression": {"Filters": [where("CreationTime", "soon", "LessThan")]}},
            "'soon' cannot be compared",
        ),
    ],
)
def test_a_search_that_cannot_be_made_is_refused(
    world: World, changes: dict[str, Any], words: str
) -> None:
    register(world)
    with pytest.raises(ServiceError, match=words):
        world.call("Search", **{"Resource": "ModelPackage", **changes})
