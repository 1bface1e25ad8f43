"""`fit()` while the job runs and after it has ended."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from intermodal import Session
from intermodal.errors import ConnectionLostError, JobFailedError
from intermodal.polling import Pace, Patience
from intermodal.pytorch import PyTorch
from tests.helpers.fake_aws import ROLE_ARN, FakeAws, JobPlan, Step


def estimator(session: Session, script: Path, **more: Any) -> PyTorch:
    arguments: dict[str, Any] = {"instance_count": 1, "instance_type": "ml.m5.large", **more}
    return PyTorch(
        str(script),
        framework_version="2.2.0",
        role=ROLE_ARN,
        sagemaker_session=session,
        **arguments,
    )


def test_status_changes_and_every_log_line_are_shown_once(
    aws: FakeAws, session: Session, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.plan = JobPlan(
        [
            Step("Starting", "Starting the training job"),
            Step("Training", "Training in progress.", ("epoch 1", "epoch 2")),
            Step("Uploading", "Uploading the model", ("epoch 3",)),
        ]
    )

    estimator(session, script).fit(job_name="job")

    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if line.startswith("epoch")] == ["epoch 1", "epoch 2", "epoch 3"]
    statuses = [line.split(" ", 2)[2] for line in shown if not line.startswith("epoch")]
    assert statuses == [
        "Starting - Starting the training job",
        "Training - Training in progress.",
        "Uploading - Uploading the model",
        "Completed - Training job ended",
    ]


def test_lines_of_several_hosts_say_which_host_they_are_from(
    aws: FakeAws, session: Session, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.plan = JobPlan([Step("Training", "", ("hello",))], hosts=2)

    estimator(session, script, instance_count=2).fit()

    shown = capsys.readouterr().out.splitlines()
    assert sorted(line for line in shown if "hello" in line) == ["algo-1 | hello", "algo-2 | hello"]


def test_a_failed_job_raises_with_its_reason_its_last_lines_and_where_the_rest_is(
    aws: FakeAws, session: Session, script: Path
) -> None:
    lines = tuple(f"line {number}" for number in range(50))
    aws.plan = JobPlan([Step("Training", "", lines)], end="Failed", reason="AlgorithmError: boom")

    with pytest.raises(JobFailedError) as raised:
        estimator(session, script).fit(job_name="job", logs=False)

    message = str(raised.value)
    assert "training job `job` failed: AlgorithmError: boom" in message
    assert "algo-1 | line 49" in message
    assert "line 29\n" not in message
    assert "`intermodal logs job`" in message
    assert "`/aws/sagemaker/TrainingJobs`, streams `job/algo-1-1700000000`" in message
    assert raised.value.actual_status == "Failed"


def test_a_failed_job_that_was_watched_shows_its_last_lines_too(
    aws: FakeAws, session: Session, script: Path
) -> None:
    aws.plan = JobPlan([Step("Training", "", ("the cause",))], end="Failed", reason="boom")

    with pytest.raises(JobFailedError, match=r"algo-1 \| the cause"):
        estimator(session, script).fit()


def test_a_stopped_job_is_no_error_but_is_said(
    aws: FakeAws, session: Session, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = estimator(session, script)
    job.fit(wait=False)
    job.stop()
    assert job.latest_training_job is not None

    job.latest_training_job.wait()

    assert "is Stopped, not Completed" in capsys.readouterr().out


def test_a_log_that_may_not_be_read_is_told_once_and_the_job_is_watched_on(
    aws: FakeAws, session: Session, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.plan = JobPlan([Step("Starting"), Step("Training")])
    aws.refused = {"DescribeLogStreams"}

    estimator(session, script).fit(job_name="job")

    shown = capsys.readouterr().out
    assert shown.count("the log cannot be read") == 1
    assert "AccessDeniedException" in shown
    assert "Completed" in shown


def test_an_interrupted_watch_says_that_the_job_goes_on(
    aws: FakeAws, session: Session, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(operation: str) -> BaseException | None:
        return KeyboardInterrupt() if operation == "DescribeTrainingJob" else None

    aws.faults = [interrupt]

    with pytest.raises(KeyboardInterrupt):
        estimator(session, script).fit(job_name="job")

    shown = capsys.readouterr().out
    assert "`job` goes on without being watched" in shown
    assert "attach('job')" in shown
    assert "stop_training_job('job')" in shown


def test_without_wait_nothing_is_watched(aws: FakeAws, session: Session, script: Path) -> None:
    estimator(session, script).fit(wait=False)

    assert "sagemaker.DescribeTrainingJob" not in aws.operations()


def test_a_connection_that_drops_while_watching_is_taken_up_again(
    aws: FakeAws, session: Session, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = estimator(session, script)
    job.fit(wait=False)
    # More often than botocore itself tries again.
    aws.faults = [_unreachable("DescribeTrainingJob")] * 5 + [_unreachable("GetLogEvents")]
    assert job.latest_training_job is not None

    assert job.latest_training_job.wait()["TrainingJobStatus"] == "Completed"

    shown = capsys.readouterr().out
    assert shown.count("connection lost") == 1
    assert shown.count("connected again") == 1


def test_a_connection_that_drops_between_two_hosts_logs_loses_no_line(
    aws: FakeAws, session: Session, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.plan = JobPlan([Step("Training", "", ("hello",)), Step("Uploading")], hosts=2)
    asked = 0

    def drop(operation: str) -> BaseException | None:
        nonlocal asked
        asked += operation == "GetLogEvents"
        return EndpointConnectionError(endpoint_url="https://x") if asked > 1 else None

    # The second host's log, as often as botocore itself tries.
    aws.faults = [drop] * 4

    estimator(session, script, instance_count=2).fit()

    shown = capsys.readouterr().out.splitlines()
    assert "connection lost" in "".join(shown)
    assert sorted(line for line in shown if "hello" in line) == ["algo-1 | hello", "algo-2 | hello"]


def test_a_service_that_stays_away_is_given_up_and_the_job_is_said_to_go_on() -> None:
    time = Time()
    patience = Patience("training job `x`", print, limit_s=60, clock=time.now, sleep=time.sleep)

    def unreachable() -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    with pytest.raises(ConnectionLostError, match="goes on without being watched"):
        patience.ask(unreachable)
    assert 60 < time.seconds < 90


def test_a_near_service_is_asked_at_least_every_tenth_of_a_second() -> None:
    time = Time()
    pace = Pace(time.now, time.sleep)

    pace.timed(lambda: time.sleep(0.003))

    assert pace.interval_s == pytest.approx(0.05)
    time.sleep(3600)
    assert pace.interval_s == pytest.approx(0.1)


def test_a_far_service_is_asked_ever_less_often_down_to_every_five_seconds() -> None:
    time = Time()
    pace = Pace(time.now, time.sleep)

    pace.timed(lambda: time.sleep(0.1))

    assert pace.interval_s == pytest.approx(0.05)
    time.sleep(20)
    assert pace.interval_s == pytest.approx(1.0, rel=0.01)
    time.sleep(3600)
    assert pace.interval_s == pytest.approx(2.5)
    assert pace.is_far
    slow = Pace(time.now, time.sleep)
    slow.timed(lambda: time.sleep(2))
    time.sleep(3600)
    assert slow.interval_s == pytest.approx(5.0)


def _unreachable(wanted: str) -> Callable[[str], BaseException | None]:
    def fault(operation: str) -> Exception | None:
        return EndpointConnectionError(endpoint_url="https://x") if operation == wanted else None

    return fault


class Time:
    """Seconds that pass only when someone sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
