"""Transform jobs with a fake driver and fake movers: every phase, every end, every restart."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.transform_instances import KIND
from intermodal_engine.lifecycle.transform_job import LOOK_S
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.lifecycle import ROLE, World, make_world
from tests.helpers.transform_jobs import RUNS, FakeMovers, create, describe, opened


@pytest.fixture
def movers() -> FakeMovers:
    return FakeMovers()


@pytest.fixture
def world(tmp_path: Path, movers: FakeMovers) -> World:
    return opened(make_world(tmp_path / "home", movers=movers))


def results(world: World) -> list[str]:
    return sorted(one.key for one in world.backends.objects.iterate("results"))


def test_instances_serve_objects_are_moved_and_published_and_the_instances_stopped(
    world: World, movers: FakeMovers
) -> None:
    create(world, TransformResources={"InstanceCount": 2})
    assert describe(world)["TransformJobStatus"] == "InProgress"
    assert len(movers.plans) == 2
    assert {spec.command for spec in world.driver.started} == {("serve",)}
    for folder in list(movers.plans):
        movers.moves(folder)
    world.advance(LOOK_S)
    job = describe(world)
    assert job["TransformJobStatus"] == "Completed", job
    assert results(world) == ["out/0.csv.out", "out/1.csv.out", "out/2.csv.out"]
    assert job["TransformEndTime"] > job["TransformStartTime"]
    assert world.driver.next_turn_at() is None


def test_the_request_wins_over_the_models_variables_and_batch_transform_is_told(
    world: World,
) -> None:
    create(
        world,
        Environment={"B": "request"},
        BatchStrategy="MultiRecord",
        MaxPayloadInMB=2,
        MaxConcurrentTransforms=4,
    )
    environment = world.driver.started[0].environment
    assert (environment["A"], environment["B"]) == ("model", "request")
    assert environment["SAGEMAKER_BATCH"] == "true"
    assert environment["SAGEMAKER_BATCH_STRATEGY"] == "MULTI_RECORD"
    assert environment["SAGEMAKER_MAX_PAYLOAD_IN_MB"] == "2"
    assert environment["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] == "4"


def test_what_failed_is_named_and_the_rest_is_kept(world: World, movers: FakeMovers) -> None:
    create(world)
    (folder,) = movers.plans
    movers.moves(folder, failed=(1,))
    world.advance(LOOK_S)
    job = describe(world)
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"] == (
        "ClientError: See job logs for more information: 1 of 3 objects could not be transformed: "
        "s3://data/in/1.csv, byte 7: bad"
    )
    assert results(world) == ["out/0.csv.out", "out/2.csv.out"]


def test_a_mover_that_cannot_go_on_fails_the_job(world: World, movers: FakeMovers) -> None:
    create(world)
    (folder,) = movers.plans
    (folder / "failure").write_text("AlgorithmError: never healthy")
    world.advance(LOOK_S)
    assert describe(world)["FailureReason"] == "AlgorithmError: never healthy"
    assert world.driver.next_turn_at() is None


@pytest.mark.parametrize("code", [0, 3])
def test_an_instance_that_ends_fails_the_job_and_ends_the_others(world: World, code: int) -> None:
    world.driver.script("*", Outcome(after_s=5, exit_code=code))
    create(world, TransformResources={"InstanceCount": 2})
    world.advance(5)
    job = describe(world)
    assert job["TransformJobStatus"] == "Failed"
    assert f"exit code: {code}" in job["FailureReason"]
    assert world.driver.next_turn_at() is None


def test_outputs_appear_while_the_job_runs_and_a_stop_keeps_them(
    world: World, movers: FakeMovers
) -> None:
    create(world)
    (folder,) = movers.plans
    (folder / "0.out").write_text("whole")
    (folder / "1.new").write_text("half")
    world.advance(LOOK_S)
    assert results(world) == ["out/0.csv.out"]
    (folder / "2.out").write_text("whole")
    world.call("StopTransformJob", TransformJobName="job-1")
    world.settle()
    assert describe(world)["TransformJobStatus"] == "Stopped"
    assert results(world) == ["out/0.csv.out", "out/2.csv.out"]
    assert folder in movers.ended
    with pytest.raises(ServiceError, match="is in status Stopped"):
        world.call("StopTransformJob", TransformJobName="job-1")


def test_the_next_engine_adopts_what_runs_and_publishes_what_became_whole(
    world: World, movers: FakeMovers, tmp_path: Path
) -> None:
    create(world)
    (folder,) = movers.plans
    movers.moves(folder)
    after = make_world(tmp_path / "home", clock=world.clock, movers=FakeMovers())
    after.driver.script("*", RUNS)
    after.settle()
    assert describe(after)["TransformJobStatus"] == "Completed"
    assert len(results(after)) == 3


def test_a_job_waits_for_its_place_and_can_be_stopped_before_it_has_one(world: World) -> None:
    limit = world.backends.settings.max_instances
    create(world, "first", TransformResources={"InstanceCount": limit})
    create(world, "second")
    assert len(world.driver.started) == limit
    world.call("StopTransformJob", TransformJobName="second")
    world.settle()
    assert describe(world, "second")["TransformJobStatus"] == "Stopped"
    world.call("StopTransformJob", TransformJobName="first")
    world.settle()
    create(world, "third")
    assert len(world.driver.started) == limit + 1


def test_data_model_and_bucket_that_are_not_there_are_named(world: World) -> None:
    container = {"Image": "img:1", "ModelDataUrl": "s3://data/no/model.tar.gz"}
    world.call("CreateModel", ModelName="lost", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://data/none/"}
    create(world, "no-data", TransformInput={"DataSource": {"S3DataSource": source}})
    create(world, "no-bucket", TransformOutput={"S3OutputPath": "s3://nowhere/out"})
    with world.backends.records.edit("model", "m") as draft:
        draft.request["PrimaryContainer"] = container
    create(world, "no-model")
    reasons = {name: describe(world, name)["FailureReason"] for name in ("no-data", "no-bucket")}
    assert "s3://data/none/ matched no files" in reasons["no-data"]
    assert "bucket `nowhere` of `S3OutputPath`" in reasons["no-bucket"]
    assert (
        "Could not find model data at s3://data/no/model.tar.gz"
        in (describe(world, "no-model")["FailureReason"])
    )
    assert world.driver.started == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ModelName": "none"}, "Could not find model"),
        (
            {"TransformInput": {"SplitType": "None"}, "BatchStrategy": "MultiRecord"},
            "set SplitType",
        ),
        ({"MaxPayloadInMB": 30, "MaxConcurrentTransforms": 4}, "must not exceed 100 MB: it is 120"),
        ({"DataProcessing": {"InputFilter": "x"}}, "`x` does not begin with `\\$`"),
        ({"DataProcessing": {"JoinSource": "Input"}}, "DataProcessing is for ContentType"),
        ({"TransformResources": {"InstanceCount": 99}}, "service limit 'ml.m5.large for transform"),
        ({"TransformOutput": {"S3OutputPath": "https://elsewhere/x"}}, "https://elsewhere/x"),
    ],
)
def test_what_the_service_refuses_is_refused(
    world: World, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError, match=words):
        create(world, "bad", **changes)
    assert world.backends.records.find(KIND, "bad") is None


def test_a_name_is_used_once(world: World) -> None:
    create(world)
    with pytest.raises(ServiceError, match="already exists"):
        create(world)
