"""Warm pools: what a finished training job's instances keep for the next job like it.

As on AWS a pool is tracked in the job that left it, is reused by at most one matching job, and
ends with its `KeepAlivePeriodInSeconds`. A job leaves one however it ends, unless the platform
broke it, or it was never started. What a pool keeps is the folder
`/opt/ml/sagemaker/warmpoolcache`, which AWS calls the persistent cache; Python environments of
images are kept here anyway.
https://docs.aws.amazon.com/sagemaker/latest/dg/train-warm-pools.html
"""

import json
from typing import Any

from intermodal_contract.statuses import TrainingJobStatus
from intermodal_contract.training_files import TrainingPaths
from intermodal_engine import folders
from intermodal_engine.clock import Clock
from intermodal_engine.drivers.base import Mount, MountMode
from intermodal_engine.lifecycle.attempt import last_attempt
from intermodal_engine.lifecycle.training_instances import KIND as JOB
from intermodal_engine.lifecycle.training_request import TrainingRequest
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.settings import Settings
from intermodal_engine.store.records import Draft, Record, Records

KIND = "warm-pool"
CACHE = str(TrainingPaths().warm_pool_cache)

_ENDED = (TrainingJobStatus.COMPLETED, TrainingJobStatus.STOPPED, TrainingJobStatus.FAILED)
_BROKEN = "InternalServerError"
"""What the reason of a failure begins with that is the platform's."""

_MUST_MATCH = (
    "RoleArn",
    "VpcConfig",
    "EnableInterContainerTrafficEncryption",
    "EnableNetworkIsolation",
)
_INSTANCES_MUST_MATCH = (
    "InstanceType",
    "InstanceCount",
    "VolumeKmsKeyId",
    "VolumeSizeInGB",
)


class NoWarmPoolError(Exception):
    """The job has no warm pool that could be changed."""


class WarmPools:
    """All warm pools of one engine.

    Args:
        records: where jobs are kept.
        queue: ends pools in time.
        clock: tells the time.
        settings: folders.
    """

    def __init__(
        self, *, records: Records, queue: WorkQueue, clock: Clock, settings: Settings
    ) -> None:
        self._records = records
        self._queue = queue
        self._clock = clock
        self._folder = settings.instances_folder / KIND
        queue.register(KIND, self.reconcile)

    def claim(self, request: TrainingRequest) -> str | None:
        """Takes over the oldest pool that fits a job that is about to start.

        Returns:
            The name of the job that left it, or None if there is none, or the job wants none.
        """
        if keep_alive_s(request.record) == 0:
            return None
        wanted = _fingerprint(request.record)
        for record in self._records.all(JOB, *_ENDED):
            pool = record.state.get("warm_pool", {})
            if pool.get("status") == "Available" and _fingerprint(record) == wanted:
                with self._records.edit(JOB, record.name) as draft:
                    if not self._end(draft, "Reused", reused_by=request.record.name):
                        continue
                self._hand_over(record.name, request.record.name)
                return record.name
        return None

    def mounts(self, request: TrainingRequest, host: str) -> tuple[Mount, ...]:
        """What an instance of the job sees of its pool."""
        if keep_alive_s(request.record) == 0:
            return ()
        folder = self._folder / request.record.name / host
        return (Mount(folder, CACHE, MountMode.READ_WRITE),)

    def keep(self, draft: Draft) -> bool:
        """Makes a pool of what a job leaves that ends now; says whether it leaves one."""
        period_s = keep_alive_s(draft.record)
        is_healthy = not draft.state.get("failure_reason", "").startswith(_BROKEN)
        attempts = draft.state["attempts"]
        if period_s == 0 or not is_healthy or not attempts or attempts[-1]["mounts"] is None:
            return False
        now = self._clock.now()
        draft.state["warm_pool"] = {
            "status": "Available",
            "since": now,
            "until": now + period_s,
        }
        self._queue.wake_at(KIND, draft.record.name, now + period_s)
        return True

    def drop(self, name: str) -> None:
        """Removes what a job has left."""
        folders.remove(self._folder / name)

    def set_period(self, name: str, period_s: int) -> None:
        """Changes how long a job's pool is kept from now on; 0 ends it.

        Raises:
            RecordNotFoundError: no such job.
            NoWarmPoolError: it has no pool, or the pool has ended.
        """
        with self._records.edit(JOB, name) as draft:
            pool = draft.state.get("warm_pool", {})
            if pool.get("status") not in (None, "Available") or keep_alive_s(draft.record) == 0:
                raise NoWarmPoolError(name)
            draft.request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = period_s
            if pool:
                pool["until"] = self._clock.now() + period_s
        self._queue.wake(KIND, name)

    def recover(self) -> None:
        """Looks at every pool that there was when the engine ended.

        Of those of another boot of the machine nobody knows whether they are whole: they end.
        """
        for record in self._records.all(JOB, *_ENDED):
            if record.state.get("warm_pool", {}).get("status") != "Available":
                continue
            attempt = last_attempt(record)
            if attempt is not None and attempt.is_from_earlier_boot:
                self._terminate(record.name)
            else:
                self._queue.wake(KIND, record.name)

    def reconcile(self, name: str) -> float | None:
        """Ends one job's pool if its time is over; says when that is."""
        record = self._records.find(JOB, name)
        pool: dict[str, Any] = record.state.get("warm_pool", {}) if record else {}
        if pool.get("status") != "Available":
            return None
        if self._clock.now() < pool["until"]:
            return float(pool["until"])
        self._terminate(name)
        return None

    def _terminate(self, name: str) -> None:
        with self._records.edit(JOB, name) as draft:
            ended = self._end(draft, "Terminated")
        if ended:
            self.drop(name)

    def _end(self, draft: Draft, status: str, *, reused_by: str | None = None) -> bool:
        """Ends a pool that is still available; says whether it was."""
        pool = draft.state.get("warm_pool", {})
        if pool.get("status") != "Available":
            return False
        pool["status"] = status
        pool["retained_s"] = round(self._clock.now() - pool["since"])
        if reused_by is not None:
            pool["reused_by"] = reused_by
        draft.note("WarmPoolChanged", status=status)
        return True

    def _hand_over(self, owner: str, heir: str) -> None:
        left = self._folder / owner
        if left.is_dir():
            self.drop(heir)  # where it is the heir's second attempt
            left.rename(self._folder / heir)


def keep_alive_s(record: Record) -> int:
    """The job's `KeepAlivePeriodInSeconds`; 0 for a job without a warm pool."""
    return int(record.request["ResourceConfig"].get("KeepAlivePeriodInSeconds", 0))


def _fingerprint(record: Record) -> str:
    """What two jobs must have in common to share a pool, as AWS lists it."""
    request = record.request
    common = {name: request.get(name) or None for name in _MUST_MATCH}
    instances = {name: request["ResourceConfig"].get(name) for name in _INSTANCES_MUST_MATCH}
    return json.dumps([common, instances], sort_keys=True)
