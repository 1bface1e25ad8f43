"""Repositories, their tags, and the login to the registry."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.services.ecr.authorization import TOKEN_LIFE_S
from intermodal_engine.services.ecr.tags import TAG_LIMIT
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.fake_registry import FakeRegistry
from tests.helpers.lifecycle import World, make_world

ARN = "arn:aws:ecr:us-east-1:123456789012:repository/demo"


def refusal(world: World, operation: str, **parameters: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        world.call(operation, "ecr", **parameters)
    return caught.value


def names(world: World, **parameters: Any) -> list[str]:
    answer = world.call("DescribeRepositories", "ecr", **parameters)
    return [one["repositoryName"] for one in answer["repositories"]]


def tags(world: World) -> dict[str, str]:
    answer = world.call("ListTagsForResource", "ecr", resourceArn=ARN)
    return {tag["Key"]: tag["Value"] for tag in answer["tags"]}


def test_a_repository_is_named_by_the_registrys_address(
    world: World, registry: FakeRegistry
) -> None:
    repository = world.call("DescribeRepositories", "ecr")["repositories"][0]
    assert repository == {
        "repositoryArn": ARN,
        "registryId": "123456789012",
        "repositoryName": "demo",
        "repositoryUri": f"{registry.host}/demo",
        "createdAt": datetime.fromtimestamp(world.clock.now(), UTC),
        "imageTagMutability": "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": False},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }


def test_creating_answers_what_describing_answers(world: World) -> None:
    made = world.call("CreateRepository", "ecr", repositoryName="team/other")["repository"]
    assert world.call("DescribeRepositories", "ecr", repositoryNames=["team/other"]) == {
        "repositories": [made]
    }


def test_a_name_is_taken_once(world: World) -> None:
    error = refusal(world, "CreateRepository", repositoryName="demo")
    assert error.code == "RepositoryAlreadyExistsException"
    assert "'demo' already exists in the registry with id '123456789012'" in error.message


@pytest.mark.parametrize("name", ["Demo", "a", "-x", "a//b", "a b", "x" * 257])
def test_a_name_that_no_registry_takes_is_refused(world: World, name: str) -> None:
    error = refusal(world, "CreateRepository", repositoryName=name)
    assert error.code == "InvalidParameterException"


@pytest.mark.parametrize(
    "changes",
    [
        {"imageTagMutability": "IMMUTABLE"},
        {"imageScanningConfiguration": {"scanOnPush": True}},
        {"encryptionConfiguration": {"encryptionType": "KMS"}},
    ],
)
def test_what_the_registry_cannot_do_is_refused_by_name(
    world: World, changes: dict[str, Any]
) -> None:
    error = refusal(world, "CreateRepository", repositoryName="other", **changes)
    assert (error.code, error.status) == ("NotImplementedException", 501)
    assert names(world) == ["demo"]


def test_repositories_come_by_name_in_pages(world: World) -> None:
    for name in ("zoo", "ape", "bee"):
        world.call("CreateRepository", "ecr", repositoryName=name)
    first = world.call("DescribeRepositories", "ecr", maxResults=3)
    assert [one["repositoryName"] for one in first["repositories"]] == ["ape", "bee", "demo"]
    assert names(world, maxResults=3, nextToken=first["nextToken"]) == ["zoo"]
    assert names(world, repositoryNames=["zoo", "ape"]) == ["zoo", "ape"]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"repositoryNames": ["none"]}, "RepositoryNotFoundException"),
        ({"repositoryNames": ["demo"], "maxResults": 1}, "InvalidParameterException"),
        ({"repositoryNames": ["demo"], "registryId": "0" * 12}, "RepositoryNotFoundException"),
        ({"registryId": "0" * 12}, "InvalidParameterException"),
        ({"nextToken": "%"}, "InvalidParameterException"),
        ({"nextToken": "ÿ"}, "InvalidParameterException"),
    ],
)
def test_a_listing_that_makes_no_sense_is_refused(
    world: World, parameters: dict[str, Any], code: str
) -> None:
    assert refusal(world, "DescribeRepositories", **parameters).code == code


def test_an_empty_repository_is_deleted(world: World) -> None:
    assert world.call("DeleteRepository", "ecr", repositoryName="demo")["repository"]
    assert names(world) == []
    error = refusal(world, "DeleteRepository", repositoryName="demo")
    assert error.code == "RepositoryNotFoundException"


def test_a_repository_with_images_is_deleted_with_them_by_force_only(
    world: World, registry: FakeRegistry
) -> None:
    registry.push("demo", "1", 10)
    registry.push("demo", "2", 20)
    error = refusal(world, "DeleteRepository", repositoryName="demo")
    assert error.code == "RepositoryNotEmptyException"
    assert len(registry.manifests["demo"]) == 2
    world.call("DeleteRepository", "ecr", repositoryName="demo", force=True)
    assert registry.manifests["demo"] == {}
    assert names(world) == []


def test_a_registry_that_deletes_nothing_keeps_the_repository(
    world: World, registry: FakeRegistry
) -> None:
    registry.push("demo", "1", 10)
    registry.can_delete = False
    error = refusal(world, "DeleteRepository", repositoryName="demo", force=True)
    assert error.code == "ServerException"
    assert "REGISTRY_STORAGE_DELETE_ENABLED=true" in error.message
    assert names(world) == ["demo"]


def test_tags_are_added_changed_and_removed(world: World) -> None:
    world.call("TagResource", "ecr", resourceArn=ARN, tags=[{"Key": "a", "Value": "1"}])
    world.call(
        "TagResource",
        "ecr",
        resourceArn=ARN,
        tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}],
    )
    assert tags(world) == {"a": "2", "b": "3"}
    world.call("UntagResource", "ecr", resourceArn=ARN, tagKeys=["a", "c"])
    assert tags(world) == {"b": "3"}


def test_a_repository_is_made_with_its_tags(world: World) -> None:
    world.call("DeleteRepository", "ecr", repositoryName="demo")
    assert refusal(world, "ListTagsForResource", resourceArn=ARN).code == (
        "RepositoryNotFoundException"
    )
    world.call(
        "CreateRepository", "ecr", repositoryName="demo", tags=[{"Key": "team", "Value": "blue"}]
    )
    assert tags(world) == {"team": "blue"}


def test_too_many_tags_and_the_same_key_twice_are_refused(world: World) -> None:
    many = [{"Key": str(number), "Value": ""} for number in range(TAG_LIMIT)]
    twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
    error = refusal(world, "TagResource", resourceArn=ARN, tags=twice)
    assert error.code == "InvalidTagParameterException"
    world.call("TagResource", "ecr", resourceArn=ARN, tags=many)
    error = refusal(world, "TagResource", resourceArn=ARN, tags=[{"Key": "x", "Value": ""}])
    assert error.code == "TooManyTagsException"


def test_a_login_is_of_the_user_aws_for_twelve_hours(world: World, registry: FakeRegistry) -> None:
    answer = world.call("GetAuthorizationToken", "ecr")["authorizationData"]
    assert len(answer) == 1
    user, _, password = base64.b64decode(answer[0]["authorizationToken"]).decode().partition(":")
    assert user == "AWS"
    assert len(password) >= 32
    assert answer[0]["proxyEndpoint"] == registry.url
    assert answer[0]["expiresAt"].timestamp() == world.clock.now() + TOKEN_LIFE_S


def test_the_engine_has_one_account_only(world: World) -> None:
    own = world.call("GetAuthorizationToken", "ecr", registryIds=["123456789012"])
    assert len(own["authorizationData"]) == 1
    error = refusal(world, "GetAuthorizationToken", registryIds=["0" * 12])
    assert error.code == "InvalidParameterException"


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("CreateRepository", {"repositoryName": "demo"}),
        ("GetAuthorizationToken", {}),
    ],
)
def test_without_a_registry_everything_says_how_to_have_one(
    tmp_path: Path, operation: str, parameters: dict[str, Any]
) -> None:
    error = refusal(make_world(tmp_path / "home"), operation, **parameters)
    assert (error.code, error.status) == ("NotImplementedException", 501)
    assert "`intermodal up --registry HOST:PORT`" in error.message
    assert "`docker-registry`" in error.message


def test_repositories_outlive_the_engine_and_follow_the_registry(world: World) -> None:
    world.call("TagResource", "ecr", resourceArn=ARN, tags=[{"Key": "a", "Value": "1"}])
    assert names(world.restarted()) == ["demo"]
    assert tags(world.restarted()) == {"a": "1"}
