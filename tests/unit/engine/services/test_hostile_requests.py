"""Requests that once were answered with a failure of the engine's own."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.wire.errors import ServiceError
from tests.helpers.lifecycle import World, make_world, training_request


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "home")


def refused(world: World, operation: str, service: str = "sagemaker", **parameters: Any) -> str:
    with pytest.raises(ServiceError) as caught:
        world.call(operation, service, **parameters)
    return caught.value.code


@pytest.mark.parametrize("missing", ["AlgorithmSpecification", "ResourceConfig"])
def test_a_training_job_without_an_image_or_instances_is_refused_by_name(
    world: World, missing: str
) -> None:
    request = training_request()
    del request[missing]
    with pytest.raises(ServiceError, match=missing):
        world.call("CreateTrainingJob", **request)


def test_a_training_job_without_a_stopping_condition_may_run_for_a_day_as_on_aws(
    world: World,
) -> None:
    request = training_request()
    del request["StoppingCondition"]
    world.call("CreateTrainingJob", **request)
    world.settle()
    described = world.call("DescribeTrainingJob", TrainingJobName=request["TrainingJobName"])
    assert described["StoppingCondition"] == {"MaxRuntimeInSeconds": 86_400}


@pytest.mark.parametrize("token", ["job-1", "-1", "9" * 5000, "٣"])
def test_a_token_of_the_alarms_history_that_is_none_is_told(world: World, token: str) -> None:
    assert (
        refused(world, "DescribeAlarmHistory", "cloudwatch", NextToken=token) == "InvalidNextToken"
    )


def test_a_log_group_whose_name_no_file_can_have_is_not_there(world: World) -> None:
    name = "9" * 400
    missing = "ResourceNotFoundException"
    assert refused(world, "DeleteLogGroup", "logs", logGroupName=name) == missing
    stream = {"logGroupName": name, "logStreamName": "a"}
    assert refused(world, "DeleteLogStream", "logs", **stream) == missing
    assert refused(world, "GetLogEvents", "logs", **stream) == missing


@pytest.mark.parametrize("delete", [{}, {"Objects": [{}]}, {"Objects": [{"VersionId": "1"}]}])
def test_a_document_of_s3_that_lacks_what_it_must_have_is_malformed(
    world: World, delete: dict[str, Any]
) -> None:
    world.backends.objects.create_bucket("data")
    assert refused(world, "DeleteObjects", "s3", Bucket="data", Delete=delete) == "MalformedXML"
    tagging = {"Bucket": "data", "Key": "a", "Tagging": {}}
    assert refused(world, "PutObjectTagging", "s3", **tagging) == "MalformedXML"


def test_nothing_in_the_place_of_an_element_is_told_with_its_place(world: World) -> None:
    world.call("CreateModelPackageGroup", ModelPackageGroupName="group")
    with pytest.raises(ServiceError, match=r"null at 'tags.1.member'.*must not be null"):
        world.call("AddTags", ResourceArn="arn:aws:sagemaker:x", Tags=[None])
    with pytest.raises(ServiceError, match="tagKeys"):
        world.call("DeleteTags", ResourceArn="arn:aws:sagemaker:x", TagKeys=["a", None])
    request = training_request(HyperParameters={"a": None})
    with pytest.raises(ServiceError, match="hyperParameters"):
        world.call("CreateTrainingJob", **request)
