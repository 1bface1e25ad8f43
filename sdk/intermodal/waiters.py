"""Watching one training job or one endpoint until it is where it is going."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from intermodal.clients import Clients
from intermodal.curves import Curves
from intermodal.errors import EndpointFailedError, JobFailedError
from intermodal.interruption import farewell, uninterrupted, wants_to_stop
from intermodal.job_picture import Moment, instance_count, job_picture
from intermodal.job_view import JobView, PlainView
from intermodal.live import LiveView, LogLine
from intermodal.logs import ENDPOINT_GROUP, TRAINING_GROUP, LogTail
from intermodal.polling import Pace, Patience, watch
from intermodal_contract.statuses import EndpointStatus, TrainingJobStatus, is_terminal

_Answer = TypeVar("_Answer")
_ENDPOINT_IN_PROGRESS = frozenset(
    {
        EndpointStatus.CREATING,
        EndpointStatus.UPDATING,
        EndpointStatus.SYSTEM_UPDATING,
        EndpointStatus.ROLLING_BACK,
    }
)


class TrainingJobWaiter:
    """Watches one training job.

    Args:
        clients: the way to the service.
        job_name: the training job.
        view: shows the job while it runs; `None` waits in silence.
        stop: asks that job to stop, for whoever presses Ctrl-C and wants that.
    """

    def __init__(
        self, clients: Clients, job_name: str, view: JobView | None, stop: Callable[[str], None]
    ) -> None:
        self._clients = clients
        self._job_name = job_name
        self._view = view
        self._stop = stop
        self._speaker: JobView = view or PlainView()
        self._patience = Patience(f"training job `{job_name}`", self._speaker.say)
        self._pace = Pace()
        self._log = Log(clients, TRAINING_GROUP, f"{job_name}/", self._patience)
        self._curves = Curves(clients, self._pace)

    def wait(self) -> dict[str, Any]:
        """The job's last description, once it has ended and every line of its log is shown.

        Raises:
            JobFailedError: it failed: the reason, the last lines, where the rest is.
            ConnectionLostError: the service was out of reach for long; the job goes on.
            KeyboardInterrupt: the user pressed Ctrl-C; the job goes on or, if wanted, is stopped.
        """
        try:
            description = self._until_the_end()
        except KeyboardInterrupt:
            self._interrupted()
            raise
        self._settle(description)
        return description

    def _interrupted(self) -> None:
        self._speaker.let_go()
        try:
            if wants_to_stop():
                self._stop(self._job_name)
                self._speaker.say(
                    f"Training job `{self._job_name}` is asked to stop; Ctrl-C detaches"
                )
                self._settle(self._until_the_end())
                return
        except KeyboardInterrupt:
            self._speaker.let_go()
        self._speaker.say(farewell(self._job_name))

    def _until_the_end(self) -> dict[str, Any]:
        description = watch(
            self._describe,
            self._pace,
            self._patience,
            lambda one: is_terminal(TrainingJobStatus(one["TrainingJobStatus"])),
            self._show,
        )
        if self._view is not None and self._pace.is_far:
            # A log service that many share shows the last lines a moment after the end.
            self._pace.rest()
            self._show(description, True)
        return description

    def show_now(self) -> None:
        """Show what there is, whether or not the job has ended."""
        self._show(self._describe(), True)

    def _describe(self) -> dict[str, Any]:
        client = self._clients.sagemaker_client
        return dict(client.describe_training_job(TrainingJobName=self._job_name))

    def _show(self, description: Mapping[str, Any], to_the_end: bool) -> None:
        if self._view is None:
            return
        self._log.expect(instance_count(description))
        self._log.read(to_the_end=to_the_end)
        wants_curves = self._view.has_curves
        curves = self._curves.update(description, at_the_end=to_the_end) if wants_curves else []
        picture = job_picture(description, curves, time.time())
        transitions = description.get("SecondaryStatusTransitions", [])
        with uninterrupted():
            self._view.show(Moment(picture, transitions, self._log.take()))
        self._log.complain(self._speaker.say)

    def _settle(self, description: Mapping[str, Any]) -> None:
        status = description["TrainingJobStatus"]
        if status == TrainingJobStatus.FAILED:
            raise self._failed(description)
        if status == TrainingJobStatus.STOPPED:
            self._speaker.say(
                f"Training job `{self._job_name}` is Stopped, not Completed: "
                "it was stopped, or ran into max_run or max_wait"
            )

    def _failed(self, description: Mapping[str, Any]) -> JobFailedError:
        name = self._job_name
        lines = self._log.last_lines()
        reason = description.get("FailureReason") or "the service gives no reason"
        streams = ", ".join(f"`{stream}`" for stream in self._log.streams)
        where = "all of its log" if lines else "a log would be here"
        return JobFailedError(
            f"training job `{name}` failed: {reason}\n{shown(lines, self._log.silence)}",
            [TrainingJobStatus.COMPLETED, TrainingJobStatus.STOPPED],
            str(description["TrainingJobStatus"]),
            hint=f"{where}: `intermodal logs {name}`, or CloudWatch log group "
            f"`{TRAINING_GROUP}`, streams {streams or f'that begin with `{name}/`'}",
        )


class EndpointWaiter:
    """Watches one endpoint.

    Args:
        clients: the way to the service.
        endpoint_name: the endpoint.
    """

    def __init__(self, clients: Clients, endpoint_name: str) -> None:
        self._clients = clients
        self._endpoint_name = endpoint_name
        self._view = LiveView()
        self._patience = Patience(f"endpoint `{endpoint_name}`", self._view.say)
        self._pace = Pace()
        self._shown_status = ""

    def wait(self, config_name: str | None = None) -> dict[str, Any]:
        """The endpoint's last description, once it is in service.

        Args:
            config_name: the endpoint configuration that it should serve then.

        Raises:
            EndpointFailedError: it is in any other state, or was rolled back.
            ConnectionLostError: the service was out of reach for long; the endpoint may still come.
        """
        description = watch(
            self._describe,
            self._pace,
            self._patience,
            lambda one: one["EndpointStatus"] not in _ENDPOINT_IN_PROGRESS,
            self._show,
        )
        status = description["EndpointStatus"]
        if status != EndpointStatus.IN_SERVICE:
            raise self._failed(description, f"is {status}")
        if config_name not in (None, description.get("EndpointConfigName")):
            raise self._failed(description, f"was rolled back from `{config_name}`")
        return description

    def _show(self, description: Mapping[str, Any], _: bool) -> None:
        status = description["EndpointStatus"]
        if status != self._shown_status:
            self._shown_status = status
            self._view.say(
                f"Endpoint `{self._endpoint_name}`: {status} after {self._pace.elapsed_s:.1f} s"
            )

    def _describe(self) -> dict[str, Any]:
        client = self._clients.sagemaker_client
        return dict(client.describe_endpoint(EndpointName=self._endpoint_name))

    def _failed(self, description: Mapping[str, Any], what: str) -> EndpointFailedError:
        group = f"{ENDPOINT_GROUP}/{self._endpoint_name}"
        log = Log(self._clients, group, "", self._patience)
        # A log outlives its endpoint, and an earlier one may have had this name.
        begun_ms = 1000 * description["CreationTime"].timestamp()
        lines = [line for line in log.last_lines() if line.time_ms >= begun_ms]
        reason = description.get("FailureReason") or "the service gives no reason"
        name = self._endpoint_name
        return EndpointFailedError(
            f"endpoint `{name}` {what}: {reason}\n{shown(lines, log.silence)}",
            [EndpointStatus.IN_SERVICE],
            str(description["EndpointStatus"]),
            hint=f"all of its log: `intermodal logs {name}`, or CloudWatch log group `{group}`; "
            "delete_endpoint() removes what is left of it",
        )


class Log:
    """The log of what is watched; that it may not be read is told, and is no error."""

    def __init__(self, clients: Clients, group: str, prefix: str, patience: Patience) -> None:
        self._clients = clients
        self._group = group
        self._prefix = prefix
        self._patience = patience
        self._instances: int | None = None
        self._tail: LogTail | None = None
        self._refusal: str | None = None
        self._is_told = False

    @property
    def streams(self) -> list[str]:
        """The streams seen so far."""
        return self._tail.streams if self._tail else []

    @property
    def silence(self) -> str:
        """Why there are no lines."""
        return f"its log cannot be read: {self._refusal}" if self._refusal else "it wrote no log"

    def expect(self, instances: int) -> None:
        """Say how many streams there will be."""
        self._instances = instances

    def read(self, *, to_the_end: bool) -> None:
        """Fetch what is new; nothing where the log may not be read."""
        self._ask(lambda tail: tail.read(to_the_end=to_the_end))

    def take(self) -> list[LogLine]:
        """What was fetched since the last call."""
        return self._tail.take() if self._tail else []

    def last_lines(self) -> list[LogLine]:
        """The last lines, read now unless they were read before."""
        if self._tail is not None and self._tail.last:
            return list(self._tail.last)
        return self._ask(lambda tail: tail.end()) or []

    def complain(self, say: Callable[[str], None]) -> None:
        """Tell once why there are no lines."""
        if self._refusal and not self._is_told:
            say(f"the log cannot be read ({self._refusal}); the job goes on")
            self._is_told = True

    def _ask(self, question: Callable[[LogTail], _Answer]) -> _Answer | None:
        from botocore.exceptions import ClientError

        if self._refusal is not None:
            return None
        tail = self._tail = self._tail or LogTail(
            self._clients.client("logs"), self._group, self._prefix, self._instances
        )
        try:
            return self._patience.ask(lambda: question(tail))
        except ClientError as error:
            self._refusal = str(error)
            return None


def shown(lines: list[LogLine], otherwise: str) -> str:
    """The last lines of a log in an error's message."""
    if not lines:
        return otherwise
    return "\n".join(["last log lines:", *(f"  {line.host} | {line.text}" for line in lines)])
