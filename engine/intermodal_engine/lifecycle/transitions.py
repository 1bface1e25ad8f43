"""Changes of a record's status: only a step that may follow, and each with its event."""

from typing import TypeVar

from intermodal_contract.statuses import (
    EndpointStatus,
    JobStatus,
    ProcessingJobStatus,
    TrainingJobStatus,
    TransformJobStatus,
    TuningJobStatus,
    check_transition,
    is_terminal,
)
from intermodal_engine.lifecycle.attempt import JobEndedError
from intermodal_engine.store.records import Draft

S = TypeVar(
    "S",
    TrainingJobStatus,
    ProcessingJobStatus,
    TransformJobStatus,
    EndpointStatus,
    TuningJobStatus,
)


def set_status(draft: Draft, status: S) -> None:
    """Moves a record on.

    Raises:
        IllegalTransitionError: it may not take this step.
    """
    check_transition(type(status)(draft.status), status)
    draft.status = status
    draft.note("StatusChanged", status=status)


def has_yet_to_stop(draft: Draft, stopping: JobStatus | TuningJobStatus) -> bool:
    """Whether a job that is asked to stop has not been asked before.

    Args:
        draft: the job.
        stopping: the status of a job of its kind that is about to stop.

    Raises:
        JobEndedError: it has ended.
    """
    status = type(stopping)(draft.status)
    if is_terminal(status):
        raise JobEndedError(status)
    return status is not stopping
