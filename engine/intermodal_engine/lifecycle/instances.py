"""Instances by their id: started once, found again after a restart, watched until their end.

What a start needs may take minutes to get, an environment for example. No worker of the queue waits
for it: it is got by a thread of its own, whose end is a wake of the record. So a stop finds its
record unattended, and takes effect at once; what is being got is got to its end, for others.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from intermodal_engine.clock import Clock
from intermodal_engine.drivers.base import (
    Driver,
    Instance,
    InstanceSpec,
    InstanceStatus,
    Plan,
    StartFailedError,
)
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.store.log_streams import append_lines
from intermodal_engine.store.space import Space

EngineAccess = Callable[[str, str, str], Mapping[str, str]]
"""`(subject, role ARN, network)` to the variables with which a job's code reaches the engine."""

Note = Callable[[Path, Iterable[str]], None]
"""Says something of the engine's own in the log of an instance: `Instances.note`."""

Spawn = Callable[[Callable[[], None]], None]
"""Has a piece of work done, by somebody else or at once."""


def in_a_thread(work: Callable[[], None]) -> None:
    """Has it done by a thread of its own, for which no end of the engine waits."""
    threading.Thread(target=work, name="preparation", daemon=True).start()


def instance_id(kind: str, name: str, host: str, attempt: int | str) -> str:
    """The id of an instance of a record; its first two parts name the record."""
    return f"{kind}/{name}/{host}/{attempt}"


class Instances:
    """What runs, over one driver.

    Args:
        driver: starts and finds instances.
        queue: has the record of an instance looked at when the instance ends.
        clock: stamps what the engine itself says in an instance's log.
        space: says whether instances have room for their folders.
        spawn: who gets what a start needs.
    """

    def __init__(
        self,
        driver: Driver,
        queue: WorkQueue,
        clock: Clock,
        space: Space,
        spawn: Spawn = in_a_thread,
    ) -> None:
        self._space = space
        self._spawn = spawn
        self._clock = clock
        self._driver = driver
        self._queue = queue
        self._known: dict[str, Instance] = {}
        self._preparing: set[str] = set()
        self._failures: dict[str, Exception] = {}
        self._lock = threading.Lock()

    def check(self, spec: InstanceSpec) -> None:
        """Makes sure that the spec could run here.

        Raises:
            PlanRefusedError: it cannot.
        """
        self._driver.plan(spec)

    def is_prepared(self, spec: InstanceSpec) -> bool:
        """Whether all that a start needs is there, so that `prepare` takes no time.

        Raises:
            PlanRefusedError: it cannot run here.
        """
        return self._driver.plan(spec).is_prepared

    def image(self, spec: InstanceSpec) -> str | None:
        """The image that a spec runs on, by digest. See `Plan.image`.

        Raises:
            PlanRefusedError: it cannot run here.
        """
        return self._driver.plan(spec).image

    def prepare(self, spec: InstanceSpec) -> bool:
        """Begins to get what a start needs, such as an environment; may take minutes.

        Returns:
            Whether it is there. If not, the record is looked at when the getting has ended; then
            this is to be called again.

        Raises:
            PlanRefusedError: it cannot run here.
            StartFailedError: it cannot be had.
        """
        plan = self._driver.plan(spec)
        with self._lock:
            is_idle = spec.instance_id not in self._preparing | self._failures.keys()
            begins = is_idle and not plan.is_prepared
            if begins:
                self._preparing.add(spec.instance_id)
        if begins:
            self._spawn(partial(self._get, plan))
        with self._lock:
            failure = self._failures.pop(spec.instance_id, None)
            is_under_way = spec.instance_id in self._preparing
        if failure is not None:
            raise failure
        return not is_under_way

    def ensure(self, spec: InstanceSpec) -> Instance:
        """The running (or ended) instance of a spec: known, adopted, or started now.

        What a person should know about how it runs, its log says first.

        Raises:
            PlanRefusedError: it cannot run here.
            StartFailedError: it could not be started.
        """
        instance = self.find(spec)
        if instance is None:
            self._check_space(spec)
            plan = self._driver.plan(spec)
            self.note(spec.log, plan.notes)
            instance = self._driver.start(plan, self._on_exit)
            self._remember(instance)
        return instance

    def find(self, spec: InstanceSpec) -> Instance | None:
        """The instance of a spec if it was ever started, by this engine or an earlier one."""
        with self._lock:
            instance = self._known.get(spec.instance_id)
        if instance is None:
            instance = self._driver.adopt(spec, self._on_exit)
            if instance is not None:
                self._remember(instance)
        return instance

    def status(self, instance: Instance) -> InstanceStatus:
        """How it is now."""
        return self._driver.status(instance)

    def stop(self, instance: Instance) -> None:
        """Begins to stop it; the end comes as a wake of its record."""
        self._driver.stop(instance)

    def kill(self, instance: Instance) -> None:
        """Takes it away at once, without a word to it; the end comes as a wake of its record."""
        self._driver.kill(instance)

    def note(self, log: Path, texts: Iterable[str]) -> None:
        """Says something of the engine's own in an instance's log."""
        lines = [f"intermodal: {text}" for text in texts]
        if lines:
            append_lines(log, int(self._clock.now() * 1000), lines)

    def forget(self, instance: Instance) -> None:
        """Drops what is kept in memory of an ended instance."""
        with self._lock:
            self._known.pop(instance.instance_id, None)

    def _check_space(self, spec: InstanceSpec) -> None:
        try:
            self._space.check()
        except OSError as error:
            raise StartFailedError(f"cannot prepare `{spec.instance_id}`: {error}") from error

    def _get(self, plan: Plan) -> None:
        wanted = plan.spec.instance_id
        failure: Exception | None = None
        try:
            self._driver.prepare(plan)
        except Exception as error:  # noqa: BLE001 - raised again where the record is looked at
            failure = error
        with self._lock:
            self._preparing.discard(wanted)
            if failure is not None:
                self._failures[wanted] = failure
        self._wake(wanted)

    def _remember(self, instance: Instance) -> None:
        with self._lock:
            self._known[instance.instance_id] = instance

    def _on_exit(self, ended: str) -> None:
        self._wake(ended)

    def _wake(self, instance_id: str) -> None:
        kind, name, *_ = instance_id.split("/")
        self._queue.wake(kind, name)
