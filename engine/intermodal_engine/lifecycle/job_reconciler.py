"""What the lives of all kinds of jobs have in common: a place on the machine, a watch, an end.

A kind of job says in `step` what is due in its phases and in `fail` how it ends badly; in between
its instances are started and watched here, and stopped before a failure is told.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from intermodal_contract.statuses import JobStatus, is_terminal
from intermodal_engine.drivers.base import InstanceSpec
from intermodal_engine.lifecycle.attempt import Attempt, Member, keep_attempt, last_attempt
from intermodal_engine.lifecycle.capacity import Capacity, Demand
from intermodal_engine.lifecycle.failure import FAILURES, MachineRestartedError, describe_error
from intermodal_engine.lifecycle.job_specs import JobRequest
from intermodal_engine.lifecycle.members import Members
from intermodal_engine.lifecycle.work_queue import Key, WorkQueue
from intermodal_engine.store.records import Record, Records

AGAIN = 0.0
"""A step's answer for: look again at once."""

R = TypeVar("R", bound=JobRequest)

logger = logging.getLogger(__name__)


def fail_after_reboot(request: JobRequest) -> None:  # noqa: ARG001 - as a job that is repeated takes it
    """What becomes of a job that is not repeated.

    Raises:
        MachineRestartedError: always.
    """
    raise MachineRestartedError


class JobReconciler(Generic[R]):
    """Looks at the jobs of one kind and has done whatever is due.

    Args:
        kind: of their records.
        statuses: their primary statuses.
        view: a record as a request of this kind.
        specs: the instances of an attempt.
        step: does what is due in the phase that a job is in; says when to look again.
        fail: ends a job, whose instances have all ended, as failed for this reason.
        records: where jobs are kept.
        members: their instances.
        capacity: says which of them may run now; all kinds of jobs wait in one line.
        queue: calls `reconcile`.
        on_reboot: takes a job that ran when the machine went down to where it goes on, or raises.
    """

    def __init__(
        self,
        kind: str,
        statuses: type[JobStatus],
        *,
        view: Callable[[Record], R],
        specs: Callable[[R, Attempt], Sequence[InstanceSpec]],
        step: Callable[[R], float | None],
        fail: Callable[[R, str], None],
        records: Records,
        members: Members,
        capacity: Capacity,
        queue: WorkQueue,
        on_reboot: Callable[[R], None] = fail_after_reboot,
    ) -> None:
        self._kind = kind
        self._statuses = statuses
        self._view = view
        self._specs = specs
        self._step = step
        self._fail = fail
        self._records = records
        self._members = members
        self._capacity = capacity
        self._queue = queue
        self._on_reboot = on_reboot
        queue.register(kind, self.reconcile)

    def recover(self) -> None:
        """Looks at every job that had not ended when the engine did."""
        open_statuses = (self._statuses.IN_PROGRESS, self._statuses.STOPPING)
        for record in self._records.all(self._kind, *open_statuses):
            attempt = last_attempt(record)
            if attempt is not None and record.state.get("granted", True):
                count = len(self._view(record).hosts)
                self._capacity.restore((self._kind, record.name), count, attempt.all_gpus)
            self._queue.wake(self._kind, record.name)

    def reconcile(self, name: str) -> float | None:
        """Does whatever is due for one job; returns when to look again."""
        while True:
            record = self._records.find(self._kind, name)
            if record is None or is_terminal(self._statuses(record.status)):
                return None
            request = self._view(record)
            try:
                if "failing" in record.state:
                    self._finish_failing(request)
                    return None  # what still runs wakes the job when it ends
                attempt = last_attempt(record)
                if attempt is not None and attempt.is_from_earlier_boot:
                    self._go_on_after_reboot(request, attempt)
                    continue
                look = self._step(request)
            except FAILURES as error:
                self._begin_failing(request, describe_error(error))
                return None
            if look != AGAIN:
                return look

    def check(self, request: R, attempt: Attempt) -> None:
        """Makes sure that an attempt's instances could run on this machine.

        Raises:
            PlanRefusedError: one cannot.
        """
        self._members.check(self._specs(request, attempt))

    def take_place(self, request: R, attempt: Attempt) -> bool:
        """Gives an attempt its place and its GPUs, or a job its place in the line."""
        record = request.record
        demand = Demand(len(request.hosts), request.gpus_wanted, (record.created_at, record.name))
        grant = self._capacity.take(self._key(record), demand)
        if grant is None:
            return False  # it is woken when it may fit
        attempt.share(grant, request.hosts)
        return True

    def give_place_back(self, record: Record) -> None:
        """Lets others have a job's place, or its place in the line."""
        self._capacity.release(self._key(record))

    def is_prepared(self, request: R, attempt: Attempt) -> bool:
        """Whether all that a start needs besides its inputs is there."""
        return self._members.is_prepared(self._specs(request, attempt))

    def prepare(self, request: R, attempt: Attempt) -> bool:
        """Gets what a start needs besides its inputs; says whether all is there.

        If not, the job is looked at when the getting has ended. See `Instances.prepare`.

        Raises:
            StartFailedError: it cannot be had.
        """
        return self._members.prepare(self._specs(request, attempt))

    def watch(self, request: R, *, is_stopping: bool) -> list[Member] | None:
        """Starts the last attempt's instances, or finds them; ends those of a job that is to end.

        Nothing is started any more for a job that is to stop. When one instance fails, the others
        are stopped.

        Returns:
            All of them once they all have ended; until then None.
        """
        attempt = last_attempt(request.record)
        if is_stopping or attempt is None:
            members = self.find(request)
        else:
            members = self._members.ensure(self._specs(request, attempt))
        ended = [member for member in members if member.has_ended]
        if len(ended) == len(members):
            return members
        if is_stopping or any(member.status.exit_code != 0 for member in ended):
            self._members.stop(members)
        return None

    def find(self, request: R) -> list[Member]:
        """The instances of the last attempt that were ever started."""
        attempt = last_attempt(request.record)
        if attempt is None or attempt.mounts is None:
            return []
        return self._members.find(self._specs(request, attempt))

    def stop(self, members: Sequence[Member]) -> bool:
        """Begins to stop those that run; says whether any did."""
        return self._members.stop(members)

    def forget(self, members: Sequence[Member]) -> None:
        """Drops what is kept in memory of members that have ended."""
        self._members.forget(members)

    def _go_on_after_reboot(self, request: R, attempt: Attempt) -> None:
        """An attempt that had yet to start is staged once more; any other one is over.

        A job that was about to stop has stopped: there is nothing left that runs.
        """
        is_stopping = request.record.status == self._statuses.STOPPING
        if attempt.started_at is not None and not (is_stopping and attempt.ended_at is None):
            self._on_reboot(request)
            return
        attempt.unstage()
        with self._records.edit(self._kind, request.record.name) as draft:
            keep_attempt(draft, attempt)

    def _begin_failing(self, request: R, reason: str) -> None:
        """Something the job cannot get over has happened: whatever runs is stopped first."""
        name = request.record.name
        logger.warning("%s `%s` fails: %s", self._kind.replace("-", " "), name, reason)
        with self._records.edit(self._kind, name) as draft:
            draft.state["failing"] = reason
        self._finish_failing(self._view(self._records.get(self._kind, name)))

    def _finish_failing(self, request: R) -> None:
        if not self._members.stop(self.find(request)):
            self._fail(request, request.record.state["failing"])

    def _key(self, record: Record) -> Key:
        return self._kind, record.name
