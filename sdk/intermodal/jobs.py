"""Processing, transform and tuning jobs: described, stopped and waited for in one way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from intermodal.clients import Clients
from intermodal.errors import JobFailedError
from intermodal.interruption import uninterrupted
from intermodal.live import LiveView
from intermodal.polling import Pace, Patience, watch
from intermodal.waiters import Log, shown
from intermodal_contract.statuses import ProcessingJobStatus

# Transform and tuning jobs have the same words.
_GOES_ON = frozenset({ProcessingJobStatus.IN_PROGRESS, ProcessingJobStatus.STOPPING})


@dataclass(frozen=True, slots=True)
class JobKind:
    """What one kind of job is called.

    Attributes:
        noun: in messages.
        word: in requests and answers, as in `ProcessingJob`.
        method: in boto3's names, as in `processing_job`.
        log_group: of CloudWatch Logs; `None` where such a job writes no log itself.
    """

    noun: str
    word: str
    method: str
    log_group: str | None = None


class Job:
    """One job that was started here or found again; subclasses say which kind.

    Args:
        sagemaker_session: the session that it belongs to.
        job_name: its name.
    """

    kind: ClassVar[JobKind]

    def __init__(self, sagemaker_session: Clients, job_name: str) -> None:
        self.sagemaker_session = sagemaker_session
        self.job_name = job_name

    @property
    def name(self) -> str:
        """The job's name."""
        return self.job_name

    def describe(self) -> dict[str, Any]:
        """The service's description."""
        return dict(self._call("describe"))

    def stop(self) -> None:
        """Ask it to stop; a job that has ended already is left as it is."""
        from botocore.exceptions import ClientError

        try:
            self._call("stop")
        except ClientError as error:
            has_ended = self.describe()[f"{self.kind.word}Status"] not in _GOES_ON
            if error.response["Error"]["Code"] != "ValidationException" or not has_ended:
                raise

    def wait(self, logs: Any = True) -> dict[str, Any]:
        """Wait until it has ended.

        Args:
            logs: whether status changes and log lines are shown meanwhile.

        Returns:
            Its last description.

        Raises:
            JobFailedError: it failed: the reason, the last log lines.
            ConnectionLostError: the service was out of reach for long; the job goes on.
        """
        return _JobWaiter(self, LiveView() if logs else None).wait()

    def _call(self, verb: str) -> Mapping[str, Any]:
        client = self.sagemaker_session.sagemaker_client
        answer: Mapping[str, Any] = getattr(client, f"{verb}_{self.kind.method}")(
            **{f"{self.kind.word}Name": self.job_name}
        )
        return answer


class _JobWaiter:
    """Watches one job, in silence without a view."""

    def __init__(self, job: Job, view: LiveView | None) -> None:
        self._job = job
        self._subject = f"{job.kind.noun} `{job.name}`"
        self._view = view
        self._speaker = view or LiveView()
        self._patience = Patience(self._subject, self._speaker.say)
        self._pace = Pace()
        group = job.kind.log_group
        self._log = (
            Log(job.sagemaker_session, group, f"{job.name}/", self._patience) if group else None
        )
        self._shown_status = ""

    def wait(self) -> dict[str, Any]:
        """The last description, once the job has ended and its log is shown."""
        try:
            description = self._until_the_end()
        except KeyboardInterrupt:
            self._speaker.say(
                f"{self._capitalised()} goes on without being watched; "
                "its wait() watches it again, its stop() stops it"
            )
            raise
        self._settle(description)
        return description

    def _until_the_end(self) -> dict[str, Any]:
        description = watch(
            self._job.describe,
            self._pace,
            self._patience,
            lambda one: self._status_of(one) not in _GOES_ON,
            self._show,
        )
        if self._pace.is_far and self._view is not None and self._log is not None:
            # A log service that many share shows the last lines a moment after the end.
            self._pace.rest()
            self._show(description, True)
        return description

    def _status_of(self, description: Mapping[str, Any]) -> str:
        return str(description[f"{self._job.kind.word}Status"])

    def _show(self, description: Mapping[str, Any], to_the_end: bool) -> None:
        if self._view is None:
            return
        status = self._status_of(description)
        if self._log is not None:
            self._log.read(to_the_end=to_the_end)
            with uninterrupted():
                has_hosts = len(self._log.streams) > 1
                self._view.happened([], self._log.take(), has_hosts=has_hosts)
            self._log.complain(self._speaker.say)
        if status != self._shown_status:
            self._shown_status = status
            self._view.say(f"{self._capitalised()}: {status} after {self._pace.elapsed_s:.1f} s")

    def _settle(self, description: Mapping[str, Any]) -> None:
        status = self._status_of(description)
        if status == ProcessingJobStatus.FAILED:
            raise self._failed(description)
        if status == ProcessingJobStatus.STOPPED:
            self._speaker.say(f"{self._capitalised()} is Stopped, not Completed")

    def _failed(self, description: Mapping[str, Any]) -> JobFailedError:
        said = [description.get("FailureReason"), description.get("ExitMessage")]
        reason = "\n".join(filter(None, said)) or "the service gives no reason"
        message = f"{self._subject} failed: {reason}"
        hint = None
        if self._log is not None:
            message += f"\n{shown(self._log.last_lines(), self._log.silence)}"
            group = self._job.kind.log_group
            hint = f"all of its log: CloudWatch log group `{group}`, streams `{self._job.name}/…`"
        allowed = [ProcessingJobStatus.COMPLETED, ProcessingJobStatus.STOPPED]
        return JobFailedError(message, allowed, ProcessingJobStatus.FAILED, hint=hint)

    def _capitalised(self) -> str:
        return self._subject[:1].upper() + self._subject[1:]
