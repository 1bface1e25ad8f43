"""Spot interruptions, checkpoints, retries and waiting for capacity, on a clock turned by hand."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.capacity import Capacity, Demand, Grant, machine_gpus
from intermodal_engine.lifecycle.training_job import NotSpotError
from intermodal_engine.settings import Settings
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.deep_folders import make_deep
from tests.helpers.lifecycle import World, make_world, training_request

MEMORY = Path("/dev/shm")

SPOT: dict[str, Any] = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 500, "MaxWaitTimeInSeconds": 1000},
}
KEPT: dict[str, Any] = {"CheckpointConfig": {"S3Uri": "s3://data/ck"}}


def make(tmp_path: Path, **changes: Any) -> World:
    settings = Settings(home=tmp_path / "home", driver="fake", spot_capacity_wait_s=30.0, **changes)
    world = make_world(settings.home, settings=settings)
    world.backends.objects.create_bucket("results")
    world.backends.objects.create_bucket("data")
    return world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make(tmp_path)


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: durable writes cost nothing there."""
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


def create(world: World, name: str = "job-1", **changes: Any) -> None:
    world.call("CreateTrainingJob", **training_request(name, **changes))
    world.settle()


def describe(world: World, name: str = "job-1") -> dict[str, Any]:
    return world.call("DescribeTrainingJob", TrainingJobName=name)


def messages(world: World, name: str = "job-1") -> list[str]:
    return [
        f"{one['Status']}: {one['StatusMessage']}"
        for one in describe(world, name)["SecondaryStatusTransitions"]
    ]


def save(world: World, name: str, content: str) -> None:
    """The script of the last started instance saves a checkpoint."""
    path = world.driver.started[-1].ml / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def kept(world: World) -> dict[str, bytes]:
    return {one.key: one.path.read_bytes() for one in world.backends.objects.iterate("data", "ck/")}


def test_an_interrupted_job_gets_its_notice_waits_and_starts_again(world: World) -> None:
    world.driver.script("*/0", Outcome(after_s=None, ignores_sigterm=True))
    world.driver.script("*/1", Outcome(after_s=20))
    create(world, **SPOT, **KEPT)
    save(world, "epoch-1", "one")
    world.advance(10)
    world.backends.training_jobs.interrupt("job-1")
    world.settle()
    assert describe(world)["SecondaryStatus"] == "Interrupted"
    world.advance(119)
    assert len(world.driver.started) == 1
    world.advance(1)  # the notice is over: the instance is gone
    assert describe(world)["SecondaryStatus"] == "Interrupted"
    world.advance(30)
    assert describe(world)["SecondaryStatus"] == "Training"
    assert (world.driver.started[1].ml / "checkpoints" / "epoch-1").read_text() == "one"
    world.advance(20)
    job = describe(world)
    assert job["TrainingJobStatus"] == "Completed"
    assert job["TrainingTimeInSeconds"] == 150
    assert job["BillableTimeInSeconds"] == 45
    order = [one.partition(":")[0] for one in messages(world)]
    assert order == [
        "Starting",
        "Downloading",
        "Training",
        "Interrupted",
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert "Checkpoint files restored: 1." in messages(world)[6]


def test_each_attempt_has_log_streams_of_its_own(world: World) -> None:
    world.driver.script("*", Outcome(after_s=None))
    create(world, **SPOT)
    world.advance(5)
    world.backends.training_jobs.interrupt("job-1")
    world.settle()
    world.advance(30)
    first, second = world.driver.started
    assert first.log != second.log


def test_a_job_that_saves_nothing_is_told_that_it_begins_anew(world: World) -> None:
    world.driver.script("*", Outcome(after_s=None))
    create(world, **SPOT)
    world.backends.training_jobs.interrupt("job-1")
    world.settle()
    world.advance(30)
    assert "no CheckpointConfig" in "".join(messages(world))


def test_runtime_counts_over_all_attempts(world: World) -> None:
    world.driver.script("*", Outcome(after_s=None))
    create(world, **SPOT)
    world.advance(60)
    world.backends.training_jobs.interrupt("job-1")
    world.settle()
    world.advance(30)
    assert world.driver.started[1].max_runtime_s == 440
    world.advance(440)
    assert describe(world)["SecondaryStatus"] == "MaxRuntimeExceeded"


def test_a_job_that_waits_longer_than_allowed_ends_and_says_so(world: World) -> None:
    world.driver.script("*", Outcome(after_s=None))
    create(
        world,
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 100, "MaxWaitTimeInSeconds": 100},
    )
    world.advance(90)
    world.backends.training_jobs.interrupt("job-1")
    world.settle()
    world.advance(10)
    job = describe(world)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")


def test_only_a_spot_job_that_trains_can_be_interrupted(world: World) -> None:
    world.driver.script("*", Outcome(after_s=None))
    create(world, "plain")
    with pytest.raises(NotSpotError, match="EnableManagedSpotTraining"):
        world.backends.training_jobs.interrupt("plain")
    create(world, "spot", **SPOT)
    world.backends.training_jobs.interrupt("spot")
    with pytest.raises(NotSpotError, match="is Interrupted, not Training"):
        world.backends.training_jobs.interrupt("spot")


def test_a_job_can_be_stopped_while_it_waits_for_capacity(world: World) -> None:
    world.driver.script("*", Outcome(after_s=None))
    create(world, **SPOT)
    world.backends.training_jobs.interrupt("job-1")
    world.settle()
    world.call("StopTrainingJob", TrainingJobName="job-1")
    world.settle()
    assert describe(world)["TrainingJobStatus"] == "Stopped"
    world.advance(100)
    assert len(world.driver.started) == 1


@pytest.mark.parametrize("moment", ["in the notice", "while waiting"])
def test_an_interruption_outlives_the_engine(world: World, moment: str) -> None:
    world.driver.script("*", Outcome(after_s=None, ignores_sigterm=True))
    create(world, **SPOT, **KEPT)
    save(world, "a", "1")
    world.backends.training_jobs.interrupt("job-1")
    world.settle()
    if moment == "while waiting":
        world.advance(120)
    second = world.restarted()
    second.driver.script("*", Outcome(after_s=5))
    second.settle()
    second.advance(120)
    second.advance(30)
    second.advance(5)
    assert describe(second)["TrainingJobStatus"] == "Completed"
    assert kept(second)["ck/a"] == b"1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"EnableManagedSpotTraining": True}, "must be present"),
        (
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 10, "MaxWaitTimeInSeconds": 5},
            },
            "greater than or equal",
        ),
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": 10, "MaxWaitTimeInSeconds": 50}},
            "only supported when",
        ),
    ],
)
def test_times_that_contradict_are_refused(
    world: World, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError, match=words):
        create(world, **changes)


def test_checkpoints_are_in_s3_while_the_job_runs(world: World) -> None:
    world.driver.script("*", Outcome(after_s=100))
    create(world, **KEPT)
    save(world, "sub/a", "1")
    world.advance(2)
    assert kept(world) == {"ck/sub/a": b"1"}
    save(world, "sub/a", "22")
    world.advance(2)
    assert kept(world) == {"ck/sub/a": b"22"}


def test_half_results_are_in_s3_while_the_job_runs_and_with_it_at_its_end(world: World) -> None:
    objects = world.backends.objects
    late = Outcome(after_s=100, files={"output/intermediate/late": "3"})
    world.driver.script("*", late)
    create(world)
    folder = world.driver.started[-1].ml / "output" / "intermediate"
    folder.mkdir(parents=True)
    (folder / "plot.png").write_text("1")
    world.advance(2)
    prefix = "job-1/output/intermediate/"
    found = [
        one.key.partition(prefix)[2] for one in objects.iterate("results") if prefix in one.key
    ]
    assert found == ["plot.png"]
    world.advance(98)
    assert describe(world)["TrainingJobStatus"] == "Completed"
    found = [
        one.key.partition(prefix)[2] for one in objects.iterate("results") if prefix in one.key
    ]
    assert found == ["late", "plot.png"]


def test_checkpoints_that_lie_too_deep_are_told_once_and_the_others_are_kept(world: World) -> None:
    world.driver.script("*", Outcome(after_s=100))
    world.driver.script("*/algo-1/0", Outcome(after_s=10, is_lost=True))
    create(world, **KEPT, RetryStrategy={"MaximumRetryAttempts": 1})
    save(world, "good", "1")
    (first,) = world.driver.started
    make_deep(first.ml / "checkpoints")
    world.advance(2)
    save(world, "later", "2")
    world.advance(2)
    assert kept(world) == {"ck/good": b"1", "ck/later": b"2"}
    told = [line for line in first.log.read_text().splitlines() if "is not kept in" in line]
    assert len(told) == 1
    assert "intermodal: `d/d/d/" in told[0]
    world.advance(6)  # its folder is made anew
    world.advance(100)
    assert describe(world)["TrainingJobStatus"] == "Completed"


def test_the_last_checkpoint_is_kept_however_late_it_was_written(world: World) -> None:
    world.driver.script("*", Outcome(after_s=1, exit_code=1, files={"checkpoints/last": "x"}))
    create(world, **KEPT)
    world.advance(1)
    assert describe(world)["TrainingJobStatus"] == "Failed"
    assert kept(world) == {"ck/last": b"x"}


def test_a_new_job_with_the_same_checkpoints_resumes_from_them(world: World) -> None:
    world.backends.objects.put_bytes("data", "ck/epoch-7", b"seven")
    world.driver.script("*", Outcome(after_s=None))
    create(world, CheckpointConfig={"S3Uri": "s3://data/ck/", "LocalPath": "/opt/ml/own"})
    (spec,) = world.driver.started
    (mount,) = [one for one in spec.mounts if one.target == "/opt/ml/own"]
    assert (mount.source / "epoch-7").read_bytes() == b"seven"


def test_a_lost_instance_is_repeated_as_often_as_the_request_says(world: World) -> None:
    world.driver.script("*", Outcome(after_s=1, is_lost=True))
    create(world, RetryStrategy={"MaximumRetryAttempts": 2})
    for _ in range(5):
        world.advance(1)
    job = describe(world)
    assert job["TrainingJobStatus"] == "Failed"
    assert len(world.driver.started) == 3
    assert "was lost" in job["FailureReason"]


def test_what_the_script_itself_did_wrong_is_not_repeated(world: World) -> None:
    world.driver.script("*", Outcome(exit_code=1))
    create(world, RetryStrategy={"MaximumRetryAttempts": 2})
    assert len(world.driver.started) == 1


def test_metrics_come_from_the_log_lines(world: World) -> None:
    lines = ((0, "loss=0.5"), (1, "loss=nan-ish"), (2, "acc: 0.75 loss=0.25"))
    world.driver.script("*", Outcome(after_s=3, log=lines))
    algorithm = {
        "TrainingImage": "img:1",
        "TrainingInputMode": "File",
        "MetricDefinitions": [
            {"Name": "train:loss", "Regex": "loss=([0-9.]+)"},
            {"Name": "acc", "Regex": "acc: ([0-9.]+)"},
        ],
    }
    create(world, AlgorithmSpecification=algorithm)
    for _ in range(3):
        world.advance(1)
    final = {one["MetricName"]: one["Value"] for one in describe(world)["FinalMetricDataList"]}
    assert final == {"train:loss": 0.25, "acc": 0.75}


def test_a_loss_that_leaves_all_bounds_is_no_value_and_the_job_ends(world: World) -> None:
    lines = tuple((0, f"loss={value}") for value in ("0.5", "inf", "-Infinity", "nan", "1e999"))
    world.driver.script("*", Outcome(after_s=1, log=lines))
    algorithm = {
        "TrainingImage": "img:1",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "loss", "Regex": r"loss=(\S+)"}],
    }
    create(world, AlgorithmSpecification=algorithm)
    world.advance(1)
    job = describe(world)
    assert job["TrainingJobStatus"] == "Completed"
    assert [one["Value"] for one in job["FinalMetricDataList"]] == [0.5]


def test_an_expression_that_takes_for_ever_is_given_up_and_the_others_go_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.driver.script("*", Outcome(after_s=1, log=((0, "a" * 60 + "bbd loss=0.5"),)))
    algorithm = {
        "TrainingImage": "img:1",
        "TrainingInputMode": "File",
        "MetricDefinitions": [
            {"Name": "evil", "Regex": r"^(?:(?:a|aa)+)+[bc]d"},
            {"Name": "loss", "Regex": "loss=([0-9.]+)"},
        ],
    }
    create(world, AlgorithmSpecification=algorithm)
    world.advance(1)
    (final,) = describe(world)["FinalMetricDataList"]
    assert (final["MetricName"], final["Value"]) == ("loss", 0.5)
    assert "metric `evil` is given up" in caplog.text


def test_a_metric_whose_expression_is_none_is_refused(world: World) -> None:
    algorithm = {
        "TrainingImage": "img:1",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(["}],
    }
    with pytest.raises(ServiceError, match="metric `loss`"):
        create(world, AlgorithmSpecification=algorithm)


def test_jobs_beyond_the_limit_wait_in_line_and_say_so(tmp_path: Path) -> None:
    world = make(tmp_path, max_instances=2)
    world.driver.script("*", Outcome(after_s=10))
    for number in range(4):
        world.clock.advance(0.1)
        create(world, f"job-{number}")
    assert [one.instance_id.split("/")[1] for one in world.driver.started] == ["job-0", "job-1"]
    assert describe(world, "job-3")["SecondaryStatus"] == "Pending"
    assert "2 of 2 instances are in use, 1 job ahead" in messages(world, "job-3")[-1]
    world.advance(10)
    world.advance(10)
    assert [describe(world, f"job-{n}")["TrainingJobStatus"] for n in range(4)] == ["Completed"] * 4


def test_two_hundred_jobs_drain_without_loss(memory_path: Path) -> None:
    world = make(memory_path, max_instances=3)
    for number in range(200):
        create(world, f"job-{number:03}", ResourceConfig=cluster(1 + number % 3))
    for _ in range(200):
        world.advance(1)
    done = world.call("ListTrainingJobs", StatusEquals="Completed", MaxResults=100)
    rest = world.call(
        "ListTrainingJobs", StatusEquals="Completed", MaxResults=100, NextToken=done["NextToken"]
    )
    assert len(done["TrainingJobSummaries"]) + len(rest["TrainingJobSummaries"]) == 200
    assert len({spec.instance_id for spec in world.driver.started}) == len(world.driver.started)


def test_a_large_job_is_not_overtaken_for_ever(tmp_path: Path) -> None:
    world = make(tmp_path, max_instances=2)
    world.driver.script("*", Outcome(after_s=10))
    create(world, "first")
    world.clock.advance(1)
    create(world, "large", ResourceConfig=cluster(2))
    world.clock.advance(1)
    create(world, "small")
    assert describe(world, "small")["SecondaryStatus"] == "Pending"
    world.advance(8)
    assert describe(world, "large")["SecondaryStatus"] == "Training"


def test_a_job_larger_than_the_limit_is_refused_in_the_services_words(tmp_path: Path) -> None:
    world = make(tmp_path, max_instances=2)
    with pytest.raises(ServiceError, match="account-level service limit") as refused:
        create(world, ResourceConfig=cluster(3))
    assert refused.value.code == "ResourceLimitExceeded"


def test_a_waiting_job_can_be_stopped_and_frees_the_line(tmp_path: Path) -> None:
    world = make(tmp_path, max_instances=1)
    world.driver.script("*", Outcome(after_s=10))
    for name in ("a", "b", "c"):
        world.clock.advance(0.1)
        create(world, name)
    world.call("StopTrainingJob", TrainingJobName="b")
    world.settle()
    assert describe(world, "b")["TrainingJobStatus"] == "Stopped"
    world.advance(10)
    assert describe(world, "c")["SecondaryStatus"] == "Training"


def test_a_restarted_engine_keeps_to_the_limit(tmp_path: Path) -> None:
    world = make(tmp_path, max_instances=1)
    world.driver.script("*", Outcome(after_s=10))
    for name in ("a", "b"):
        world.clock.advance(0.1)
        create(world, name)
    second = world.restarted()
    second.driver.script("*", Outcome(after_s=10))
    second.settle()
    assert second.driver.started == []
    second.advance(10)
    assert describe(second, "a")["TrainingJobStatus"] == "Completed"
    assert describe(second, "b")["SecondaryStatus"] == "Training"


def test_gpus_are_never_given_twice() -> None:
    capacity = Capacity(10, (0, 1, 2), lambda _kind, _name: None)
    assert capacity.take(("job", "a"), Demand(1, 2, (1.0, "a"))) == Grant((0, 1))
    assert capacity.take(("job", "b"), Demand(1, 2, (2.0, "b"))) is None
    assert capacity.take(("job", "c"), Demand(1, 0, (3.0, "c"))) is None
    capacity.release(("job", "a"))
    assert capacity.take(("job", "b"), Demand(1, 2, (2.0, "b"))) == Grant((0, 1))
    assert capacity.take(("job", "c"), Demand(1, 0, (3.0, "c"))) == Grant(())


def test_a_job_that_wants_more_gpus_than_there_are_gets_them_all() -> None:
    capacity = Capacity(10, (0,), lambda _kind, _name: None)
    assert capacity.take(("job", "a"), Demand(1, 8, (1.0, "a"))) == Grant((0,))


def test_gpus_are_counted_by_their_device_files(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert machine_gpus(tmp_path) == (0, 2, 10)


def cluster(count: int) -> dict[str, Any]:
    return {"InstanceType": "ml.m5.xlarge", "InstanceCount": count, "VolumeSizeInGB": 1}
