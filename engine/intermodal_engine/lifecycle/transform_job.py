"""The life of a transform job: a model is started, objects are moved through it, it is stopped.

Like a processing job it has no secondary status on the wire; the phase in its record's state says
what is due. After a crash instances and movers are adopted; what is whole is published once more.
"""

import contextlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from intermodal_contract.statuses import TransformJobStatus
from intermodal_contract.training_files import TrainingPaths
from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle.attempt import Attempt, Member, keep_attempt, last_attempt
from intermodal_engine.lifecycle.capacity import Capacity
from intermodal_engine.lifecycle.failure import (
    FAILURES,
    REASON_LIMIT,
    Ending,
    describe_ending,
    shorten,
)
from intermodal_engine.lifecycle.job_reconciler import AGAIN, JobReconciler
from intermodal_engine.lifecycle.members import Members, culprit
from intermodal_engine.lifecycle.transform_instances import KIND, TransformInstances
from intermodal_engine.lifecycle.transform_request import TransformRequest, with_defaults
from intermodal_engine.lifecycle.transitions import has_yet_to_stop, set_status
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.store.records import Record, Records

LOOK_S = 0.2
"""How often a running job is looked at for what is whole by now."""

_SHOWN_FAILURES = 3


class Phase(StrEnum):
    """What an open job is doing; not on the wire."""

    WAITING = "Waiting"
    STAGING = "Staging"
    RUNNING = "Running"
    ENDING = "Ending"


class TransformJobLifecycle:
    """All transform jobs of one engine.

    Args:
        records: where jobs are kept.
        instances: what their instances are made of.
        members: what runs them.
        capacity: says which of them may run now; all kinds of jobs wait in one line.
        queue: calls `reconcile`.
        clock: stamps changes.
    """

    def __init__(
        self,
        *,
        records: Records,
        instances: TransformInstances,
        members: Members,
        capacity: Capacity,
        queue: WorkQueue,
        clock: Clock,
    ) -> None:
        self._records = records
        self._instances = instances
        self._queue = queue
        self._clock = clock
        self._phases: dict[str, Callable[[TransformRequest], float | None]] = {
            Phase.WAITING: self._wait,
            Phase.STAGING: self._stage,
            Phase.RUNNING: self._run,
            Phase.ENDING: self._end,
        }
        self._jobs = JobReconciler(
            KIND,
            TransformJobStatus,
            view=TransformRequest,
            specs=instances.specs,
            step=self._step,
            fail=self._fail,
            records=records,
            members=members,
            capacity=capacity,
            queue=queue,
        )

    def create(
        self,
        parameters: Mapping[str, Any],
        *,
        served: Mapping[str, Any],
        role_arn: str,
        network_isolation: bool,
        arn: str,
        tags: Mapping[str, str],
    ) -> Record:
        """Accepts a job: from here on it is known and will be run.

        Args:
            parameters: of CreateTransformJob.
            served: the model's containers, as `lifecycle.served` has them; a copy, since models may
                be deleted.
            role_arn: the model's.
            network_isolation: the model's.
            arn: the job's.
            tags: the job's.

        Raises:
            RecordExistsError: the name is taken.
        """
        name = parameters["TransformJobName"]
        state = {
            "phase": Phase.WAITING,
            "attempts": [],
            **served,
            "role_arn": role_arn,
            "network_isolation": network_isolation,
        }
        record = self._records.insert(
            KIND,
            name,
            arn=arn,
            request=with_defaults(parameters),
            status=TransformJobStatus.IN_PROGRESS,
            state=state,
            tags=tags,
        )
        self._queue.wake(KIND, name)
        return record

    def stop(self, name: str) -> None:
        """Asks for the job's end; what is whole by then is kept.

        Raises:
            RecordNotFoundError: no such job.
            JobEndedError: it has ended.
        """
        with self._records.edit(KIND, name) as draft:
            if has_yet_to_stop(draft, TransformJobStatus.STOPPING):
                set_status(draft, TransformJobStatus.STOPPING)
        self._queue.wake(KIND, name)

    def recover(self) -> None:
        """Looks at every job that had not ended when the engine did."""
        self._jobs.recover()

    # Phases: each does what is due and says when to look again.

    def _step(self, request: TransformRequest) -> float | None:
        return self._phases[request.record.state["phase"]](request)

    def _wait(self, request: TransformRequest) -> float | None:
        if _is_stopping(request.record):
            self._close(request, TransformJobStatus.STOPPED)
            return None
        attempt = Attempt(0, self._clock.now())
        self._jobs.check(request, attempt)
        self._instances.check(request)
        if not self._jobs.take_place(request, attempt):
            return None  # it is woken when it may fit
        self._advance(request.record, Phase.STAGING, attempt)
        return AGAIN

    def _stage(self, request: TransformRequest) -> float | None:
        attempt = last_attempt(request.record)
        if attempt is None or _is_stopping(request.record):
            self._close(request, TransformJobStatus.STOPPED)
            return None
        count = request.record.state.get("objects", 0)
        if attempt.mounts is None:
            count = self._instances.stage(request, attempt)
        is_prepared = self._jobs.prepare(request, attempt)
        if is_prepared:
            attempt.started_at = self._clock.now()
        phase = Phase.RUNNING if is_prepared else Phase.STAGING
        self._advance(request.record, phase, attempt, objects=count)
        return AGAIN if is_prepared else None  # woken when what it waits for ends

    def _run(self, request: TransformRequest) -> float | None:
        """Starts and watches the instances, has records moved, publishes what is whole."""
        attempt = last_attempt(request.record)
        if attempt is None or _is_stopping(request.record):
            self._advance(request.record, Phase.ENDING, attempt, outcome=TransformJobStatus.STOPPED)
            return AGAIN
        self._jobs.watch(request, is_stopping=False)
        members = self._jobs.find(request)
        gone = [member for member in members if member.has_ended]
        if gone:
            reason: str | None = self._describe(request, attempt, culprit(gone))
            self._finish(request, attempt, TransformJobStatus.FAILED, reason)
            return AGAIN
        self._instances.move(request, attempt, members)
        self._publish(request)
        is_done, reason = self._instances.is_done(request), self._instances.trouble(request)
        if not is_done and reason is None:
            return self._clock.now() + LOOK_S
        reason = reason or self._failures(request)
        outcome = TransformJobStatus.FAILED if reason else TransformJobStatus.COMPLETED
        self._finish(request, attempt, outcome, reason)
        return AGAIN

    def _end(self, request: TransformRequest) -> float | None:
        """Stops the movers and the instances, publishes what is whole, and tells the outcome."""
        self._instances.end_moving(request)
        if self._jobs.watch(request, is_stopping=True) is None:
            return None
        self._publish(request)
        attempt = last_attempt(request.record)
        if attempt is not None:
            self._instances.capture(request, attempt)
        state = request.record.state
        self._close(request, TransformJobStatus(state["outcome"]), state.get("failure_reason"))
        return None

    def _publish(self, request: TransformRequest) -> None:
        count = self._instances.publish(request)
        if count:
            with self._records.edit(KIND, request.record.name) as draft:
                draft.state["published"] = draft.state.get("published", 0) + count
                draft.note("ObjectsTransformed", count=draft.state["published"])

    # Endings

    def _failures(self, request: TransformRequest) -> str | None:
        """The FailureReason where objects failed; None where none did."""
        reasons = list(self._instances.failures(request))
        if not reasons:
            return None
        kind, _, first = reasons[0].partition(": ")
        others = [reason.partition(": ")[2] for reason in reasons[1:_SHOWN_FAILURES]]
        more = f"; and {len(reasons) - _SHOWN_FAILURES} more" * (len(reasons) > _SHOWN_FAILURES)
        total = request.record.state["objects"]
        return (
            f"{kind}: See job logs for more information: {len(reasons)} of {total} objects could "
            f"not be transformed: {'; '.join([first, *others])}{more}"
        )

    def _describe(self, request: TransformRequest, attempt: Attempt, member: Member) -> str:
        title, log = self._instances.who(request, attempt, member)
        paths = TrainingPaths(member.instance.folder / "ml")
        return describe_ending(Ending(title, member.status, paths, log))

    def _finish(
        self,
        request: TransformRequest,
        attempt: Attempt,
        outcome: TransformJobStatus,
        reason: str | None,
    ) -> None:
        """The outcome is clear; what runs is to end."""
        attempt.ended_at = self._clock.now()
        self._advance(request.record, Phase.ENDING, attempt, outcome=outcome, reason=reason)

    def _fail(self, request: TransformRequest, reason: str) -> None:
        self._instances.end_moving(request)
        with contextlib.suppress(*FAILURES):  # the first reason counts
            self._publish(request)
        self._close(request, TransformJobStatus.FAILED, reason)

    def _close(
        self, request: TransformRequest, status: TransformJobStatus, reason: str | None = None
    ) -> None:
        with self._records.edit(KIND, request.record.name) as draft:
            draft.state["ended_at"] = self._clock.now()
            if reason is not None:
                draft.state["failure_reason"] = shorten(reason, REASON_LIMIT)
            set_status(draft, status)
        self._jobs.forget(self._jobs.find(request))
        self._jobs.give_place_back(request.record)

    def _advance(
        self,
        record: Record,
        phase: Phase,
        attempt: Attempt | None,
        *,
        objects: int | None = None,
        outcome: TransformJobStatus | None = None,
        reason: str | None = None,
    ) -> None:
        known = {"objects": objects, "outcome": outcome, "failure_reason": reason}
        with self._records.edit(KIND, record.name) as draft:
            if attempt is not None:
                keep_attempt(draft, attempt)
            draft.state["phase"] = phase
            draft.state.update({name: one for name, one in known.items() if one is not None})
            draft.note("PhaseChanged", phase=phase)


def _is_stopping(record: Record) -> bool:
    return record.status == TransformJobStatus.STOPPING
