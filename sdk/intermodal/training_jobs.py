"""Training jobs on the wire: start, describe, stop, and watch one until it ends."""

from collections.abc import Mapping, Sequence
from typing import Any

from intermodal.clients import Clients
from intermodal.errors import JobFailedError, SdkError
from intermodal.live import LiveView, LogLine
from intermodal.logs import TRAINING_GROUP, LogTail
from intermodal.polling import Pace, Patience
from intermodal_contract.statuses import TrainingJobStatus, is_terminal


class TrainingJobs(Clients):
    """What a session does with training jobs."""

    def create_training_job(self, request: Mapping[str, Any]) -> None:
        """CreateTrainingJob with exactly these parameters."""
        self.sagemaker_client.create_training_job(**request)

    def describe_training_job(self, job_name: str) -> dict[str, Any]:
        """DescribeTrainingJob."""
        return dict(self.sagemaker_client.describe_training_job(TrainingJobName=job_name))

    def stop_training_job(self, job_name: str) -> None:
        """Ask the job to stop; a job that has ended already is left as it is."""
        from botocore.exceptions import ClientError

        try:
            self.sagemaker_client.stop_training_job(TrainingJobName=job_name)
        except ClientError as error:
            ended = is_terminal(
                TrainingJobStatus(self.describe_training_job(job_name)["TrainingJobStatus"])
            )
            if error.response["Error"]["Code"] != "ValidationException" or not ended:
                raise

    def wait_for_job(self, job: str) -> dict[str, Any]:
        """Wait in silence until the job has ended.

        Returns:
            Its last description.

        Raises:
            JobFailedError: it failed.
        """
        return self.watch_job(job, view=None)

    def logs_for_job(self, job_name: str, wait: bool = False) -> None:
        """Print the job's log lines and status changes.

        Args:
            job_name: the training job.
            wait: until the job has ended; otherwise print what there is.

        Raises:
            JobFailedError: it failed, and `wait` was asked for.
        """
        view = LiveView()
        if wait:
            self.watch_job(job_name, view)
            return
        description = self.describe_training_job(job_name)
        tail = self._tail(description)
        lines = tail.read(to_the_end=True)
        view.happened(
            description.get("SecondaryStatusTransitions", []),
            lines,
            has_hosts=_has_hosts(description),
        )

    def watch_job(self, job_name: str, view: LiveView | None) -> dict[str, Any]:
        """Wait until the job has ended and every line of its log is shown.

        Args:
            job_name: the training job.
            view: shows status changes and log lines; `None` waits in silence.

        Returns:
            The job's last description.

        Raises:
            JobFailedError: it failed: the reason, the last lines, where the rest is.
            ConnectionLostError: the service was out of reach for long; the job goes on.
        """
        speaker = view or LiveView()
        patience = Patience(f"training job `{job_name}`", speaker.say)
        pace = Pace()
        tail: LogTail | None = None
        while True:
            description = patience.ask(
                lambda: pace.timed(lambda: self.describe_training_job(job_name))
            )
            has_ended = is_terminal(TrainingJobStatus(description["TrainingJobStatus"]))
            if view is not None:
                tail = tail or self._tail(description)
                self._show(view, description, _read(tail, patience, to_the_end=has_ended))
                if has_ended and pace.is_far:
                    # A log service that many share shows the last lines a moment after the end.
                    pace.rest()
                    self._show(view, description, _read(tail, patience, to_the_end=True))
            if has_ended:
                self._settle(description, tail, patience, speaker)
                return description
            pace.rest()

    def _show(
        self, view: LiveView, description: Mapping[str, Any], lines: Sequence[LogLine]
    ) -> None:
        transitions = description.get("SecondaryStatusTransitions", [])
        view.happened(transitions, lines, has_hosts=_has_hosts(description))

    def _tail(self, description: Mapping[str, Any]) -> LogTail:
        prefix = f"{description['TrainingJobName']}/"
        return LogTail(self.client("logs"), TRAINING_GROUP, prefix, _instances(description))

    def _settle(
        self,
        description: Mapping[str, Any],
        tail: LogTail | None,
        patience: Patience,
        speaker: LiveView,
    ) -> None:
        name, status = description["TrainingJobName"], description["TrainingJobStatus"]
        if status == TrainingJobStatus.FAILED:
            if tail is None:
                tail = self._tail(description)
                patience.ask(tail.end)
            raise _job_failed(description, tail)
        if status == TrainingJobStatus.STOPPED:
            speaker.say(
                f"Training job `{name}` is Stopped, not Completed: "
                "it was stopped, or ran into max_run or max_wait"
            )


class TrainingJob:
    """One training job that was started here or found again.

    Args:
        sagemaker_session: the session that it belongs to.
        job_name: its name.
    """

    def __init__(self, sagemaker_session: TrainingJobs, job_name: str) -> None:
        self.sagemaker_session = sagemaker_session
        self.job_name = job_name
        self._ended: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The job's name."""
        return self.job_name

    def describe(self) -> dict[str, Any]:
        """DescribeTrainingJob."""
        return self.sagemaker_session.describe_training_job(self.job_name)

    def describe_ended(self) -> dict[str, Any]:
        """Its last description where it was seen to end; else DescribeTrainingJob."""
        return self._ended or self.describe()

    def wait(self, logs: Any = True) -> dict[str, Any]:
        """Wait until it has ended; see `Session.watch_job`."""
        view = LiveView() if _wants_logs(logs) else None
        self._ended = self.sagemaker_session.watch_job(self.job_name, view)
        return self._ended

    def stop(self) -> None:
        """Ask it to stop."""
        self.sagemaker_session.stop_training_job(self.job_name)


def _read(tail: LogTail, patience: Patience, *, to_the_end: bool) -> list[LogLine]:
    return patience.ask(lambda: tail.read(to_the_end=to_the_end))


def _instances(description: Mapping[str, Any]) -> int:
    resources = description.get("ResourceConfig", {})
    groups = resources.get("InstanceGroups") or []
    return int(
        resources.get("InstanceCount") or sum(group["InstanceCount"] for group in groups) or 1
    )


def _has_hosts(description: Mapping[str, Any]) -> bool:
    return _instances(description) > 1


def _wants_logs(logs: Any) -> bool:
    # The vendor's SDK takes True, False, "All", "None" and lists of kinds.
    return bool(logs) and logs != "None"


def _job_failed(description: Mapping[str, Any], tail: LogTail) -> SdkError:
    name = description["TrainingJobName"]
    reason = description.get("FailureReason") or "the service gives no reason"
    lines = [f"  {line.host} | {line.text}" for line in tail.last]
    shown = "\nlast log lines:\n" + "\n".join(lines) if lines else "\nit wrote no log"
    streams = (
        ", ".join(f"`{stream}`" for stream in tail.streams) or f"those that begin with `{name}/`"
    )
    return JobFailedError(
        f"training job `{name}` failed: {reason}{shown}",
        ["Completed", "Stopped"],
        str(description["TrainingJobStatus"]),
        hint=f"all of its log: `intermodal logs {name}`, "
        f"or CloudWatch log group `{TRAINING_GROUP}`, streams {streams}",
    )
