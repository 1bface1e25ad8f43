"""Who takes spot jobs' instances away: a drill that somebody asked for, or a rate that was set.

The rate's times are drawn from the seed, the job's name and the attempt's number, and from nothing
else: a run can be repeated, and a restarted engine interrupts when the last one would have.
"""

import contextlib
import logging
import random

from intermodal_contract.statuses import SecondaryStatus, TrainingJobStatus, is_terminal
from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle.attempt import attempts_of
from intermodal_engine.lifecycle.training_instances import KIND
from intermodal_engine.lifecycle.training_job import NotSpotError, TrainingJobLifecycle
from intermodal_engine.lifecycle.training_request import TrainingRequest
from intermodal_engine.lifecycle.training_status import secondary_status
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.settings import Settings
from intermodal_engine.store.records import Record, RecordNotFoundError, Records

EVENT = "SpotInterruption"
_QUEUE_KIND = "spot-interruptions"
# Jobs that begin to train are found by looking, at most this often.
_LOOK_EVERY_S = 1.0

logger = logging.getLogger(__name__)


def interrupt(
    records: Records, training_jobs: TrainingJobLifecycle, name: str, *, cause: str
) -> None:
    """Interrupts a job and writes down why.

    Args:
        records: gets the event.
        training_jobs: interrupts.
        name: of the job.
        cause: `drill` or `rate`.

    Raises:
        RecordNotFoundError: no such job.
        NotSpotError: it does not run on spot instances, or does not train now.
    """
    training_jobs.interrupt(name)
    with records.edit(KIND, name) as draft:
        draft.note(EVENT, cause=cause)


def check_interruptible(records: Records, name: str) -> None:
    """Makes sure that a job may be interrupted sooner or later.

    Raises:
        RecordNotFoundError: no such job.
        NotSpotError: it has ended, or does not run on spot instances.
    """
    record = records.get(KIND, name)
    if is_terminal(TrainingJobStatus(record.status)):
        raise NotSpotError(f"training job `{name}` has ended: {record.status}")
    if not TrainingRequest(record).is_spot:
        raise NotSpotError(f"training job `{name}` does not use managed spot training")


class SpotInterruptions:
    """Interrupts spot jobs at random times, at the rate of the settings; at 0 it does nothing.

    Args:
        records: where jobs are found.
        training_jobs: interrupts.
        queue: keeps the time.
        clock: tells it.
        settings: rate and seed.
    """

    def __init__(
        self,
        *,
        records: Records,
        training_jobs: TrainingJobLifecycle,
        queue: WorkQueue,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._records = records
        self._training_jobs = training_jobs
        self._queue = queue
        self._clock = clock
        self._settings = settings
        queue.register(_QUEUE_KIND, self._look)

    def begin(self) -> None:
        """Begins to interrupt, if there is a rate."""
        if self._settings.spot_interruptions_per_hour > 0:
            self._queue.wake(_QUEUE_KIND, "all")

    def _look(self, _name: str) -> float:
        now = self._clock.now()
        for record in self._records.all(KIND, TrainingJobStatus.IN_PROGRESS):
            due = self._due(record)
            if due is not None and due <= now:
                # It may have ended, or have been interrupted, since it was read.
                with contextlib.suppress(NotSpotError, RecordNotFoundError):
                    interrupt(self._records, self._training_jobs, record.name, cause="rate")
                    logger.info("spot job `%s` is interrupted, by the rate", record.name)
        return now + _LOOK_EVERY_S

    def _due(self, record: Record) -> float | None:
        """When the present attempt of a job is interrupted; None while it does not train."""
        if secondary_status(record) is not SecondaryStatus.TRAINING:
            return None
        if not TrainingRequest(record).is_spot:
            return None
        attempt = attempts_of(record.state)[-1]
        if attempt.started_at is None:
            return None
        draw = random.Random(f"{self._settings.spot_seed}/{record.name}/{attempt.number}")
        return attempt.started_at + draw.expovariate(
            self._settings.spot_interruptions_per_hour / 3600
        )
