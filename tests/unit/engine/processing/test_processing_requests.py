"""What CreateProcessingJob takes and refuses, what Describe and List answer, GPUs, tags."""

from typing import Any

import pytest

from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.lifecycle import World
from tests.helpers.processing import (
    cluster,
    create,
    describe,
    processing_request,
    s3_input,
    s3_output,
    s3_outputs,
    stop,
)


def inputs(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"ProcessingInputs": list(entries)}


def outputs(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"ProcessingOutputConfig": s3_outputs(*entries)}


def without(entry: dict[str, Any], part: str, member: str) -> dict[str, Any]:
    kept = {name: value for name, value in entry[part].items() if name != member}
    return {**entry, part: kept}


IN = s3_input("in", "s3://data/x")
OUT = s3_output("out", "s3://results/x")
QUERY = {
    "Catalog": "c",
    "Database": "d",
    "QueryString": "select 1",
    "OutputS3Uri": "s3://data/q",
    "OutputFormat": "PARQUET",
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (inputs(IN, s3_input("in", "s3://data/y", "other")), "Each InputName must be unique"),
        (outputs(OUT, s3_output("out", "s3://results/y")), "Each OutputName must be unique"),
        (inputs(IN, s3_input("b", "s3://data/y", "in/")), "Each LocalPath must be unique"),
        (
            {**inputs(s3_input("a", "s3://data/y", "out")), **outputs(OUT)},
            "Each LocalPath must be unique",
        ),
        (inputs(s3_input("in", "s3://data/x", LocalPath="/data")), "/opt/ml/processing/"),
        (outputs(s3_output("out", "s3://results/x", LocalPath="/opt/ml/model")), "output `out`"),
        (inputs(without(IN, "S3Input", "LocalPath")), "LocalPath is required"),
        (outputs(without(OUT, "S3Output", "LocalPath")), "LocalPath is required"),
        (inputs({"InputName": "in"}), "S3Input is required"),
        (outputs({"OutputName": "out"}), "S3Output is required"),
        (inputs(s3_input("in", "https://example.com/x")), "is no S3 URI"),
        (inputs(s3_input("in", "s3://data/x", S3CompressionType="Gzip")), "S3InputMode Pipe only"),
        (
            {"ProcessingResources": {"ClusterConfig": {"VolumeSizeInGB": 1}}},
            "`InstanceType` and `InstanceCount` must be given",
        ),
        ({"ProcessingJobName": "no_underscores"}, "processingJobName"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 777_601}}, "maxRuntimeInSeconds"),
    ],
)
def test_what_the_service_refuses_is_refused(
    world: World, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError) as refused:
        world.call("CreateProcessingJob", **{**processing_request(), **changes})
    assert refused.value.code == "ValidationException"
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (inputs({**IN, "AppManaged": True}), "`AppManaged` (input `in`)"),
        (
            inputs({"InputName": "q", "DatasetDefinition": {"AthenaDatasetDefinition": QUERY}}),
            "`DatasetDefinition` (input `q`)",
        ),
        (inputs(s3_input("in", "s3://data/x", S3InputMode="Pipe")), "`Pipe` (input `in`)"),
        (outputs({**OUT, "AppManaged": True}), "`AppManaged` (output `out`)"),
        (
            outputs({"OutputName": "f", "FeatureStoreOutput": {"FeatureGroupName": "g"}}),
            "(output `f`)",
        ),
        (
            {
                "ProcessingResources": {
                    "ClusterConfig": {
                        "VolumeSizeInGB": 1,
                        "InstancePreferences": [{"InstanceType": "ml.m5.large"}],
                    }
                }
            },
            "`InstancePreferences`",
        ),
    ],
)
def test_what_this_engine_cannot_do_is_refused_by_name(
    world: World, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError) as refused:
        world.call("CreateProcessingJob", **processing_request(**changes))
    assert refused.value.status == 501
    assert words in str(refused.value)


def test_more_instances_than_the_engine_runs_are_refused(world: World) -> None:
    with pytest.raises(ServiceError) as refused:
        create(world, ProcessingResources=cluster(9))
    assert refused.value.code == "ResourceLimitExceeded"
    assert "for processing job usage' is 8 Instances" in str(refused.value)


def test_a_name_can_be_used_once(world: World) -> None:
    create(world)
    with pytest.raises(ServiceError, match="Job name must be unique") as refused:
        create(world)
    assert refused.value.code == "ResourceInUse"


@pytest.mark.parametrize("operation", ["DescribeProcessingJob", "StopProcessingJob"])
def test_a_job_that_is_not_there_is_not_found(world: World, operation: str) -> None:
    with pytest.raises(ServiceError, match="Could not find requested job with name: nobody"):
        world.call(operation, ProcessingJobName="nobody")


def test_a_job_that_has_ended_cannot_be_stopped(world: World) -> None:
    create(world)
    world.settle()
    with pytest.raises(ServiceError, match="processing job is in status Completed"):
        stop(world)


def test_a_job_is_described_as_it_was_asked_for_with_the_services_defaults(world: World) -> None:
    world.backends.objects.put_bytes("data", "x", b"1")
    create(
        world,
        **inputs(IN),
        **outputs(OUT),
        Environment={"A": "b"},
        NetworkConfig={"EnableNetworkIsolation": True},
        ExperimentConfig={"ExperimentName": "digits"},
    )
    world.settle()
    job = describe(world)
    assert job["ProcessingJobArn"] == (
        "arn:aws:sagemaker:us-east-1:123456789012:processing-job/job-1"
    )
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert job["ProcessingInputs"] == [
        {
            "InputName": "in",
            "AppManaged": False,
            "S3Input": {
                **IN["S3Input"],
                "S3InputMode": "File",
                "S3DataDistributionType": "FullyReplicated",
                "S3CompressionType": "None",
            },
        }
    ]
    assert job["ProcessingOutputConfig"]["Outputs"] == [{**OUT, "AppManaged": False}]
    assert job["Environment"] == {"A": "b"}
    assert job["NetworkConfig"] == {"EnableNetworkIsolation": True}
    assert job["ExperimentConfig"] == {"ExperimentName": "digits"}
    assert job["CreationTime"] <= job["ProcessingStartTime"] <= job["ProcessingEndTime"]


def test_jobs_are_listed_newest_first_with_how_they_ended(world: World) -> None:
    world.driver.script("*/bad-*", Outcome(exit_code=1, files={"output/message": "why"}))
    for name in ("good-1", "bad-1", "good-2"):
        create(world, name)
        world.settle()
        world.advance(1)
    listed = world.call("ListProcessingJobs")["ProcessingJobSummaries"]
    assert [one["ProcessingJobName"] for one in listed] == ["good-2", "bad-1", "good-1"]
    failed = world.call("ListProcessingJobs", StatusEquals="Failed")["ProcessingJobSummaries"]
    assert [one["ExitMessage"] for one in failed] == ["why"]
    assert failed[0]["FailureReason"].endswith("exit code: 1")
    page = world.call("ListProcessingJobs", NameContains="good", MaxResults=1)
    assert len(page["ProcessingJobSummaries"]) == 1
    assert "NextToken" in page


def test_training_jobs_are_no_processing_jobs(world: World) -> None:
    create(world)
    assert world.call("ListTrainingJobs")["TrainingJobSummaries"] == []


def test_a_job_has_tags(world: World) -> None:
    create(world, Tags=[{"Key": "team", "Value": "blue"}])
    arn = describe(world)["ProcessingJobArn"]
    assert world.call("ListTags", ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "blue"}]
