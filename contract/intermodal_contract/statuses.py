"""The status words of jobs and endpoints, and which may follow which.

AWS pages: API_DescribeTrainingJob (`TrainingJobStatus`, `SecondaryStatus`),
API_SecondaryStatusTransition (`StatusMessage`), API_DescribeProcessingJob (`ProcessingJobStatus`),
API_DescribeTransformJob (`TransformJobStatus`), API_DescribeEndpoint (`EndpointStatus`),
API_DescribeHyperParameterTuningJob (`HyperParameterTuningJobStatus`).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from intermodal_contract.errors import IntermodalError


class IllegalTransitionError(IntermodalError):
    """A job or an endpoint was about to take a step that none may take."""


class TrainingJobStatus(StrEnum):
    """What DescribeTrainingJob answers as `TrainingJobStatus`."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    DELETING = "Deleting"


class SecondaryStatus(StrEnum):
    """What DescribeTrainingJob answers as `SecondaryStatus`; three of them AWS no longer gives."""

    STARTING = "Starting"
    PENDING = "Pending"
    LAUNCHING_ML_INSTANCES = "LaunchingMLInstances"
    PREPARING_TRAINING_STACK = "PreparingTrainingStack"
    DOWNLOADING = "Downloading"
    DOWNLOADING_TRAINING_IMAGE = "DownloadingTrainingImage"
    TRAINING = "Training"
    UPDATING = "Updating"
    UPLOADING = "Uploading"
    INTERRUPTED = "Interrupted"
    RESTARTING = "Restarting"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    MAX_RUNTIME_EXCEEDED = "MaxRuntimeExceeded"
    MAX_WAIT_TIME_EXCEEDED = "MaxWaitTimeExceeded"
    COMPLETED = "Completed"
    FAILED = "Failed"


class ProcessingJobStatus(StrEnum):
    """What DescribeProcessingJob answers as `ProcessingJobStatus`."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"


class TransformJobStatus(StrEnum):
    """What DescribeTransformJob answers as `TransformJobStatus`."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"


class TuningJobStatus(StrEnum):
    """What DescribeHyperParameterTuningJob answers as `HyperParameterTuningJobStatus`."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    DELETING = "Deleting"
    DELETE_FAILED = "DeleteFailed"


class EndpointStatus(StrEnum):
    """What DescribeEndpoint answers as `EndpointStatus`."""

    CREATING = "Creating"
    IN_SERVICE = "InService"
    UPDATING = "Updating"
    SYSTEM_UPDATING = "SystemUpdating"
    ROLLING_BACK = "RollingBack"
    OUT_OF_SERVICE = "OutOfService"
    UPDATE_ROLLBACK_FAILED = "UpdateRollbackFailed"
    DELETING = "Deleting"
    FAILED = "Failed"


JobStatus = TrainingJobStatus | ProcessingJobStatus | TransformJobStatus
"""The primary status of a job of any kind; all have `InProgress` and `Stopping`."""

Status = JobStatus | SecondaryStatus | EndpointStatus | TuningJobStatus
_S = TypeVar(
    "_S",
    TrainingJobStatus,
    SecondaryStatus,
    ProcessingJobStatus,
    TransformJobStatus,
    EndpointStatus,
    TuningJobStatus,
)

_T = TrainingJobStatus
TRAINING_JOB_TRANSITIONS: Mapping[TrainingJobStatus, frozenset[TrainingJobStatus]] = {
    _T.IN_PROGRESS: frozenset({_T.COMPLETED, _T.FAILED, _T.STOPPING, _T.STOPPED}),
    # A job that ends by itself before the stop reaches it is Completed or Failed, not Stopped.
    _T.STOPPING: frozenset({_T.STOPPED, _T.COMPLETED, _T.FAILED}),
    _T.COMPLETED: frozenset({_T.DELETING}),
    _T.FAILED: frozenset({_T.DELETING}),
    _T.STOPPED: frozenset({_T.DELETING}),
    _T.DELETING: frozenset(),
}
"""Which `TrainingJobStatus` may follow which."""

_C = SecondaryStatus
# Whatever a job that has not ended is doing, these may come next.
_CUT_SHORT = frozenset(
    {
        _C.STOPPING,
        _C.STOPPED,
        _C.FAILED,
        _C.INTERRUPTED,
        _C.MAX_RUNTIME_EXCEEDED,
        _C.MAX_WAIT_TIME_EXCEEDED,
    }
)
_ENDED: frozenset[SecondaryStatus] = frozenset(
    {
        _C.COMPLETED,
        _C.FAILED,
        _C.STOPPED,
        _C.MAX_RUNTIME_EXCEEDED,
        _C.MAX_WAIT_TIME_EXCEEDED,
    }
)
_BEFORE_TRAINING = frozenset(
    {
        _C.PENDING,
        _C.LAUNCHING_ML_INSTANCES,
        _C.PREPARING_TRAINING_STACK,
        _C.DOWNLOADING,
        _C.DOWNLOADING_TRAINING_IMAGE,
        _C.TRAINING,
    }
)
SECONDARY_TRANSITIONS: Mapping[SecondaryStatus, frozenset[SecondaryStatus]] = {
    _C.STARTING: _BEFORE_TRAINING | _CUT_SHORT | {_C.STARTING},
    _C.PENDING: (_BEFORE_TRAINING - {_C.PENDING}) | _CUT_SHORT | {_C.STARTING},
    _C.LAUNCHING_ML_INSTANCES: (_BEFORE_TRAINING - {_C.LAUNCHING_ML_INSTANCES}) | _CUT_SHORT,
    _C.PREPARING_TRAINING_STACK: (
        frozenset({_C.DOWNLOADING, _C.DOWNLOADING_TRAINING_IMAGE, _C.TRAINING}) | _CUT_SHORT
    ),
    _C.DOWNLOADING: (
        frozenset({_C.DOWNLOADING, _C.DOWNLOADING_TRAINING_IMAGE, _C.TRAINING, _C.RESTARTING})
        | _CUT_SHORT
    ),
    _C.DOWNLOADING_TRAINING_IMAGE: frozenset({_C.TRAINING, _C.RESTARTING}) | _CUT_SHORT,
    _C.TRAINING: (
        frozenset({_C.TRAINING, _C.UPDATING, _C.UPLOADING, _C.COMPLETED, _C.RESTARTING})
        | _CUT_SHORT
    ),
    _C.UPDATING: frozenset({_C.TRAINING, _C.UPLOADING, _C.RESTARTING}) | _CUT_SHORT,
    # What a failed or stopped job has left in /opt/ml is uploaded too, so every end may follow.
    # Where the machine goes down meanwhile, it is no longer all there, and the job begins again.
    _C.UPLOADING: frozenset({_C.STOPPING, _C.RESTARTING}) | _ENDED,
    _C.INTERRUPTED: (
        frozenset({_C.STARTING, _C.PENDING, _C.RESTARTING, _C.DOWNLOADING, _C.TRAINING})
        | (_CUT_SHORT - {_C.INTERRUPTED})
    ),
    _C.RESTARTING: _BEFORE_TRAINING | _CUT_SHORT | {_C.STARTING},
    _C.STOPPING: frozenset({_C.UPLOADING}) | _ENDED,
    _C.STOPPED: frozenset(),
    _C.MAX_RUNTIME_EXCEEDED: frozenset(),
    _C.MAX_WAIT_TIME_EXCEEDED: frozenset(),
    _C.COMPLETED: frozenset(),
    _C.FAILED: frozenset(),
}
"""Which `SecondaryStatus` may follow which; one that follows itself only brings a new message."""

_P = ProcessingJobStatus
PROCESSING_JOB_TRANSITIONS: Mapping[ProcessingJobStatus, frozenset[ProcessingJobStatus]] = {
    _P.IN_PROGRESS: frozenset({_P.COMPLETED, _P.FAILED, _P.STOPPING, _P.STOPPED}),
    # As with training jobs, a stop may come too late.
    _P.STOPPING: frozenset({_P.STOPPED, _P.COMPLETED, _P.FAILED}),
    _P.COMPLETED: frozenset(),
    _P.FAILED: frozenset(),
    _P.STOPPED: frozenset(),
}
"""Which `ProcessingJobStatus` may follow which."""

_B = TransformJobStatus
TRANSFORM_JOB_TRANSITIONS: Mapping[TransformJobStatus, frozenset[TransformJobStatus]] = {
    _B.IN_PROGRESS: frozenset({_B.COMPLETED, _B.FAILED, _B.STOPPING, _B.STOPPED}),
    # As with training jobs, a stop may come too late.
    _B.STOPPING: frozenset({_B.STOPPED, _B.COMPLETED, _B.FAILED}),
    _B.COMPLETED: frozenset(),
    _B.FAILED: frozenset(),
    _B.STOPPED: frozenset(),
}
"""Which `TransformJobStatus` may follow which."""

_H = TuningJobStatus
TUNING_JOB_TRANSITIONS: Mapping[TuningJobStatus, frozenset[TuningJobStatus]] = {
    _H.IN_PROGRESS: frozenset({_H.COMPLETED, _H.FAILED, _H.STOPPING}),
    _H.STOPPING: frozenset({_H.STOPPED}),
    _H.COMPLETED: frozenset({_H.DELETING}),
    _H.FAILED: frozenset({_H.DELETING}),
    _H.STOPPED: frozenset({_H.DELETING}),
    _H.DELETING: frozenset({_H.DELETE_FAILED}),
    _H.DELETE_FAILED: frozenset(),
}
"""Which `HyperParameterTuningJobStatus` may follow which."""

_E = EndpointStatus
ENDPOINT_TRANSITIONS: Mapping[EndpointStatus, frozenset[EndpointStatus]] = {
    _E.CREATING: frozenset({_E.IN_SERVICE, _E.FAILED, _E.DELETING}),
    _E.IN_SERVICE: frozenset(
        {_E.UPDATING, _E.SYSTEM_UPDATING, _E.OUT_OF_SERVICE, _E.FAILED, _E.DELETING}
    ),
    _E.UPDATING: frozenset(
        {
            _E.IN_SERVICE,
            _E.ROLLING_BACK,
            _E.OUT_OF_SERVICE,
            _E.UPDATE_ROLLBACK_FAILED,
            _E.FAILED,
            _E.DELETING,
        }
    ),
    _E.SYSTEM_UPDATING: frozenset({_E.IN_SERVICE, _E.OUT_OF_SERVICE, _E.FAILED, _E.DELETING}),
    _E.ROLLING_BACK: frozenset(
        {_E.IN_SERVICE, _E.UPDATE_ROLLBACK_FAILED, _E.OUT_OF_SERVICE, _E.FAILED, _E.DELETING}
    ),
    _E.OUT_OF_SERVICE: frozenset({_E.IN_SERVICE, _E.UPDATING, _E.FAILED, _E.DELETING}),
    _E.UPDATE_ROLLBACK_FAILED: frozenset({_E.IN_SERVICE, _E.UPDATING, _E.FAILED, _E.DELETING}),
    # DeleteEndpoint is the only operation that AWS allows on a failed endpoint.
    _E.FAILED: frozenset({_E.DELETING}),
    _E.DELETING: frozenset({_E.FAILED}),
}
"""Which `EndpointStatus` may follow which; an endpoint that is gone has no status at all."""

SECONDARY_MESSAGES: Mapping[SecondaryStatus, str] = {
    _C.STARTING: "Starting the training job",
    _C.PENDING: "Training job waiting for capacity",
    _C.LAUNCHING_ML_INSTANCES: "Launching requested ML instances",
    _C.PREPARING_TRAINING_STACK: "Preparing the instances for training",
    _C.DOWNLOADING: "Downloading input data",
    _C.DOWNLOADING_TRAINING_IMAGE: "Downloading the training image",
    _C.TRAINING: "Training image download completed. Training in progress.",
    _C.UPDATING: "Updating the training job",
    _C.UPLOADING: "Uploading generated training model",
    _C.INTERRUPTED: "Training job was interrupted and will be restarted when capacity is back",
    _C.RESTARTING: "Restarting the training job",
    _C.STOPPING: "Stopping the training job",
    _C.STOPPED: "Training job stopped",
    _C.MAX_RUNTIME_EXCEEDED: "Training job runtime exceeded MaxRuntimeInSeconds provided",
    _C.MAX_WAIT_TIME_EXCEEDED: "Training job waiting time exceeded MaxWaitTimeInSeconds provided",
    _C.COMPLETED: "Training job completed",
    _C.FAILED: "Training job failed",
}
"""The usual `StatusMessage` of each; clients print it."""

# A tuple: members of two kinds that share a word are equal, and a set would keep one of them.
_TERMINAL: tuple[Status, ...] = (
    *(_T.COMPLETED, _T.FAILED, _T.STOPPED),
    *sorted(_ENDED),
    *(_P.COMPLETED, _P.FAILED, _P.STOPPED),
    *(_B.COMPLETED, _B.FAILED, _B.STOPPED),
    *(_H.COMPLETED, _H.FAILED, _H.STOPPED),
    _E.FAILED,
)


def is_terminal(status: Status) -> bool:
    """Whether nothing more happens by itself: only a request of the user leads on, if anything."""
    return any(status is terminal for terminal in _TERMINAL)


def check_transition(current: _S, new: _S) -> None:
    """Makes sure that `new` may follow `current`.

    Raises:
        IllegalTransitionError: it may not.
        TypeError: they are statuses of different kinds.
    """
    if type(current) is not type(new):
        raise TypeError(f"{current!r} and {new!r} are statuses of different kinds")
    allowed = _successors(current)
    if new not in allowed:
        following = ", ".join(f"`{status}`" for status in sorted(allowed)) or "nothing"
        raise IllegalTransitionError(
            f"a {type(current).__name__} of `{current}` cannot become `{new}`; "
            f"what may follow is {following}"
        )


def _successors(status: Status) -> frozenset[str]:
    if isinstance(status, TrainingJobStatus):
        return frozenset(TRAINING_JOB_TRANSITIONS[status])
    if isinstance(status, SecondaryStatus):
        return frozenset(SECONDARY_TRANSITIONS[status])
    if isinstance(status, ProcessingJobStatus):
        return frozenset(PROCESSING_JOB_TRANSITIONS[status])
    if isinstance(status, TransformJobStatus):
        return frozenset(TRANSFORM_JOB_TRANSITIONS[status])
    if isinstance(status, TuningJobStatus):
        return frozenset(TUNING_JOB_TRANSITIONS[status])
    return frozenset(ENDPOINT_TRANSITIONS[status])
