"""The life of a processing job: from its request to its outputs.

A processing job has no secondary status on the wire; the phase in its record's state says what is
due. Every phase may be entered again after a crash: staging starts afresh, instances are adopted,
uploads are repeated. So a restart of the engine is a wake of every open job.
"""

import contextlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from intermodal_contract.processing_files import ExitMessageError
from intermodal_contract.statuses import ProcessingJobStatus
from intermodal_contract.training_files import TrainingPaths
from intermodal_engine.clock import Clock
from intermodal_engine.drivers.base import InstanceState
from intermodal_engine.lifecycle.attempt import Attempt, Member, keep_attempt, last_attempt
from intermodal_engine.lifecycle.capacity import Capacity
from intermodal_engine.lifecycle.failure import (
    FAILURES,
    REASON_LIMIT,
    Ending,
    describe_ending,
    describe_error,
    describe_exit,
    last_words,
    shorten,
)
from intermodal_engine.lifecycle.job_reconciler import AGAIN, JobReconciler
from intermodal_engine.lifecycle.members import Members, culprit
from intermodal_engine.lifecycle.processing_instances import KIND, ProcessingInstances
from intermodal_engine.lifecycle.processing_request import ProcessingRequest, with_defaults
from intermodal_engine.lifecycle.transitions import has_yet_to_stop, set_status
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.settings import Settings
from intermodal_engine.store.log_streams import append_lines
from intermodal_engine.store.records import Record, Records


class Phase(StrEnum):
    """What an open job is doing; not on the wire."""

    WAITING = "Waiting"
    STAGING = "Staging"
    RUNNING = "Running"
    UPLOADING = "Uploading"


class ProcessingJobLifecycle:
    """All processing jobs of one engine.

    Args:
        records: where jobs are kept.
        instances: what their instances are made of.
        members: what runs them.
        capacity: says which of them may run now; training jobs wait in the same line.
        queue: calls `reconcile`.
        clock: stamps changes.
        settings: times.
    """

    def __init__(
        self,
        *,
        records: Records,
        instances: ProcessingInstances,
        members: Members,
        capacity: Capacity,
        queue: WorkQueue,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._records = records
        self._instances = instances
        self._queue = queue
        self._clock = clock
        self._settings = settings
        self._phases: dict[str, Callable[[ProcessingRequest], float | None]] = {
            Phase.WAITING: self._wait,
            Phase.STAGING: self._stage,
            Phase.RUNNING: self._run,
            Phase.UPLOADING: self._upload,
        }
        self._jobs = JobReconciler(
            KIND,
            ProcessingJobStatus,
            view=ProcessingRequest,
            specs=instances.specs,
            step=self._step,
            fail=self._fail,
            records=records,
            members=members,
            capacity=capacity,
            queue=queue,
        )

    def create(self, parameters: Mapping[str, Any], *, arn: str, tags: Mapping[str, str]) -> Record:
        """Accepts a job: from here on it is known and will be run.

        Raises:
            RecordExistsError: the name is taken.
        """
        name = parameters["ProcessingJobName"]
        record = self._records.insert(
            KIND,
            name,
            arn=arn,
            request=with_defaults(parameters),
            status=ProcessingJobStatus.IN_PROGRESS,
            state={"phase": Phase.WAITING, "attempts": []},
            tags=tags,
        )
        self._queue.wake(KIND, name)
        return record

    def stop(self, name: str) -> None:
        """Asks for the job's end; it becomes Stopped when its instances have ended.

        Raises:
            RecordNotFoundError: no such job.
            JobEndedError: it has ended.
        """
        with self._records.edit(KIND, name) as draft:
            if has_yet_to_stop(draft, ProcessingJobStatus.STOPPING):
                set_status(draft, ProcessingJobStatus.STOPPING)
        self._queue.wake(KIND, name)

    def recover(self) -> None:
        """Looks at every job that had not ended when the engine did."""
        self._jobs.recover()

    # Phases: each does what is due and says when to look again.

    def _step(self, request: ProcessingRequest) -> float | None:
        return self._phases[request.record.state["phase"]](request)

    def _wait(self, request: ProcessingRequest) -> float | None:
        record = request.record
        if _is_stopping(record):
            self._close(request, ProcessingJobStatus.STOPPED)
            return None
        attempt = Attempt(0, self._clock.now())
        self._jobs.check(request, attempt)
        self._instances.check(request)
        if not self._jobs.take_place(request, attempt):
            return None  # it is woken when it may fit
        self._advance(record, Phase.STAGING, attempt)
        return AGAIN

    def _stage(self, request: ProcessingRequest) -> float | None:
        attempt = last_attempt(request.record)
        if attempt is None or _is_stopping(request.record):
            self._close(request, ProcessingJobStatus.STOPPED)
            return None
        if attempt.mounts is None:
            self._instances.stage(request, attempt)
        if not self._jobs.prepare(request, attempt):
            with self._records.edit(KIND, request.record.name) as draft:
                keep_attempt(draft, attempt)
            return None  # it is woken when that has ended
        attempt.started_at = self._clock.now()
        self._advance(request.record, Phase.RUNNING, attempt)
        return AGAIN

    def _run(self, request: ProcessingRequest) -> float | None:
        """Starts, watches and, where the job is to stop, ends the instances."""
        attempt = last_attempt(request.record)
        members = self._jobs.watch(request, is_stopping=_is_stopping(request.record))
        if members is None:
            return self._tend(request)
        if attempt is None or not members:
            self._close(request, ProcessingJobStatus.STOPPED)
            return None
        return self._conclude(request, attempt, members)

    def _conclude(
        self, request: ProcessingRequest, attempt: Attempt, members: list[Member]
    ) -> float:
        """All instances have ended: decides what becomes of the job."""
        attempt.ended_at = self._clock.now()
        bad = [member for member in members if member.status.exit_code != 0]
        outcome, reason = ProcessingJobStatus.COMPLETED, None
        if _is_stopping(request.record):
            outcome = ProcessingJobStatus.STOPPED
        elif any(member.status.max_runtime_exceeded for member in members):
            outcome = ProcessingJobStatus.STOPPED
            self._say_that_it_ran_too_long(request, attempt)
        elif bad:
            outcome = ProcessingJobStatus.FAILED
            reason = self._describe(request, attempt, culprit(bad))
        self._advance(request.record, Phase.UPLOADING, attempt, outcome=outcome, reason=reason)
        return AGAIN

    def _upload(self, request: ProcessingRequest) -> None:
        """Outputs are uploaded however the job ended.

        API_ProcessingS3Output says only "after the job completes"; the vendor's SDK uploads in its
        local mode after a failure, too (`sagemaker/local/image.py`, `process`).
        """
        state = request.record.state
        outcome, reason = ProcessingJobStatus(state["outcome"]), state.get("failure_reason")
        message = None
        try:
            self._instances.upload(request)
            message = self._instances.exit_message(request)
        except FAILURES as error:
            if outcome is not ProcessingJobStatus.FAILED:
                raise
            reason = _with_another(reason, error)
        self._close(request, outcome, reason, message)

    def _tend(self, request: ProcessingRequest) -> float | None:
        """What is done again and again while instances run."""
        if not any(output.is_continuous for output in request.outputs):
            return None
        self._instances.upload(request, only_continuous=True)
        return self._clock.now() + self._settings.checkpoint_sync_s

    # Endings

    def _fail(self, request: ProcessingRequest, reason: str) -> None:
        message = None
        with contextlib.suppress(ExitMessageError):
            message = self._instances.exit_message(request)
        self._close(request, ProcessingJobStatus.FAILED, reason, message)

    def _close(
        self,
        request: ProcessingRequest,
        status: ProcessingJobStatus,
        reason: str | None = None,
        message: str | None = None,
    ) -> None:
        name = request.record.name
        with self._records.edit(KIND, name) as draft:
            draft.state["ended_at"] = self._clock.now()
            if reason is not None:
                draft.state["failure_reason"] = shorten(reason)
            if message is not None:
                draft.state["exit_message"] = message
            set_status(draft, status)
        self._jobs.forget(self._jobs.find(request))
        self._instances.forget(request)
        self._jobs.give_place_back(request.record)

    def _describe(self, request: ProcessingRequest, attempt: Attempt, member: Member) -> str:
        """As the service words it, and how the program ended and what it said last."""
        status = member.status
        log = self._instances.log_file(request, attempt, member.host)
        if status.state is InstanceState.LOST or status.out_of_memory:
            paths = self._instances.paths(request, member.host)
            return describe_ending(Ending(member.host, status, TrainingPaths(paths.root), log))
        text = f"{describe_exit(member.host, status)}; {last_words(log)}"
        return (
            "AlgorithmError: See job logs for more information: "
            f"{shorten(text, REASON_LIMIT - 80)}, exit code: {status.exit_code}"
        )

    def _say_that_it_ran_too_long(self, request: ProcessingRequest, attempt: Attempt) -> None:
        """The service has no word for it in a job's description."""
        line = (
            f"intermodal: stopped, since it ran longer than MaxRuntimeInSeconds "
            f"({request.max_runtime_s:g})"
        )
        for host in request.hosts:
            log = self._instances.log_file(request, attempt, host)
            append_lines(log, int(self._clock.now() * 1000), [line])

    def _advance(
        self,
        record: Record,
        phase: Phase,
        attempt: Attempt,
        *,
        outcome: ProcessingJobStatus | None = None,
        reason: str | None = None,
    ) -> None:
        with self._records.edit(KIND, record.name) as draft:
            keep_attempt(draft, attempt)
            draft.state["phase"] = phase
            if outcome is not None:
                draft.state["outcome"] = outcome
            if reason is not None:
                draft.state["failure_reason"] = reason
            draft.note("PhaseChanged", phase=phase)


def _is_stopping(record: Record) -> bool:
    return record.status == ProcessingJobStatus.STOPPING


def _with_another(reason: str | None, error: Exception) -> str:
    """Two reasons: the first one stays in front, and both fit."""
    also = shorten(f" (and afterwards: {describe_error(error)})", REASON_LIMIT // 4)
    return shorten(reason or "", REASON_LIMIT - len(also)) + also
