"""What becomes of a training job that ran when the machine went down."""

from collections.abc import Iterable
from pathlib import Path

from intermodal_contract.statuses import SecondaryStatus, TrainingJobStatus
from intermodal_engine.lifecycle.attempt import Attempt, keep_attempt
from intermodal_engine.lifecycle.failure import MachineRestartedError
from intermodal_engine.lifecycle.training_instances import KIND
from intermodal_engine.lifecycle.training_request import TrainingRequest
from intermodal_engine.lifecycle.training_status import move, secondary_status
from intermodal_engine.store.records import Records

_BETWEEN_ATTEMPTS = (
    SecondaryStatus.STARTING,
    SecondaryStatus.PENDING,
    SecondaryStatus.INTERRUPTED,
    SecondaryStatus.RESTARTING,
)


def repeat_after_reboot(
    records: Records,
    request: TrainingRequest,
    attempt: Attempt,
    logs: Iterable[Path],
    now: float,
) -> None:
    """Lets a job begin a further attempt, as often as its request allows.

    Of what its instances left nothing is used, since it need not be whole; checkpoints are those
    that are in S3. The time for which the machine was off is no training time.

    Args:
        records: where it is kept.
        request: the job.
        attempt: its last one.
        logs: of its instances; what they wrote last says how long they ran.
        now: epoch seconds.

    Raises:
        MachineRestartedError: not once more, or it is to stop.
    """
    record = request.record
    is_between = secondary_status(record) in _BETWEEN_ATTEMPTS
    is_spent = len(record.state["attempts"]) > request.retries
    if record.status == TrainingJobStatus.STOPPING or (is_spent and not is_between):
        raise MachineRestartedError
    attempt.unstage()
    if attempt.ended_at is None:
        written = [log.stat().st_mtime for log in logs if log.exists()]
        attempt.ended_at = min(now, max([attempt.started_at or now, *written]))
    with records.edit(KIND, record.name) as draft:
        keep_attempt(draft, attempt)
        draft.state["granted"] = False
        if not is_between:
            message = "Restarting the training job: the machine was restarted"
            move(draft, SecondaryStatus.RESTARTING, now, message)
