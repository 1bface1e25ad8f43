"""What one look at a training job tells: its state in words, how far it is, its curves."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from intermodal.curves import Curve, is_epoch
from intermodal.live import LogLine
from intermodal_contract.statuses import TrainingJobStatus, is_terminal

_EPOCHS = re.compile(r"(?:num|n|max|number|total)?_?(?:of_)?(?:train_?)?epochs", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class JobPicture:
    """One training job at one moment.

    Attributes:
        name: of the job.
        status: `TrainingJobStatus`.
        phase: `SecondaryStatus`.
        message: what the service says about the phase; why it failed, once it has.
        elapsed_s: since its creation, until its end.
        epoch: the last one that a metric told.
        epochs: how many a hyperparameter asks for.
        billable_s: what is paid for; known at the end.
        instances: how many.
        curves: of its metrics.
    """

    name: str
    status: TrainingJobStatus
    phase: str
    message: str
    elapsed_s: float
    epoch: float | None
    epochs: int | None
    billable_s: int | None
    instances: int
    curves: tuple[Curve, ...]

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return is_terminal(self.status)

    @property
    def progress(self) -> float | None:
        """Share of the epochs that are done, 0 to 1; `None` where nothing tells it."""
        if self.epoch is None or not self.epochs:
            return None
        return min(1.0, max(0.0, self.epoch / self.epochs))


@dataclass(frozen=True, slots=True)
class Moment:
    """What a view is given.

    Attributes:
        picture: how things stand.
        transitions: all `SecondaryStatusTransitions` so far.
        lines: log lines that are new since the last moment.
    """

    picture: JobPicture
    transitions: Sequence[Mapping[str, Any]]
    lines: Sequence[LogLine]


def job_picture(
    description: Mapping[str, Any], curves: Sequence[Curve], now_s: float
) -> JobPicture:
    """What a description and the curves tell.

    Args:
        description: of DescribeTrainingJob.
        curves: of the job's metrics.
        now_s: seconds since the epoch.
    """
    status = TrainingJobStatus(description["TrainingJobStatus"])
    begun = description["CreationTime"]
    end = description.get("TrainingEndTime") or description.get("LastModifiedTime") or begun
    end_s = end.timestamp() if is_terminal(status) else now_s
    transitions = description.get("SecondaryStatusTransitions") or [{}]
    told = next((curve.last for curve in curves if is_epoch(curve.name)), None)
    return JobPicture(
        name=description["TrainingJobName"],
        status=status,
        phase=description.get("SecondaryStatus", status),
        message=description.get("FailureReason") or transitions[-1].get("StatusMessage") or "",
        elapsed_s=max(0.0, end_s - begun.timestamp()),
        epoch=told,
        epochs=_wanted_epochs(description.get("HyperParameters", {})),
        billable_s=description.get("BillableTimeInSeconds") if is_terminal(status) else None,
        instances=instance_count(description),
        curves=tuple(curve for curve in curves if not is_epoch(curve.name)),
    )


def instance_count(description: Mapping[str, Any]) -> int:
    """How many instances a training job has, in groups or not."""
    resources = description.get("ResourceConfig", {})
    groups = resources.get("InstanceGroups") or []
    count = resources.get("InstanceCount") or sum(group["InstanceCount"] for group in groups)
    return int(count or 1)


def duration(seconds: float) -> str:
    """As in `0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _wanted_epochs(hyperparameters: Mapping[str, str]) -> int | None:
    for name, text in hyperparameters.items():
        if _EPOCHS.fullmatch(name.replace("-", "_")):
            try:
                # Estimators with a script send JSON, others plain text; a number is both.
                return int(json.loads(text))
            except (TypeError, ValueError):
                continue
    return None
