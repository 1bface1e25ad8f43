"""The life of a training job: from its request to its artifacts.

The record's secondary status says which phase it is in; `reconcile` does what is due in that phase
and moves on. Every phase may be entered again after a crash: staging starts afresh, instances are
adopted, an upload is repeated whole. So a restart of the engine is a wake of every open job.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from intermodal_contract.statuses import (
    SECONDARY_MESSAGES,
    SecondaryStatus,
    TrainingJobStatus,
    check_transition,
    is_terminal,
)
from intermodal_engine.clock import Clock
from intermodal_engine.drivers.base import InstanceState
from intermodal_engine.lifecycle.artifacts import ArtifactUploader
from intermodal_engine.lifecycle.attempt import Attempt, JobEndedError, Member, attempts_of
from intermodal_engine.lifecycle.capacity import Capacity, Demand
from intermodal_engine.lifecycle.failure import (
    FAILURES,
    Ending,
    describe_ending,
    describe_error,
    printable,
    shorten,
)
from intermodal_engine.lifecycle.members import culprit
from intermodal_engine.lifecycle.metrics import TrainingMetrics
from intermodal_engine.lifecycle.staging import DataMissingError
from intermodal_engine.lifecycle.training_instances import KIND, TrainingInstances
from intermodal_engine.lifecycle.training_request import TrainingRequest
from intermodal_engine.lifecycle.warm_pools import WarmPools
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.settings import Settings
from intermodal_engine.store.objects import NoSuchBucketError
from intermodal_engine.store.records import Draft, Record, Records

LEFT_OUT_SHOWN = 5
"""How many paths a message names."""

AGAIN = 0.0
"""A phase's answer for: look again at once."""

logger = logging.getLogger(__name__)


class NotSpotError(Exception):
    """Only a job on managed spot instances, while it trains, can be interrupted."""


class TrainingJobLifecycle:
    """All training jobs of one engine.

    Args:
        records: where jobs are kept.
        instances: what runs them.
        uploader: takes their output.
        metrics: reads their logs.
        capacity: says which of them may run now.
        warm_pools: keeps what completed jobs leave to the next.
        queue: calls `reconcile`.
        clock: stamps transitions.
        settings: times.
    """

    def __init__(
        self,
        *,
        records: Records,
        instances: TrainingInstances,
        uploader: ArtifactUploader,
        metrics: TrainingMetrics,
        capacity: Capacity,
        warm_pools: WarmPools,
        queue: WorkQueue,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._records = records
        self._instances = instances
        self._uploader = uploader
        self._metrics = metrics
        self._capacity = capacity
        self._warm_pools = warm_pools
        self._queue = queue
        self._clock = clock
        self._settings = settings
        self._phases: dict[str, Callable[[TrainingRequest], float | None]] = {
            SecondaryStatus.STARTING: self._start,
            SecondaryStatus.PENDING: self._start,
            SecondaryStatus.DOWNLOADING: self._download,
            SecondaryStatus.DOWNLOADING_TRAINING_IMAGE: self._download,
            SecondaryStatus.TRAINING: self._train,
            SecondaryStatus.INTERRUPTED: self._wait_for_capacity,
            SecondaryStatus.RESTARTING: self._wait_for_capacity,
            SecondaryStatus.STOPPING: self._train,
            SecondaryStatus.UPLOADING: self._upload,
        }
        queue.register(KIND, self.reconcile)

    def create(self, request: Mapping[str, Any], *, arn: str, tags: Mapping[str, str]) -> Record:
        """Accepts a job: from here on it is known and will be run.

        Raises:
            RecordExistsError: the name is taken.
        """
        name = request["TrainingJobName"]
        state: dict[str, Any] = {"transitions": [], "attempts": []}
        _begin(state, SecondaryStatus.STARTING, self._clock.now())
        record = self._records.insert(
            KIND,
            name,
            arn=arn,
            request=request,
            status=TrainingJobStatus.IN_PROGRESS,
            state=state,
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
            if is_terminal(TrainingJobStatus(draft.status)):
                raise JobEndedError(draft.status)
            if draft.status != TrainingJobStatus.STOPPING:
                self._move(draft, SecondaryStatus.STOPPING)
                _set_status(draft, TrainingJobStatus.STOPPING)
        self._queue.wake(KIND, name)

    def interrupt(self, name: str) -> None:
        """Takes a spot job's instances away, as AWS does: SIGTERM, notice, then they are gone.

        Raises:
            RecordNotFoundError: no such job.
            NotSpotError: it does not run on spot instances, or does not train now.
        """
        with self._records.edit(KIND, name) as draft:
            if not TrainingRequest(draft.record).is_spot:
                raise NotSpotError(
                    f"training job `{name}` does not use managed spot training; create it with "
                    "`EnableManagedSpotTraining` (`use_spot_instances=True`)"
                )
            now = secondary_status(draft.record)
            if now is not SecondaryStatus.TRAINING:
                raise NotSpotError(f"training job `{name}` is {now}, not Training")
            self._move(draft, SecondaryStatus.INTERRUPTED)
        self._queue.wake(KIND, name)

    def recover(self) -> None:
        """Looks at every job that had not ended when the engine did."""
        self._warm_pools.recover()
        open_statuses = (TrainingJobStatus.IN_PROGRESS, TrainingJobStatus.STOPPING)
        for record in self._records.all(KIND, *open_statuses):
            if record.state.get("granted"):
                attempt = attempts_of(record.state)[-1]
                count = len(TrainingRequest(record).hosts)
                self._capacity.restore((KIND, record.name), count, attempt.all_gpus)
            self._queue.wake(KIND, record.name)

    def reconcile(self, name: str) -> float | None:
        """Does whatever is due for one job; returns when to look again."""
        while True:
            record = self._records.find(KIND, name)
            if record is None or is_terminal(TrainingJobStatus(record.status)):
                return None
            request = TrainingRequest(record)
            try:
                if "failing" in record.state:
                    look = self._finish_failing(request)
                elif self._has_waited_too_long(request):
                    look = self._end_waiting(request)
                else:
                    look = self._phases[secondary_status(record)](request)
            except FAILURES as error:
                look = self._begin_failing(request, describe_error(error))
            if look != AGAIN:
                return look

    # Phases: each does what is due and says when to look again.

    def _start(self, request: TrainingRequest) -> float | None:
        record = request.record
        key = (KIND, record.name)
        now = self._clock.now()
        attempt = Attempt(len(record.state["attempts"]), now)
        self._instances.check(request, attempt)
        demand = Demand(len(request.hosts), request.gpus_wanted, (record.created_at, record.name))
        grant = self._capacity.take(key, demand)
        if grant is None:
            if secondary_status(record) is not SecondaryStatus.PENDING:
                message = self._capacity.waits_for(key)
                self._advance(record, SecondaryStatus.PENDING, message)
            return _deadline(request)
        attempt.share(grant, request.hosts)
        self._warm_pools.claim(request)
        with self._records.edit(KIND, record.name) as draft:
            if draft.status != record.status:
                return AGAIN
            draft.state["attempts"].append(asdict(attempt))
            draft.state["granted"] = True
            self._move(draft, SecondaryStatus.DOWNLOADING)
        return AGAIN

    def _download(self, request: TrainingRequest) -> float | None:
        """Brings in the data, then what stands in for the image: its making is no training time."""
        record = request.record
        attempt = attempts_of(record.state)[-1]
        if attempt.mounts is None:
            attempt.restored = self._instances.stage(request, attempt)
        if not self._instances.is_prepared(request, attempt):
            if secondary_status(record) is SecondaryStatus.DOWNLOADING:
                image = SecondaryStatus.DOWNLOADING_TRAINING_IMAGE
                self._advance(record, image, attempt=attempt)
                record = self._records.get(KIND, record.name)
            if secondary_status(record) is not SecondaryStatus.DOWNLOADING_TRAINING_IMAGE:
                return AGAIN
            if not self._instances.prepare(request, attempt):
                return _deadline(request)  # it is woken when that has ended
        attempt.started_at = self._clock.now()
        message = SECONDARY_MESSAGES[SecondaryStatus.TRAINING]
        if attempt.restored:
            message += f" Checkpoint files restored: {attempt.restored}."
        self._advance(record, SecondaryStatus.TRAINING, message, attempt=attempt)
        return AGAIN

    def _train(self, request: TrainingRequest) -> float | None:
        """Starts, watches and, where the job is to stop, ends the instances.

        A job may be asked to stop before it ever ran: then there are no instances.
        """
        record = request.record
        stopping = record.status == TrainingJobStatus.STOPPING
        attempt = attempts_of(record.state)[-1] if record.state["attempts"] else None
        if stopping or attempt is None:
            members = self._instances.find(request, attempt)
        else:
            members = self._instances.ensure(request, attempt)
        ended = [member for member in members if member.has_ended]
        failed = any(member.status.exit_code != 0 for member in ended)
        if len(ended) < len(members):
            if stopping or failed:
                self._instances.stop(members)
            return self._tend(request)
        if attempt is None or not members:
            self._close(record, SecondaryStatus.STOPPED)
            return None
        return self._conclude(request, attempt, members, stopping=stopping)

    def _conclude(
        self, request: TrainingRequest, attempt: Attempt, members: list[Member], *, stopping: bool
    ) -> float | None:
        """All instances have ended: decides what comes next."""
        record = request.record
        self._tend(request)
        attempt.ended_at = self._clock.now()
        bad = [member for member in members if member.status.exit_code != 0]
        broken_feed = self._instances.feed_failure(request)
        if broken_feed is not None and not stopping:
            self._instances.forget(members)
            reason = f"ClientError: Data download failed:{broken_feed}"
            self._close(record, SecondaryStatus.FAILED, reason, attempt=attempt)
            return None
        if stopping:
            outcome = record.state.get("ending", SecondaryStatus.STOPPED)
        elif any(member.status.max_runtime_exceeded for member in members):
            outcome = SecondaryStatus.MAX_RUNTIME_EXCEEDED
        elif not bad:
            outcome = SecondaryStatus.COMPLETED
        else:
            return self._conclude_badly(request, attempt, bad, members)
        self._instances.forget(members)
        self._advance(record, SecondaryStatus.UPLOADING, attempt=attempt, outcome=outcome)
        return AGAIN

    def _conclude_badly(
        self, request: TrainingRequest, attempt: Attempt, bad: list[Member], members: list[Member]
    ) -> float | None:
        """Repeats what the platform broke, as often as the request allows; else the job fails."""
        record = request.record
        lost = any(member.status.state is InstanceState.LOST for member in bad)
        self._instances.forget(members)
        if lost and len(record.state["attempts"]) <= request.retries:
            message = f"Restarting the training job: {self._describe(request, attempt, bad)}"
            self._advance(record, SecondaryStatus.RESTARTING, shorten(message), attempt=attempt)
            return AGAIN
        reason = self._describe(request, attempt, bad)
        self._close(record, SecondaryStatus.FAILED, reason, attempt=attempt)
        return None

    def _wait_for_capacity(self, request: TrainingRequest) -> float | None:
        """After an interruption: instances end, checkpoints are kept, capacity comes back."""
        record = request.record
        attempt = attempts_of(record.state)[-1]
        members = self._instances.find(request, attempt)
        if self._instances.stop(members):
            return self._tend(request)
        if attempt.ended_at is None:
            self._tend(request)
            self._instances.forget(members)
            attempt.ended_at = self._clock.now()
            with self._records.edit(KIND, record.name) as draft:
                draft.state["attempts"][-1] = asdict(attempt)
                draft.state["granted"] = False
            self._capacity.release((KIND, record.name))
        back_at = attempt.ended_at
        if secondary_status(record) is SecondaryStatus.INTERRUPTED:
            back_at += self._settings.spot_capacity_wait_s
        if self._clock.now() < back_at:
            return back_at
        message = "Restarting the training job"
        if not self._instances.has_checkpoints(request):
            message += " from its beginning: it had saved nothing to resume from"
            if request.checkpoints is None:
                message += " (the request has no CheckpointConfig)"
        self._advance(record, SecondaryStatus.STARTING, message)
        return AGAIN

    def _upload(self, request: TrainingRequest) -> None:
        hosts = [self._instances.paths(request, host) for host in request.hosts]
        output, compressed = request.output, request.is_output_compressed
        try:
            model = self._uploader.upload_model(hosts, output, compressed)
            self._uploader.upload_output_data(hosts, output, compressed)
        except NoSuchBucketError as error:
            raise DataMissingError(
                f"ClientError: Artifact upload failed:the bucket `{output.bucket}` of "
                f"`OutputDataConfig.S3OutputPath` does not exist"
            ) from error
        outcome = SecondaryStatus(request.record.state["outcome"])
        message = SECONDARY_MESSAGES[outcome]
        if model.left_out:
            some = ", ".join(f"`{printable(path)}`" for path in model.left_out[:LEFT_OUT_SHOWN])
            message += (
                f". {len(model.left_out)} of what is in /opt/ml/model could not be kept (only "
                f"files, folders and links within it can): {some}"
            )
        self._close(request.record, outcome, model=model.uri, message=message)

    def _tend(self, request: TrainingRequest) -> float | None:
        """What is done again and again while instances run: checkpoints, metrics."""
        self._instances.sync_checkpoints(request)
        attempt = attempts_of(request.record.state)[-1]
        logs = [self._instances.log_file(request, attempt, host) for host in request.hosts]
        self._metrics.read(request, logs)
        deadline = _deadline(request)
        if request.checkpoints is None and not self._metrics.has_definitions(request):
            return deadline
        return min(self._clock.now() + self._settings.checkpoint_sync_s, deadline or float("inf"))

    # Endings

    def _has_waited_too_long(self, request: TrainingRequest) -> bool:
        deadline = _deadline(request)
        status = secondary_status(request.record)
        ending = status in (SecondaryStatus.UPLOADING, SecondaryStatus.STOPPING)
        return deadline is not None and self._clock.now() >= deadline and not ending

    def _end_waiting(self, request: TrainingRequest) -> float:
        """Ends a job whose MaxWaitTimeInSeconds is over, as a stop with another last word."""
        with self._records.edit(KIND, request.record.name) as draft:
            if draft.status == TrainingJobStatus.IN_PROGRESS:
                draft.state["ending"] = SecondaryStatus.MAX_WAIT_TIME_EXCEEDED
                if attempts_of(draft.state):
                    self._move(draft, SecondaryStatus.STOPPING)
                    _set_status(draft, TrainingJobStatus.STOPPING)
        record = self._records.get(KIND, request.record.name)
        if record.status == TrainingJobStatus.IN_PROGRESS:
            self._close(record, SecondaryStatus.MAX_WAIT_TIME_EXCEEDED)
        return AGAIN

    def _begin_failing(self, request: TrainingRequest, reason: str) -> float | None:
        """Something the job cannot get over has happened: whatever runs is stopped first."""
        logger.warning("training job `%s` fails: %s", request.record.name, reason)
        with self._records.edit(KIND, request.record.name) as draft:
            draft.state["failing"] = reason
        return self._finish_failing(TrainingRequest(self._records.get(KIND, request.record.name)))

    def _finish_failing(self, request: TrainingRequest) -> float | None:
        attempts = attempts_of(request.record.state)
        members = self._instances.find(request, attempts[-1] if attempts else None)
        if not self._instances.stop(members):
            self._close(request.record, SecondaryStatus.FAILED, request.record.state["failing"])
        return None  # what still runs wakes the job when it ends

    def _close(
        self,
        record: Record,
        ending: SecondaryStatus,
        reason: str | None = None,
        *,
        attempt: Attempt | None = None,
        model: str | None = None,
        message: str | None = None,
    ) -> None:
        request = TrainingRequest(record)
        self._instances.end_feeders(request)
        final_metrics = self._metrics.close(request)
        with self._records.edit(KIND, record.name) as draft:
            _keep(draft, attempt)
            draft.state["ended_at"] = self._clock.now()
            draft.state["granted"] = False
            if final_metrics:
                draft.state["final_metrics"] = final_metrics
            if model is not None:
                draft.state["model"] = model
            if reason is not None:
                draft.state["failure_reason"] = shorten(reason)
            self._move(draft, ending, message)
            _set_status(draft, _PRIMARY[ending])
            if ending is SecondaryStatus.COMPLETED:
                self._warm_pools.keep(draft)
        if ending is not SecondaryStatus.COMPLETED:
            self._warm_pools.drop(record.name)
        self._capacity.release((KIND, record.name))

    def _describe(self, request: TrainingRequest, attempt: Attempt, bad: list[Member]) -> str:
        first = culprit(bad)
        paths = self._instances.paths(request, first.host)
        log = self._instances.log_file(request, attempt, first.host)
        return describe_ending(Ending(first.host, first.status, paths, log))

    # Transitions

    def _advance(
        self,
        record: Record,
        status: SecondaryStatus,
        message: str | None = None,
        *,
        attempt: Attempt | None = None,
        outcome: str | None = None,
    ) -> None:
        """Moves on, unless something came in between (a stop, an interruption): that goes first."""
        with self._records.edit(KIND, record.name) as draft:
            if secondary_status(draft.record) is not secondary_status(record):
                return
            _keep(draft, attempt)
            if outcome is not None:
                draft.state["outcome"] = outcome
            self._move(draft, status, message)

    def _move(self, draft: Draft, status: SecondaryStatus, message: str | None = None) -> None:
        now = self._clock.now()
        last = draft.state["transitions"][-1]
        check_transition(SecondaryStatus(last["Status"]), status)
        last["EndTime"] = now
        _begin(draft.state, status, now, message)
        draft.note("SecondaryStatusChanged", status=status)


_PRIMARY = {
    SecondaryStatus.COMPLETED: TrainingJobStatus.COMPLETED,
    SecondaryStatus.FAILED: TrainingJobStatus.FAILED,
    SecondaryStatus.STOPPED: TrainingJobStatus.STOPPED,
    SecondaryStatus.MAX_RUNTIME_EXCEEDED: TrainingJobStatus.STOPPED,
    SecondaryStatus.MAX_WAIT_TIME_EXCEEDED: TrainingJobStatus.STOPPED,
}


def secondary_status(record: Record) -> SecondaryStatus:
    """The phase that the job is in."""
    return SecondaryStatus(record.state["transitions"][-1]["Status"])


def _begin(
    state: dict[str, Any], status: SecondaryStatus, now: float, message: str | None = None
) -> None:
    text = message or SECONDARY_MESSAGES[status]
    state["transitions"].append({"Status": status.value, "StartTime": now, "StatusMessage": text})


def _keep(draft: Draft, attempt: Attempt | None) -> None:
    if attempt is not None:
        draft.state["attempts"][attempt.number] = asdict(attempt)


def _set_status(draft: Draft, status: TrainingJobStatus) -> None:
    check_transition(TrainingJobStatus(draft.status), status)
    draft.status = status
    draft.note("StatusChanged", status=status)


def _deadline(request: TrainingRequest) -> float | None:
    """When `MaxWaitTimeInSeconds` is over, in epoch seconds."""
    limit = request.max_wait_s
    return None if limit is None else request.record.created_at + limit
