"""The life of a training job, on a fake driver and a clock turned by hand."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.base import MountMode
from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.store.log_streams import last_lines
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.lifecycle import ROLE, World, make_world, training_request


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = make_world(tmp_path / "home")
    world.backends.objects.create_bucket("results")
    world.backends.objects.create_bucket("data")
    return world


def create(world: World, name: str = "job-1", **changes: Any) -> None:
    world.call("CreateTrainingJob", **training_request(name, **changes))


def describe(world: World, name: str = "job-1") -> dict[str, Any]:
    return world.call("DescribeTrainingJob", TrainingJobName=name)


def statuses(world: World, name: str = "job-1") -> list[str]:
    return [one["Status"] for one in describe(world, name)["SecondaryStatusTransitions"]]


def channel(name: str, uri: str, **changes: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, **changes.pop("source", {})}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **changes}


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {
            one.name: (tar.extractfile(one) or io.BytesIO()).read()
            for one in tar.getmembers()
            if one.isfile()
        }


def test_a_job_goes_through_every_phase_and_leaves_its_model(world: World) -> None:
    world.driver.script(
        "*", Outcome(after_s=10, files={"model/weights.bin": "w", "output/data/log.txt": "l"})
    )
    create(world)
    world.settle()
    assert describe(world)["TrainingJobStatus"] == "InProgress"
    assert describe(world)["SecondaryStatus"] == "Training"
    world.advance(10)
    job = describe(world)
    assert statuses(world) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["TrainingJobStatus"] == "Completed"
    assert job["TrainingTimeInSeconds"] == 10
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == (
        "s3://results/runs/job-1/output/model.tar.gz"
    )
    _, model = world.backends.objects.open("results", "runs/job-1/output/model.tar.gz")
    with model:
        assert members(model.read()) == {"weights.bin": b"w"}
    _, output = world.backends.objects.open("results", "runs/job-1/output/output.tar.gz")
    with output:
        assert members(output.read()) == {"log.txt": b"l"}


def test_the_instance_finds_its_contract_files_and_variables(world: World) -> None:
    world.backends.objects.put_bytes("data", "train/a.csv", b"1,2")
    create(
        world,
        HyperParameters={"epochs": "3"},
        Environment={"MY": "own"},
        InputDataConfig=[channel("train", "s3://data/train")],
    )
    world.settle()
    (spec,) = world.driver.started
    assert spec.command == ("train",)
    assert spec.environment["MY"] == "own"
    assert spec.environment["TRAINING_JOB_NAME"] == "job-1"
    assert spec.environment["ROLE"] == ROLE
    config = spec.ml / "input" / "config"
    assert json.loads((config / "hyperparameters.json").read_text()) == {"epochs": "3"}
    assert json.loads((config / "resourceconfig.json").read_text())["hosts"] == ["algo-1"]
    (mount,) = spec.mounts
    assert mount.target == "/opt/ml/input/data/train"
    assert mount.mode is MountMode.VIEW
    assert (mount.source / "a.csv").read_bytes() == b"1,2"


def test_a_prefix_that_is_no_folder_is_copied_under_the_rest_of_its_keys(world: World) -> None:
    for key in ("set/part-1.csv", "set/part-2/x.csv", "set/other.csv"):
        world.backends.objects.put_bytes("data", key, key.encode())
    create(world, InputDataConfig=[channel("train", "s3://data/set/part")])
    world.settle()
    (spec,) = world.driver.started
    folder = spec.ml / "input" / "data" / "train"
    found = {str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()}
    assert found == {"part-1.csv", "part-2/x.csv"}


def test_a_sharded_channel_is_dealt_out_over_the_hosts(world: World) -> None:
    for number in range(5):
        world.backends.objects.put_bytes("data", f"set/{number}", b"x")
    create(
        world,
        InputDataConfig=[
            channel("train", "s3://data/set/", source={"S3DataDistributionType": "ShardedByS3Key"})
        ],
        ResourceConfig={
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": 2,
            "VolumeSizeInGB": 1,
        },
    )
    world.settle()
    shares = [
        sorted(one.name for one in (spec.ml / "input/data/train").iterdir())
        for spec in world.driver.started
    ]
    assert shares == [["0", "2", "4"], ["1", "3"]]


def test_a_heterogeneous_cluster_knows_its_groups_and_who_gets_which_channel(
    world: World,
) -> None:
    world.backends.objects.put_bytes("data", "cpu/a", b"1")
    world.backends.objects.put_bytes("data", "all/b", b"2")
    create(
        world,
        ResourceConfig={
            "InstanceGroups": [
                {"InstanceGroupName": "gpus", "InstanceType": "ml.g5.xlarge", "InstanceCount": 1},
                {"InstanceGroupName": "cpus", "InstanceType": "ml.c5.xlarge", "InstanceCount": 2},
            ],
            "VolumeSizeInGB": 1,
        },
        InputDataConfig=[
            channel("some", "s3://data/cpu", source={"InstanceGroupNames": ["cpus"]}),
            channel("all", "s3://data/all"),
        ],
    )
    world.settle()
    by_host = {spec.host: spec for spec in world.driver.started}
    assert sorted(by_host) == ["algo-1", "algo-2", "algo-3"]
    told = {
        host: json.loads((spec.ml / "input/config/resourceconfig.json").read_text())
        for host, spec in by_host.items()
    }
    assert told["algo-1"]["current_group_name"] == "gpus"
    assert told["algo-1"]["current_instance_type"] == "ml.g5.xlarge"
    assert told["algo-3"]["current_group_name"] == "cpus"
    assert told["algo-2"]["instance_groups"] == [
        {
            "instance_group_name": "gpus",
            "instance_type": "ml.g5.xlarge",
            "hosts": ["algo-1"],
        },
        {
            "instance_group_name": "cpus",
            "instance_type": "ml.c5.xlarge",
            "hosts": ["algo-2", "algo-3"],
        },
    ]
    channels = {
        host: sorted(mount.target.rpartition("/")[2] for mount in spec.mounts)
        for host, spec in by_host.items()
    }
    assert channels == {"algo-1": ["all"], "algo-2": ["all", "some"], "algo-3": ["all", "some"]}
    assert describe(world)["TrainingJobStatus"] == "Completed"


def test_the_models_of_several_hosts_are_merged(world: World) -> None:
    world.driver.script("*/algo-1/*", Outcome(files={"model/a": "1", "model/both": "first"}))
    world.driver.script("*/algo-2/*", Outcome(files={"model/b": "2", "model/both": "second"}))
    create(
        world,
        ResourceConfig={
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": 2,
            "VolumeSizeInGB": 1,
        },
    )
    world.settle()
    _, model = world.backends.objects.open("results", "runs/job-1/output/model.tar.gz")
    with model:
        assert members(model.read()) == {"a": b"1", "b": b"2", "both": b"first"}


def test_an_uncompressed_model_is_uploaded_file_by_file(world: World) -> None:
    world.driver.script("*", Outcome(files={"model/sub/w": "1"}))
    create(world, OutputDataConfig={"S3OutputPath": "s3://results/", "CompressionType": "NONE"})
    world.settle()
    keys = [one.key for one in world.backends.objects.iterate("results")]
    assert keys == ["job-1/output/model/sub/w"]
    assert describe(world)["ModelArtifacts"]["S3ModelArtifacts"] == (
        "s3://results/job-1/output/model/"
    )


def test_a_failed_job_carries_the_programs_own_words_and_its_exit_code(world: World) -> None:
    world.driver.script("*", Outcome(exit_code=3, files={"output/failure": "ValueError: boom"}))
    create(world)
    world.settle()
    job = describe(world)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: ValueError: boom, exit code: 3"
    assert list(world.backends.objects.iterate("results")) == []


def test_a_program_that_said_nothing_is_quoted_by_its_last_lines(world: World) -> None:
    world.driver.script("*", Outcome(exit_code=9, log=((0, "loading"), (0, "cannot go on"))))
    create(world)
    world.settle()
    reason = describe(world)["FailureReason"]
    assert reason.startswith("AlgorithmError: ")
    assert "cannot go on" in reason
    assert reason.endswith("exit code: 9")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(signal=11), "SIGSEGV"),
        (Outcome(out_of_memory=True), "more memory"),
        (Outcome(is_lost=True), "InternalServerError: instance `algo-1` was lost"),
        (Outcome(refusal="no such image `img:1`"), "ClientError: no such image `img:1`"),
        (Outcome(failure="no process left"), "InternalServerError: no process left"),
    ],
)
def test_each_kind_of_death_has_its_own_words(world: World, outcome: Outcome, words: str) -> None:
    world.driver.script("*", outcome)
    create(world)
    world.settle()
    job = describe(world)
    assert job["TrainingJobStatus"] == "Failed"
    assert words in job["FailureReason"]


def test_a_failure_reason_fits_the_services_limit(world: World) -> None:
    world.driver.script("*", Outcome(exit_code=1, files={"output/failure": "x" * 5000}))
    create(world)
    world.settle()
    reason = describe(world)["FailureReason"]
    assert len(reason) <= 1024
    assert reason.endswith("exit code: 1")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://data/absent/", "s3://data/absent/ matched no files on s3"),
        ("s3://no-such-bucket/x", "`no-such-bucket`"),
    ],
)
def test_missing_data_fails_the_job_before_anything_starts(
    world: World, uri: str, words: str
) -> None:
    create(world, InputDataConfig=[channel("train", uri)])
    world.settle()
    assert words in describe(world)["FailureReason"]
    assert world.driver.started == []


def test_a_missing_output_bucket_fails_the_job_by_name(world: World) -> None:
    create(world, OutputDataConfig={"S3OutputPath": "s3://nowhere-to-be/x"})
    world.settle()
    assert "`nowhere-to-be`" in describe(world)["FailureReason"]


def test_when_one_of_two_instances_fails_the_other_is_stopped(world: World) -> None:
    world.driver.script("*/algo-1/*", Outcome(after_s=None, exit_code_on_sigterm=0))
    world.driver.script("*/algo-2/*", Outcome(after_s=5, exit_code=2))
    create(
        world,
        ResourceConfig={
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": 2,
            "VolumeSizeInGB": 1,
        },
    )
    world.settle()
    world.advance(5)
    job = describe(world)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].endswith("exit code: 2")


def test_a_stopped_job_gets_its_grace_and_keeps_what_it_saved(world: World) -> None:
    world.driver.script("*", Outcome(after_s=None, ignores_sigterm=True))
    create(world)
    world.settle()
    world.call("StopTrainingJob", TrainingJobName="job-1")
    world.settle()
    assert describe(world)["TrainingJobStatus"] == "Stopping"
    world.advance(119)
    assert describe(world)["TrainingJobStatus"] == "Stopping"
    world.advance(1)
    assert describe(world)["TrainingJobStatus"] == "Stopped"
    assert statuses(world)[-3:] == ["Stopping", "Uploading", "Stopped"]
    assert world.backends.objects.head("results", "runs/job-1/output/model.tar.gz")


def test_stopping_a_job_that_has_not_begun_never_starts_it(world: World) -> None:
    create(world)
    world.call("StopTrainingJob", TrainingJobName="job-1")
    world.settle()
    assert describe(world)["TrainingJobStatus"] == "Stopped"
    assert world.driver.started == []


def test_a_job_that_has_ended_cannot_be_stopped(world: World) -> None:
    create(world)
    world.settle()
    with pytest.raises(ServiceError, match="training job is in status Completed"):
        world.call("StopTrainingJob", TrainingJobName="job-1")


def test_a_job_beyond_its_runtime_is_stopped_and_says_so(world: World) -> None:
    world.driver.script("*", Outcome(after_s=None))
    create(world, StoppingCondition={"MaxRuntimeInSeconds": 60})
    world.settle()
    world.advance(59)
    assert describe(world)["TrainingJobStatus"] == "InProgress"
    world.advance(1)
    job = describe(world)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def groups(*names: str) -> dict[str, Any]:
    """ResourceConfig of groups of one instance each."""
    entries = [
        {"InstanceGroupName": name, "InstanceType": "ml.m5.large", "InstanceCount": 1}
        for name in names
    ]
    return {"InstanceGroups": entries, "VolumeSizeInGB": 1}


@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_a_job_outlives_an_engine_that_is_killed(world: World, moment: str) -> None:
    world.driver.script("*", Outcome(after_s=10, files={"model/w": "1"}))
    create(world)
    if moment != "before":
        world.settle()
    if moment == "after":
        world.clock.advance(10)
        world.driver.turn()  # the instance ends, but the engine dies before it looks
    second = world.restarted()
    second.driver.script("*", Outcome(after_s=10, files={"model/w": "1"}))
    second.settle()
    second.advance(10)
    job = describe(second)
    assert job["TrainingJobStatus"] == "Completed"
    assert statuses(second).count("Training") == 1
    assert len(world.driver.started) + len(second.driver.started) == 1


def test_a_name_is_unique_for_ever(world: World) -> None:
    create(world)
    world.settle()
    with pytest.raises(ServiceError, match="names must be unique") as refused:
        create(world)
    assert refused.value.code == "ResourceInUse"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"AlgorithmSpecification": {"TrainingInputMode": "File"}}, "exactly one of"),
        ({"InputDataConfig": [channel("a", "https://data/x")]}, "not a valid S3 URI"),
        (
            {"InputDataConfig": [channel("a", "s3://data/x"), channel("a", "s3://data/y")]},
            "must be unique",
        ),
        ({"OutputDataConfig": {"S3OutputPath": "https://x"}}, "s3OutputPath"),
        ({"ResourceConfig": {"VolumeSizeInGB": 1}}, "InstanceGroups"),
        ({"ResourceConfig": groups("a", "a")}, "Instance group names must be unique"),
        ({"ResourceConfig": {**groups("a"), "InstanceType": "ml.m5.large"}}, "either"),
        (
            {
                "ResourceConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 0,
                    "VolumeSizeInGB": 1,
                }
            },
            "`InstanceCount` must be at least 1",
        ),
        (
            {
                "ResourceConfig": groups("a", "b"),
                "InputDataConfig": [
                    channel("train", "s3://data/x", source={"InstanceGroupNames": ["b", "c"]})
                ],
            },
            "channel `train` names c: the ResourceConfig has a, b",
        ),
        (
            {
                "InputDataConfig": [
                    channel("train", "s3://data/x", source={"InstanceGroupNames": ["c"]})
                ]
            },
            "has no InstanceGroups",
        ),
    ],
)
def test_what_the_service_refuses_is_refused(
    world: World, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError, match=words) as refused:
        create(world, **changes)
    assert refused.value.code == "ValidationException"


@pytest.mark.parametrize(
    "changes",
    [
        {
            "AlgorithmSpecification": {
                "AlgorithmName": "xgboost",
                "TrainingInputMode": "File",
            }
        },
    ],
)
def test_what_is_not_there_yet_is_named_and_not_pretended(
    world: World, changes: dict[str, Any]
) -> None:
    with pytest.raises(ServiceError, match="does not serve") as refused:
        create(world, **changes)
    assert refused.value.status == 501


def test_jobs_are_listed_newest_first_in_pages(world: World) -> None:
    for number in range(3):
        world.clock.advance(1)
        create(world, f"job-{number}")
    first = world.call("ListTrainingJobs", MaxResults=2)
    second = world.call("ListTrainingJobs", MaxResults=2, NextToken=first["NextToken"])
    names = [
        one["TrainingJobName"] for page in (first, second) for one in page["TrainingJobSummaries"]
    ]
    assert names == ["job-2", "job-1", "job-0"]
    assert "NextToken" not in second
    world.settle()
    completed = world.call("ListTrainingJobs", StatusEquals="Completed", SortBy="Name")
    assert len(completed["TrainingJobSummaries"]) == 3


def test_tags_come_with_the_job_and_can_be_changed(world: World) -> None:
    create(world, Tags=[{"Key": "team", "Value": "red"}])
    arn = describe(world)["TrainingJobArn"]
    world.call("AddTags", ResourceArn=arn, Tags=[{"Key": "cost", "Value": "1"}])
    world.call("DeleteTags", ResourceArn=arn, TagKeys=["team"])
    assert world.call("ListTags", ResourceArn=arn)["Tags"] == [{"Key": "cost", "Value": "1"}]
    with pytest.raises(ServiceError, match="Could not find"):
        world.call("ListTags", ResourceArn=arn + "-x")


def test_output_goes_to_the_jobs_log_stream(world: World) -> None:
    world.driver.script("*", Outcome(log=((0, "epoch 1"),)))
    create(world)
    world.settle()
    (spec,) = world.driver.started
    assert last_lines(spec.log, 2) == ["intermodal: nothing really runs", "epoch 1"]
    (stream,) = world.backends.log_streams.streams("/aws/sagemaker/TrainingJobs", "job-1/")
    assert stream.name.startswith("job-1/algo-1-")
