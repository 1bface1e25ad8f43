"""The life of a processing job, on a fake driver and a clock turned by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine import folders
from intermodal_engine.drivers.base import MountMode
from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.store.log_streams import last_lines
from tests.helpers.deep_folders import make_deep
from tests.helpers.lifecycle import ROLE, World
from tests.helpers.processing import (
    cluster,
    create,
    describe,
    results,
    s3_input,
    s3_output,
    s3_outputs,
    stop,
)

TRAIN = s3_outputs(s3_output("train", "s3://results/run-1/"))


def test_a_job_runs_and_its_outputs_come_to_s3_at_its_end(world: World) -> None:
    files = {"processing/train/a.csv": "1", "processing/train/sub/b.csv": "2", "processing/x": "3"}
    world.driver.script("*", Outcome(after_s=10, files=files))
    create(world, ProcessingOutputConfig=TRAIN)
    world.settle()
    assert describe(world)["ProcessingJobStatus"] == "InProgress"
    assert results(world) == {}
    world.advance(10)
    job = describe(world)
    assert job["ProcessingJobStatus"] == "Completed"
    assert (job["ProcessingEndTime"] - job["ProcessingStartTime"]).total_seconds() == 10
    assert "FailureReason" not in job
    assert results(world) == {"run-1/a.csv": "1", "run-1/sub/b.csv": "2"}


def test_the_container_is_run_with_its_entry_point_arguments_and_variables(world: World) -> None:
    create(
        world,
        AppSpecification={
            "ImageUri": "img:1",
            "ContainerEntrypoint": ["python3", "-u", "/run.py"],
            "ContainerArguments": ["--ratio", "0.2"],
        },
        Environment={"MY": "own"},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    world.settle()
    (spec,) = world.driver.started
    assert spec.entrypoint == ("python3", "-u", "/run.py")
    assert spec.command == ("--ratio", "0.2")
    assert spec.environment["MY"] == "own"
    assert spec.environment["ROLE"] == ROLE
    assert spec.max_runtime_s == 60
    assert spec.outbound


def test_an_isolated_job_gets_no_way_out_and_no_credentials(world: World) -> None:
    create(world, Environment={"MY": "own"}, NetworkConfig={"EnableNetworkIsolation": True})
    world.settle()
    (spec,) = world.driver.started
    assert not spec.outbound
    assert spec.environment == {"MY": "own"}


def test_the_container_finds_the_job_and_the_hosts_in_its_configuration(world: World) -> None:
    world.backends.objects.put_bytes("data", "x.csv", b"1")
    create(
        world,
        ProcessingInputs=[s3_input("in", "s3://data/")],
        ProcessingOutputConfig=TRAIN,
        ProcessingResources=cluster(2),
        Tags=[{"Key": "team", "Value": "blue"}],
    )
    world.settle()
    config = world.driver.started[1].ml / "config"
    assert json.loads((config / "resourceconfig.json").read_text()) == {
        "current_host": "algo-2",
        "hosts": ["algo-1", "algo-2"],
        "network_interface_name": "eth0",
        "current_instance_type": "ml.m5.xlarge",
        "instance_groups": [],
    }
    job = json.loads((config / "processingjobconfig.json").read_text())
    assert job["ProcessingJobArn"] == describe(world)["ProcessingJobArn"]
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert job["ProcessingInputs"][0]["S3Input"]["S3InputMode"] == "File"
    assert job["ProcessingOutputConfig"]["Outputs"][0]["AppManaged"] is False
    assert "Tags" not in job


def test_an_input_is_mounted_at_its_local_path(world: World) -> None:
    world.backends.objects.put_bytes("data", "raw/a.csv", b"1,2")
    create(world, ProcessingInputs=[s3_input("in", "s3://data/raw", "input/raw")])
    world.settle()
    (mount,) = world.driver.started[0].mounts
    assert mount.target == "/opt/ml/processing/input/raw"
    assert mount.mode is MountMode.VIEW
    assert (mount.source / "a.csv").read_bytes() == b"1,2"


def test_a_single_object_comes_under_its_own_name(world: World) -> None:
    world.backends.objects.put_bytes("data", "code/run.py", b"print()")
    world.backends.objects.put_bytes("data", "code/run.pyc", b"")
    create(world, ProcessingInputs=[s3_input("code", "s3://data/code/run.py", "input/code")])
    world.settle()
    (mount,) = world.driver.started[0].mounts
    assert mount.target == "/opt/ml/processing/input/code"
    assert (mount.source / "run.py").read_bytes() == b"print()"


def test_code_may_lie_in_the_folder_of_another_input(world: World) -> None:
    world.backends.objects.put_bytes("data", "code/run.py", b"print()")
    world.backends.objects.put_bytes("data", "raw/a.csv", b"1,2")
    create(
        world,
        ProcessingInputs=[
            s3_input("code", "s3://data/code/run.py", "input/code"),
            s3_input("raw", "s3://data/raw", "input"),
        ],
        ProcessingOutputConfig=s3_outputs(s3_output("input/out", "s3://results/out")),
    )
    world.settle()
    mounts = world.driver.started[0].mounts
    below = "/opt/ml/processing/input"
    assert [one.target for one in mounts] == [below, f"{below}/code", f"{below}/out"]
    assert mounts[2].mode is MountMode.READ_WRITE


def test_what_is_written_to_an_output_in_an_inputs_folder_is_uploaded(world: World) -> None:
    world.backends.objects.put_bytes("data", "raw/a.csv", b"1,2")
    world.driver.script("*", Outcome(after_s=5))
    create(
        world,
        ProcessingInputs=[s3_input("raw", "s3://data/raw", "input")],
        ProcessingOutputConfig=s3_outputs(s3_output("input/out", "s3://results/out")),
    )
    world.settle()
    (world.driver.started[0].mounts[1].source / "b.csv").write_text("3")
    world.advance(5)
    assert results(world) == {"out/b.csv": "3"}


def test_an_input_name_may_be_any_text(world: World) -> None:
    world.backends.objects.put_bytes("data", "raw-1.csv", b"1")
    create(world, ProcessingInputs=[s3_input("../é n", "s3://data/raw-", "in")])
    world.settle()
    assert describe(world)["ProcessingJobStatus"] == "Completed"
    (mount,) = world.driver.started[0].mounts
    assert (mount.source / "raw-1.csv").is_file()


def test_a_sharded_input_is_dealt_out_over_the_hosts(world: World) -> None:
    for number in range(5):
        world.backends.objects.put_bytes("data", f"set/{number}", b"x")
    source = s3_input("set", "s3://data/set/", S3DataDistributionType="ShardedByS3Key")
    create(world, ProcessingInputs=[source], ProcessingResources=cluster(2))
    world.settle()
    shares = [
        sorted(one.name for one in spec.mounts[0].source.iterdir()) for spec in world.driver.started
    ]
    assert shares == [["0", "2", "4"], ["1", "3"]]


def test_the_outputs_of_all_hosts_come_together(world: World) -> None:
    world.driver.script("*/algo-1/*", Outcome(files={"processing/train/1.csv": "1"}))
    world.driver.script("*/algo-2/*", Outcome(files={"processing/train/2.csv": "2"}))
    create(world, ProcessingOutputConfig=TRAIN, ProcessingResources=cluster(2))
    world.settle()
    assert results(world) == {"run-1/1.csv": "1", "run-1/2.csv": "2"}


def test_a_continuous_output_is_in_s3_while_the_job_runs(world: World) -> None:
    world.driver.script("*", Outcome(after_s=60, files={"processing/train/last.csv": "z"}))
    outputs = s3_outputs(
        s3_output("train", "s3://results/live", "Continuous"),
        s3_output("test", "s3://results/late"),
    )
    create(world, ProcessingOutputConfig=outputs)
    world.settle()
    (spec,) = world.driver.started
    (spec.ml / "processing/train/first.csv").write_text("a")
    (spec.ml / "processing/test/t.csv").write_text("t")
    world.advance(world.backends.settings.checkpoint_sync_s)
    assert results(world) == {"live/first.csv": "a"}
    (spec.ml / "processing/train/first.csv").write_text("ab")
    world.advance(world.backends.settings.checkpoint_sync_s)
    assert results(world) == {"live/first.csv": "ab"}
    world.advance(60)
    assert results(world) == {"live/first.csv": "ab", "live/last.csv": "z", "late/t.csv": "t"}


def test_outputs_that_lie_too_deep_are_told_and_the_others_are_uploaded(world: World) -> None:
    world.driver.script("*", Outcome(after_s=5, files={"processing/train/a.csv": "1"}))
    create(world, ProcessingOutputConfig=TRAIN)
    world.settle()
    (spec,) = world.driver.started
    make_deep(spec.ml / "processing/train")
    world.advance(5)
    assert describe(world)["ProcessingJobStatus"] == "Completed"
    assert results(world) == {"run-1/a.csv": "1"}
    assert "intermodal: `d/d/d/" in spec.log.read_text()
    folders.remove(spec.ml)  # pytest would recurse


def test_links_are_not_followed_into_s3(world: World, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    world.driver.script("*", Outcome(after_s=5, files={"processing/train/a.csv": "1"}))
    create(world, ProcessingOutputConfig=TRAIN)
    world.settle()
    (world.driver.started[0].ml / "processing/train/link").symlink_to(tmp_path / "secret")
    (world.driver.started[0].ml / "processing/train/folder").symlink_to(tmp_path)
    world.advance(5)
    assert results(world) == {"run-1/a.csv": "1"}


@pytest.mark.parametrize("replaced", ["processing", "processing/train"])
def test_an_output_folder_that_became_a_link_fails_the_job_and_uploads_nothing(
    world: World, tmp_path: Path, replaced: str
) -> None:
    (tmp_path / "elsewhere/train").mkdir(parents=True)
    (tmp_path / "elsewhere/train/secret").write_text("secret")
    world.driver.script("*", Outcome(after_s=5))
    create(world, ProcessingOutputConfig=TRAIN)
    world.settle()
    folder = world.driver.started[0].ml / replaced
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "elsewhere")
    world.advance(5)
    job = describe(world)
    assert job["ProcessingJobStatus"] == "Failed"
    assert "was replaced by a link" in job["FailureReason"]
    assert results(world) == {}


def test_the_exit_message_is_what_the_programs_left(world: World) -> None:
    world.driver.script("*/algo-1/*", Outcome(files={"output/message": "kept 90 rows; "}))
    world.driver.script("*/algo-2/*", Outcome(files={"output/message": "kept 80 rows"}))
    create(world, ProcessingResources=cluster(2))
    world.settle()
    assert describe(world)["ExitMessage"] == "kept 90 rows; kept 80 rows"


def test_an_exit_message_that_is_no_text_fails_the_job(world: World) -> None:
    world.driver.script("*", Outcome(after_s=5))
    create(world)
    world.settle()
    (world.driver.started[0].ml / "output/message").write_bytes(b"\xff\xff")
    world.advance(5)
    job = describe(world)
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: the exit message")
    assert "ExitMessage" not in job


def test_a_failed_job_says_how_it_ended_and_keeps_its_message_and_outputs(world: World) -> None:
    files = {"processing/train/a.csv": "1", "output/message": "row 7 is no number"}
    world.driver.script("*", Outcome(exit_code=3, files=files, log=((0, "ValueError: x"),)))
    create(world, ProcessingOutputConfig=TRAIN)
    world.settle()
    job = describe(world)
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == (
        "AlgorithmError: See job logs for more information: `algo-1` ended with exit code 3; "
        "last output: intermodal: nothing really runs / ValueError: x, exit code: 3"
    )
    assert job["ExitMessage"] == "row 7 is no number"
    assert results(world) == {"run-1/a.csv": "1"}


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(signal=11), "SIGSEGV"),
        (Outcome(out_of_memory=True), "more memory"),
        (Outcome(is_lost=True), "InternalServerError: instance `algo-1` was lost"),
        (Outcome(refusal="no such image `img:1`"), "ClientError: no such image `img:1`"),
        (Outcome(failure="no process left"), "InternalServerError: no process left"),
        (Outcome(exit_code=1, log=((0, "x" * 5000),)), ", exit code: 1"),
    ],
)
def test_each_kind_of_death_has_its_own_words(world: World, outcome: Outcome, words: str) -> None:
    world.driver.script("*", outcome)
    create(world)
    world.settle()
    job = describe(world)
    assert job["ProcessingJobStatus"] == "Failed"
    assert words in job["FailureReason"]
    assert len(job["FailureReason"]) <= 1024


def test_when_one_of_two_instances_fails_the_other_is_stopped_and_not_blamed(world: World) -> None:
    world.driver.script("*/algo-1/*", Outcome(after_s=None))
    world.driver.script("*/algo-2/*", Outcome(after_s=5, exit_code=2))
    create(world, ProcessingResources=cluster(2))
    world.settle()
    world.advance(5)
    job = describe(world)
    assert job["ProcessingJobStatus"] == "Failed"
    assert "`algo-2` ended with exit code 2" in job["FailureReason"]


def test_without_an_entry_point_the_images_own_gets_the_arguments(world: World) -> None:
    create(world, AppSpecification={"ImageUri": "img:1", "ContainerArguments": ["--ratio", "1"]})
    world.settle()
    (spec,) = world.driver.started
    assert (spec.entrypoint, spec.command) == ((), ("--ratio", "1"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ProcessingInputs": [s3_input("in", "s3://data/none/")]}, "matched no files on s3"),
        ({"ProcessingInputs": [s3_input("in", "s3://no-bucket/x")]}, "`no-bucket`"),
        (
            {"ProcessingOutputConfig": s3_outputs(s3_output("out", "s3://no-bucket/x"))},
            "the bucket `no-bucket` of output `out` does not exist",
        ),
    ],
)
def test_what_is_missing_in_s3_fails_the_job_before_anything_starts(
    world: World, changes: dict[str, Any], words: str
) -> None:
    create(world, **changes)
    world.settle()
    job = describe(world)
    assert job["ProcessingJobStatus"] == "Failed"
    assert words in job["FailureReason"]
    assert "ProcessingStartTime" not in job
    assert world.driver.started == []


def test_a_failed_job_whose_outputs_are_lost_too_says_both(world: World) -> None:
    outcome = Outcome(after_s=5, exit_code=4, files={"processing/train/a.csv": "1"})
    world.driver.script("*", outcome)
    create(world, ProcessingOutputConfig=TRAIN)
    world.settle()
    world.backends.objects.delete_bucket("results")
    world.advance(5)
    reason = describe(world)["FailureReason"]
    assert reason.startswith("AlgorithmError: ")
    assert "exit code: 4" in reason
    assert "the bucket `results` of output `train` does not exist" in reason


def test_a_stopped_job_gets_its_grace_and_keeps_what_it_wrote(world: World) -> None:
    world.driver.script("*", Outcome(after_s=None, ignores_sigterm=True))
    create(world, ProcessingOutputConfig=TRAIN)
    world.settle()
    (world.driver.started[0].ml / "processing/train/half.csv").write_text("1")
    stop(world)
    stop(world)
    world.settle()
    assert describe(world)["ProcessingJobStatus"] == "Stopping"
    world.advance(119)
    assert describe(world)["ProcessingJobStatus"] == "Stopping"
    world.advance(1)
    job = describe(world)
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "FailureReason" not in job
    assert results(world) == {"run-1/half.csv": "1"}


def test_stopping_a_job_that_has_not_begun_never_starts_it(world: World) -> None:
    create(world)
    stop(world)
    world.settle()
    job = describe(world)
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "ProcessingStartTime" not in job
    assert world.driver.started == []


def test_a_job_beyond_its_runtime_is_stopped_and_its_log_says_so(world: World) -> None:
    world.driver.script("*", Outcome(after_s=None))
    create(world, StoppingCondition={"MaxRuntimeInSeconds": 60})
    world.settle()
    world.advance(59)
    assert describe(world)["ProcessingJobStatus"] == "InProgress"
    world.advance(1)
    assert describe(world)["ProcessingJobStatus"] == "Stopped"
    assert "longer than MaxRuntimeInSeconds (60)" in last_lines(world.driver.started[0].log, 1)[0]


def test_the_log_stream_is_named_as_the_service_names_it(world: World) -> None:
    world.driver.script("*", Outcome(log=((0, "hello"),)))
    create(world)
    world.settle()
    group = "/aws/sagemaker/ProcessingJobs"
    (stream,) = world.backends.log_streams.streams(group)
    assert stream.name == f"job-1/algo-1-{int(world.clock.now())}"
    assert last_lines(stream.path, 1) == ["hello"]
