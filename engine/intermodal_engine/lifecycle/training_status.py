"""The secondary status of a training job: its phases, and what clients are told of each."""

from typing import Any

from intermodal_contract.statuses import (
    SECONDARY_MESSAGES,
    SecondaryStatus,
    TrainingJobStatus,
    check_transition,
)
from intermodal_engine.store.records import Draft, Record

PRIMARY = {
    SecondaryStatus.COMPLETED: TrainingJobStatus.COMPLETED,
    SecondaryStatus.FAILED: TrainingJobStatus.FAILED,
    SecondaryStatus.STOPPED: TrainingJobStatus.STOPPED,
    SecondaryStatus.MAX_RUNTIME_EXCEEDED: TrainingJobStatus.STOPPED,
    SecondaryStatus.MAX_WAIT_TIME_EXCEEDED: TrainingJobStatus.STOPPED,
}
"""The primary status of a job that ended so."""


def secondary_status(record: Record) -> SecondaryStatus:
    """The phase that the job is in."""
    return SecondaryStatus(record.state["transitions"][-1]["Status"])


def first_transition(now: float) -> dict[str, Any]:
    """What a job begins with."""
    return _transition(SecondaryStatus.STARTING, now)


def move(draft: Draft, status: SecondaryStatus, now: float, message: str | None = None) -> None:
    """Ends the phase that a job is in and begins another.

    Args:
        draft: the job.
        status: the other phase.
        now: epoch seconds.
        message: what clients print; AWS's own words if None.

    Raises:
        IllegalTransitionError: it may not follow.
    """
    last = draft.state["transitions"][-1]
    check_transition(SecondaryStatus(last["Status"]), status)
    last["EndTime"] = now
    draft.state["transitions"].append(_transition(status, now, message))
    draft.note("SecondaryStatusChanged", status=status)


def _transition(status: SecondaryStatus, now: float, message: str | None = None) -> dict[str, Any]:
    text = message or SECONDARY_MESSAGES[status]
    return {"Status": status.value, "StartTime": now, "StatusMessage": text}
