"""The life of a training job: from its request to its artifacts.

The record's secondary status says which phase it is in; `reconcile` does what is due in that phase
and moves on. Every phase may be entered again after a crash: staging starts afresh, instances are
adopted, an upload is repeated whole. So a restart of the engine is a wake of every open job.
"""

from collections.abc import Callable, Mapping
from typing import Any

from intermodal_contract.statuses import (
    SECONDARY_MESSAGES,
    SecondaryStatus,
    TrainingJobStatus,
)
from intermodal_engine.clock import Clock
from intermodal_engine.drivers.base import InstanceState
from intermodal_engine.lifecycle.artifacts import ArtifactUploader, UploadedModel
from intermodal_engine.lifecycle.attempt import (
    Attempt,
    Member,
    attempts_of,
    keep_attempt,
    last_attempt,
)
from intermodal_engine.lifecycle.capacity import Capacity
from intermodal_engine.lifecycle.failure import Ending, describe_ending, shorten
from intermodal_engine.lifecycle.job_reconciler import AGAIN, JobReconciler
from intermodal_engine.lifecycle.members import Members, culprit
from intermodal_engine.lifecycle.metrics import TrainingMetrics
from intermodal_engine.lifecycle.training_instances import KIND, TrainingInstances
from intermodal_engine.lifecycle.training_reboots import repeat_after_reboot
from intermodal_engine.lifecycle.training_request import TrainingRequest
from intermodal_engine.lifecycle.training_status import (
    PRIMARY,
    first_transition,
    move,
    secondary_status,
)
from intermodal_engine.lifecycle.transitions import has_yet_to_stop, set_status
from intermodal_engine.lifecycle.warm_pools import WarmPools
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.settings import Settings
from intermodal_engine.store.records import Draft, Record, Records


class NotSpotError(Exception):
    """Only a job on managed spot instances, while it trains, can be interrupted."""


class TrainingJobLifecycle:
    """All training jobs of one engine.

    Args:
        records: where jobs are kept.
        instances: what their instances are made of.
        members: what runs them.
        uploader: takes their output.
        metrics: reads their logs.
        capacity: says which of them may run now.
        warm_pools: keeps what completed jobs leave to the next.
        queue: calls `reconcile`.
        clock: stamps transitions.
        settings: times.
        on_end: told of each job that has ended.
    """

    def __init__(
        self,
        *,
        records: Records,
        instances: TrainingInstances,
        members: Members,
        uploader: ArtifactUploader,
        metrics: TrainingMetrics,
        capacity: Capacity,
        warm_pools: WarmPools,
        queue: WorkQueue,
        clock: Clock,
        settings: Settings,
        on_end: Callable[[Record], None],
    ) -> None:
        self._on_end = on_end
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
        self._jobs = JobReconciler(
            KIND,
            TrainingJobStatus,
            view=TrainingRequest,
            specs=instances.specs,
            step=self._step,
            fail=self._fail,
            records=records,
            members=members,
            capacity=capacity,
            queue=queue,
            on_reboot=self._go_on_after_reboot,
        )

    def create(
        self,
        request: Mapping[str, Any],
        *,
        arn: str,
        tags: Mapping[str, str],
        belongs_to: Mapping[str, str] | None = None,
    ) -> Record:
        """Accepts a job: from here on it is known and will be run.

        Args:
            request: the parameters of CreateTrainingJob.
            arn: its ARN.
            tags: its tags.
            belongs_to: of a trial, its `tuning_job` and that one's `tuning_job_arn`.

        Raises:
            RecordExistsError: the name is taken.
        """
        name = request["TrainingJobName"]
        record = self._records.insert(
            KIND,
            name,
            arn=arn,
            request=request,
            status=TrainingJobStatus.IN_PROGRESS,
            state={
                "transitions": [first_transition(self._clock.now())],
                "attempts": [],
                **(belongs_to or {}),
            },
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
            if has_yet_to_stop(draft, TrainingJobStatus.STOPPING):
                self._move(draft, SecondaryStatus.STOPPING)
                set_status(draft, TrainingJobStatus.STOPPING)
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
        self._jobs.recover()

    # Phases: each does what is due and says when to look again.

    def _step(self, request: TrainingRequest) -> float | None:
        if self._has_waited_too_long(request):
            return self._end_waiting(request)
        return self._phases[secondary_status(request.record)](request)

    def _start(self, request: TrainingRequest) -> float | None:
        record = request.record
        attempt = Attempt(len(record.state["attempts"]), self._clock.now())
        self._jobs.check(request, attempt)
        self._instances.check(request)
        if not self._jobs.take_place(request, attempt):
            if secondary_status(record) is not SecondaryStatus.PENDING:
                message = self._capacity.waits_for((KIND, record.name))
                self._advance(record, SecondaryStatus.PENDING, message)
            return request.waits_until
        self._warm_pools.claim(request)
        with self._records.edit(KIND, record.name) as draft:
            if draft.status != record.status:
                return AGAIN
            keep_attempt(draft, attempt)
            draft.state["granted"] = True
            self._move(draft, SecondaryStatus.DOWNLOADING)
        return AGAIN

    def _download(self, request: TrainingRequest) -> float | None:
        """Brings in the data, then what stands in for the image: its making is no training time."""
        record = request.record
        attempt = attempts_of(record.state)[-1]
        if attempt.mounts is None:
            attempt.restored = self._instances.stage(request, attempt)
        if not self._jobs.is_prepared(request, attempt):
            if secondary_status(record) is SecondaryStatus.DOWNLOADING:
                image = SecondaryStatus.DOWNLOADING_TRAINING_IMAGE
                self._advance(record, image, attempt=attempt)
                record = self._records.get(KIND, record.name)
            if secondary_status(record) is not SecondaryStatus.DOWNLOADING_TRAINING_IMAGE:
                return AGAIN
            if not self._jobs.prepare(request, attempt):
                return request.waits_until  # it is woken when that has ended
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
        attempt = last_attempt(record)
        stopping = record.status == TrainingJobStatus.STOPPING
        if attempt is not None and not stopping:
            self._instances.feed(request, attempt)
        members = self._jobs.watch(request, is_stopping=stopping)
        if members is None:
            return self._tend(request)
        if attempt is None or not members:
            ending = record.state.get("ending", SecondaryStatus.STOPPED)
            self._close(record, SecondaryStatus(ending))
            return None
        return self._conclude(request, attempt, members, stopping=stopping)

    def _conclude(
        self, request: TrainingRequest, attempt: Attempt, members: list[Member], *, stopping: bool
    ) -> float | None:
        """All instances have ended: decides what comes next."""
        record = request.record
        self._tend(request)
        self._forget(request, members)
        attempt.ended_at = self._clock.now()
        bad = [member for member in members if member.status.exit_code != 0]
        broken_feed = self._instances.feed_failure(request)
        if broken_feed is not None and not stopping:
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
            return self._conclude_badly(request, attempt, bad)
        self._advance(record, SecondaryStatus.UPLOADING, attempt=attempt, outcome=outcome)
        return AGAIN

    def _conclude_badly(
        self, request: TrainingRequest, attempt: Attempt, bad: list[Member]
    ) -> float | None:
        """Repeats what the platform broke, as often as the request allows; else the job fails."""
        record = request.record
        lost = any(member.status.state is InstanceState.LOST for member in bad)
        reason = self._describe(request, attempt, bad)
        if lost and len(record.state["attempts"]) <= request.retries:
            message = shorten(f"Restarting the training job: {reason}")
            self._advance(record, SecondaryStatus.RESTARTING, message, attempt=attempt)
            return AGAIN
        self._close(record, SecondaryStatus.FAILED, reason, attempt=attempt)
        return None

    def _go_on_after_reboot(self, request: TrainingRequest) -> None:
        attempt = attempts_of(request.record.state)[-1]
        logs = [self._instances.log_file(request, attempt, host) for host in request.hosts]
        repeat_after_reboot(self._records, request, attempt, logs, self._clock.now())
        self._warm_pools.drop(request.record.name)
        self._jobs.give_place_back(request.record)

    def _wait_for_capacity(self, request: TrainingRequest) -> float | None:
        """After an interruption: instances end, checkpoints are kept, capacity comes back."""
        record = request.record
        attempt = attempts_of(record.state)[-1]
        members = self._jobs.find(request)
        if self._jobs.stop(members):
            return self._tend(request)
        if attempt.ended_at is None:
            self._tend(request)
            self._forget(request, members)
            attempt.ended_at = self._clock.now()
            with self._records.edit(KIND, record.name) as draft:
                keep_attempt(draft, attempt)
                draft.state["granted"] = False
            self._jobs.give_place_back(record)
        back_at = attempt.ended_at
        if secondary_status(record) is SecondaryStatus.INTERRUPTED:
            back_at += self._settings.spot_capacity_wait_s
        if self._clock.now() < back_at:
            return back_at
        message = f"Restarting the training job{self._instances.describe_resumption(request)}"
        self._advance(record, SecondaryStatus.STARTING, message)
        return AGAIN

    def _upload(self, request: TrainingRequest) -> None:
        hosts = [self._instances.paths(request, host) for host in request.hosts]
        model = self._uploader.upload(hosts, request.output, request.is_output_compressed)
        outcome = SecondaryStatus(request.record.state["outcome"])
        self._close(request.record, outcome, model=model)

    def _tend(self, request: TrainingRequest) -> float:
        """What is done again and again while instances run: uploads, metrics."""
        attempt = attempts_of(request.record.state)[-1]
        self._instances.upload_meanwhile(request, attempt)
        logs = [self._instances.log_file(request, attempt, host) for host in request.hosts]
        self._metrics.read(request, logs)
        deadline = request.waits_until or float("inf")
        return min(self._clock.now() + self._settings.checkpoint_sync_s, deadline)

    # Endings

    def _has_waited_too_long(self, request: TrainingRequest) -> bool:
        deadline = request.waits_until
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
                    set_status(draft, TrainingJobStatus.STOPPING)
        record = self._records.get(KIND, request.record.name)
        if record.status == TrainingJobStatus.IN_PROGRESS:
            self._close(record, SecondaryStatus.MAX_WAIT_TIME_EXCEEDED)
        return AGAIN

    def _fail(self, request: TrainingRequest, reason: str) -> None:
        self._jobs.forget(self._jobs.find(request))
        self._close(request.record, SecondaryStatus.FAILED, reason)

    def _close(
        self,
        record: Record,
        ending: SecondaryStatus,
        reason: str | None = None,
        *,
        attempt: Attempt | None = None,
        model: UploadedModel | None = None,
    ) -> None:
        request = TrainingRequest(record)
        self._instances.end_feeders(request)
        self._instances.forget(request)
        final_metrics = self._metrics.close(request)
        with self._records.edit(KIND, record.name) as draft:
            if attempt is not None:
                keep_attempt(draft, attempt)
            draft.state["ended_at"] = self._clock.now()
            draft.state["granted"] = False
            if final_metrics:
                draft.state["final_metrics"] = final_metrics
            if model is not None:
                draft.state["model"] = model.uri
            if reason is not None:
                draft.state["failure_reason"] = shorten(reason)
            self._move(draft, ending, SECONDARY_MESSAGES[ending] + (model.remark if model else ""))
            set_status(draft, PRIMARY[ending])
            leaves_a_pool = self._warm_pools.keep(draft)
        if not leaves_a_pool:
            self._warm_pools.drop(record.name)
        self._jobs.give_place_back(record)
        self._on_end(record)

    def _forget(self, request: TrainingRequest, members: list[Member]) -> None:
        """Drops what is kept in memory of an attempt that has ended."""
        self._jobs.forget(members)
        self._instances.forget(request)

    def _describe(self, request: TrainingRequest, attempt: Attempt, bad: list[Member]) -> str:
        first = culprit(bad)
        paths = self._instances.paths(request, first.host)
        log = self._instances.log_file(request, attempt, first.host)
        return describe_ending(Ending(first.host, first.status, paths, log))

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
            if attempt is not None:
                keep_attempt(draft, attempt)
            if outcome is not None:
                draft.state["outcome"] = outcome
            self._move(draft, status, message)

    def _move(self, draft: Draft, status: SecondaryStatus, message: str | None = None) -> None:
        move(draft, status, self._clock.now(), message)
