"""What is in a repository: listed, described and deleted."""

from typing import Any

import pytest

from intermodal_engine.wire.errors import ServiceError
from tests.helpers.fake_registry import CONFIG, IMAGE, INDEX, FakeRegistry
from tests.helpers.lifecycle import World

ABSENT = "sha256:" + "0" * 64


def described(world: World, **parameters: Any) -> list[dict[str, Any]]:
    answer = world.call("DescribeImages", "ecr", repositoryName="demo", **parameters)
    details: list[dict[str, Any]] = answer["imageDetails"]
    return details


def listed(world: World, **parameters: Any) -> list[tuple[str, str | None]]:
    answer = world.call("ListImages", "ecr", repositoryName="demo", **parameters)
    return [(one["imageDigest"], one.get("imageTag")) for one in answer["imageIds"]]


def deleted(world: World, *identifiers: dict[str, str]) -> tuple[list[Any], list[Any]]:
    answer = world.call(
        "BatchDeleteImage", "ecr", repositoryName="demo", imageIds=list(identifiers)
    )
    failures = [one["failureCode"] for one in answer["failures"]]
    return [(one["imageDigest"], one.get("imageTag")) for one in answer["imageIds"]], failures


def refusal(world: World, operation: str, **parameters: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        world.call(operation, "ecr", **{"repositoryName": "demo"} | parameters)
    return caught.value


def test_an_image_has_its_digest_tags_and_compressed_size(
    world: World, registry: FakeRegistry
) -> None:
    digest = registry.push("demo", "1", 1000, 200, config=30)
    registry.tags["demo"]["latest"] = digest
    (detail,) = described(world)
    assert detail.pop("imagePushedAt").timestamp() == world.clock.now()
    assert detail == {
        "registryId": "123456789012",
        "repositoryName": "demo",
        "imageDigest": digest,
        "imageTags": ["1", "latest"],
        "imageSizeInBytes": 1230,
        "imageManifestMediaType": IMAGE,
        "artifactMediaType": CONFIG,
    }


def test_an_image_of_many_platforms_weighs_what_its_largest_does(
    world: World, registry: FakeRegistry
) -> None:
    parts = [registry.push("demo", None, size, config=1) for size in (10, 50, 20)]
    digest = registry.push_index("demo", "all", *parts)
    (detail,) = described(world)
    assert (detail["imageDigest"], detail["imageSizeInBytes"]) == (digest, 51)
    assert detail["imageManifestMediaType"] == INDEX


def test_images_are_found_by_tag_and_by_digest_even_untagged_ones(
    world: World, registry: FakeRegistry
) -> None:
    first, second = registry.push("demo", "1", 10), registry.push("demo", None, 20)
    registry.tags["demo"]["also"] = first
    by_tag = described(world, imageIds=[{"imageTag": "1"}, {"imageTag": "also"}])
    assert [one["imageDigest"] for one in by_tag] == [first]
    by_digest = described(world, imageIds=[{"imageDigest": second}, {"imageDigest": first}])
    assert [one["imageDigest"] for one in by_digest] == [second, first]
    assert "imageTags" not in {key for key, value in by_digest[0].items() if value is not None}


@pytest.mark.parametrize(
    ("identifier", "code"),
    [
        ({"imageTag": "2"}, "ImageNotFoundException"),
        ({"imageDigest": ABSENT}, "ImageNotFoundException"),
        ({"imageDigest": ABSENT, "imageTag": "1"}, "ImageNotFoundException"),
        ({"imageDigest": "sha256:../../x"}, "InvalidParameterException"),
        ({}, "InvalidParameterException"),
    ],
)
def test_an_image_that_is_not_there_is_an_error(
    world: World, registry: FakeRegistry, identifier: dict[str, str], code: str
) -> None:
    registry.push("demo", "1", 10)
    assert refusal(world, "DescribeImages", imageIds=[identifier]).code == code


def test_the_message_about_a_missing_image_is_ecrs(world: World) -> None:
    assert refusal(world, "DescribeImages", imageIds=[{"imageTag": "2"}]).message == (
        "The image with imageId {imageDigest:'null', imageTag:'2'} does not exist within the "
        "repository with name 'demo' in the registry with id '123456789012'"
    )


def test_an_image_that_loses_its_tag_stays_as_an_untagged_one(
    world: World, registry: FakeRegistry
) -> None:
    before = registry.push("demo", "latest", 10)
    pushed_at = world.clock.now()
    assert listed(world) == [(before, "latest")]
    world.advance(60)
    after = registry.push("demo", "latest", 20)
    assert set(listed(world)) == {(before, None), (after, "latest")}
    assert listed(world, filter={"tagStatus": "UNTAGGED"}) == [(before, None)]
    assert listed(world, filter={"tagStatus": "TAGGED"}) == [(after, "latest")]
    times = {one["imageDigest"]: one["imagePushedAt"].timestamp() for one in described(world)}
    assert times == {before: pushed_at, after: pushed_at + 60}


def test_the_time_of_a_push_outlives_the_engine(world: World, registry: FakeRegistry) -> None:
    registry.push("demo", "1", 10)
    before = described(world)[0]["imagePushedAt"]
    world.advance(3600)
    assert described(world.restarted())[0]["imagePushedAt"] == before


def test_listings_come_in_pages(world: World, registry: FakeRegistry) -> None:
    for number in range(5):
        registry.push("demo", str(number), number)
    registry.page_size = 2
    whole = listed(world)
    assert {tag for _, tag in whole} == {"0", "1", "2", "3", "4"}
    for operation, member in (("ListImages", "imageIds"), ("DescribeImages", "imageDetails")):
        found: list[str] = []
        more: dict[str, Any] = {}
        while not found or more:
            page = world.call(operation, "ecr", repositoryName="demo", maxResults=2, **more)
            assert len(page[member]) <= 2
            found += [one["imageDigest"] for one in page[member]]
            more = {"nextToken": page["nextToken"]} if page["nextToken"] else {}
        assert found == [digest for digest, _ in whole]


def test_a_repository_without_images_is_empty(world: World, registry: FakeRegistry) -> None:
    assert (listed(world), described(world)) == ([], [])
    digest = registry.push("demo", "1", 10)
    deleted(world, {"imageDigest": digest})
    assert listed(world) == []


def test_an_image_goes_by_its_digest_with_all_its_tags(
    world: World, registry: FakeRegistry
) -> None:
    digest = registry.push("demo", "1", 10)
    registry.tags["demo"]["2"] = digest
    assert deleted(world, {"imageDigest": digest}) == ([(digest, "1"), (digest, "2")], [])
    assert registry.manifests["demo"] == {}


def test_an_image_goes_with_its_last_tag(world: World, registry: FakeRegistry) -> None:
    digest = registry.push("demo", "1", 10)
    assert deleted(world, {"imageTag": "1"}) == ([(digest, "1")], [])
    assert registry.manifests["demo"] == {}


def test_one_of_several_tags_goes_alone_where_the_registry_can(
    world: World, registry: FakeRegistry
) -> None:
    digest = registry.push("demo", "1", 10)
    registry.tags["demo"]["2"] = digest
    assert deleted(world, {"imageTag": "2"}) == ([], ["ImageInaccessible"])
    registry.can_untag = True
    assert deleted(world, {"imageTag": "2"}) == ([(digest, "2")], [])
    assert listed(world) == [(digest, "1")]


def test_the_tags_of_one_image_are_deleted_one_by_one_in_one_request(
    world: World, registry: FakeRegistry
) -> None:
    registry.can_untag = True
    digest = registry.push("demo", "1", 10)
    registry.tags["demo"] |= {"2": digest, "3": digest}
    gone, failures = deleted(world, {"imageTag": "3"}, {"imageTag": "1"}, {"imageTag": "2"})
    assert ([tag for _, tag in gone], failures) == (["3", "1", "2"], [])
    assert registry.manifests["demo"] == {}


def test_what_cannot_be_deleted_is_told_and_the_rest_is_deleted(
    world: World, registry: FakeRegistry
) -> None:
    digest = registry.push("demo", "1", 10)
    gone, failures = deleted(
        world,
        {"imageTag": "none"},
        {"imageDigest": "sha256:1"},
        {},
        {"imageTag": "1"},
        {"imageTag": "1"},
    )
    assert gone == [(digest, "1")]
    assert failures == [
        *("ImageNotFound", "InvalidImageDigest", "MissingDigestAndTag", "ImageNotFound")
    ]


@pytest.mark.parametrize("operation", ["DescribeImages", "ListImages", "BatchDeleteImage"])
def test_an_unknown_repository_is_an_error(world: World, operation: str) -> None:
    more = {"imageIds": [{"imageTag": "1"}]} if operation == "BatchDeleteImage" else {}
    error = refusal(world, operation, repositoryName="none", **more)
    assert error.code == "RepositoryNotFoundException"


def test_names_and_pages_cannot_be_asked_for_together(world: World) -> None:
    error = refusal(world, "DescribeImages", imageIds=[{"imageTag": "1"}], maxResults=1)
    assert error.code == "InvalidParameterException"
