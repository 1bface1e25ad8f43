"""What becomes of a training job that ran when the machine went down."""

from intermodal_contract.statuses import SecondaryStatus, TrainingJobStatus
from intermodal_engine.lifecycle.attempt import attempts_of, keep_attempt
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
    records: Records, request: TrainingRequest, *, seen_at: float, now: float
) -> None:
    """Lets a job begin a further attempt, as often as its request allows.

    Of what its instances left nothing is used, since it need not be whole; checkpoints are those
    that are in S3.

    Args:
        records: where it is kept.
        request: the job.
        seen_at: when its instances were last seen to run, in epoch seconds; the time for which the
            machine was off is no training time.
        now: epoch seconds.

    Raises:
        MachineRestartedError: not once more, or it is to stop.
    """
    record, attempt = request.record, attempts_of(request.record.state)[-1]
    is_between = secondary_status(record) in _BETWEEN_ATTEMPTS
    is_spent = len(record.state["attempts"]) > request.retries
    if record.status == TrainingJobStatus.STOPPING or (is_spent and not is_between):
        raise MachineRestartedError
    attempt.unstage()
    attempt.ended_at = attempt.ended_at or seen_at
    with records.edit(KIND, record.name) as draft:
        keep_attempt(draft, attempt)
        draft.state["granted"] = False
        if not is_between:
            message = "Restarting the training job: the machine was restarted"
            move(draft, SecondaryStatus.RESTARTING, now, message)
