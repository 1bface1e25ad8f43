"""Which jobs may run now on a machine that holds only so many instances and GPUs.

First come, first served: a job waits until it fits and nobody waits before it, so a large one is
never overtaken for ever by small ones. Endpoints do not count.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from intermodal_engine.lifecycle.work_queue import Key


@dataclass(frozen=True, slots=True)
class Demand:
    """What a job needs while it runs.

    Attributes:
        instances: how many.
        gpus_wanted: how many GPUs AWS would give them together; it gets at most what there is.
        order: jobs are served in this order (epoch seconds of creation, then name).
    """

    instances: int
    gpus_wanted: int
    order: tuple[float, str]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a job has been given: the indices of the GPUs that are its alone."""

    gpus: tuple[int, ...] = ()


class Capacity:
    """The machine's instances and GPUs, and who has them.

    Args:
        max_instances: how many instances of jobs may run at once.
        gpus: indices of the machine's GPUs.
        wake: called with the key of a job that may fit now.
    """

    def __init__(
        self, max_instances: int, gpus: tuple[int, ...], wake: Callable[[str, str], None]
    ) -> None:
        self.max_instances = max_instances
        self._gpus = gpus
        self._wake = wake
        self._granted: dict[Key, tuple[int, Grant]] = {}
        self._waiting: dict[Key, Demand] = {}
        self._lock = threading.Lock()

    def take(self, key: Key, demand: Demand) -> Grant | None:
        """Gives a job its place, or queues it; asking again is harmless.

        Returns:
            The grant, or None if the job has to wait; it is woken when it may fit.
        """
        with self._lock:
            if key in self._granted:
                return self._granted[key][1]
            self._waiting[key] = demand
            first = min(self._waiting, key=lambda one: self._waiting[one].order)
            grant = self._fit(demand) if first == key else None
            if grant is not None:
                self._granted[key] = (demand.instances, grant)
                del self._waiting[key]
                self._wake_first()
            return grant

    def restore(self, key: Key, instances: int, gpus: tuple[int, ...]) -> None:
        """Gives back to a job what an earlier engine had given it."""
        with self._lock:
            self._granted[key] = (instances, Grant(gpus))

    def release(self, key: Key) -> None:
        """Takes a job's place back, or its place in the queue; harmless if it has neither."""
        with self._lock:
            had = self._granted.pop(key, None) or self._waiting.pop(key, None)
            if had is not None:
                self._wake_first()

    def waits_for(self, key: Key) -> str:
        """Why a job waits, in words."""
        with self._lock:
            used = sum(instances for instances, _ in self._granted.values())
            demand = self._waiting.get(key)
            ahead = sum(
                demand is not None and other.order < demand.order
                for other in self._waiting.values()
            )
        return (
            f"Training job waiting for capacity: {used} of {self.max_instances} instances are in "
            f"use, {ahead} job{'' if ahead == 1 else 's'} ahead"
        )

    def _fit(self, demand: Demand) -> Grant | None:
        used = sum(instances for instances, _ in self._granted.values())
        if used + demand.instances > self.max_instances:
            return None
        taken = {gpu for _, grant in self._granted.values() for gpu in grant.gpus}
        free = [gpu for gpu in self._gpus if gpu not in taken]
        needed = min(demand.gpus_wanted, len(self._gpus))
        return Grant(tuple(free[:needed])) if len(free) >= needed else None

    def _wake_first(self) -> None:
        if self._waiting:
            self._wake(*min(self._waiting, key=lambda one: self._waiting[one].order))


def machine_gpus(devices: Path = Path("/dev")) -> tuple[int, ...]:
    """Indices of this machine's NVIDIA GPUs, by their device files."""
    names = (re.fullmatch(r"nvidia(\d+)", path.name) for path in devices.glob("nvidia*"))
    return tuple(sorted(int(name[1]) for name in names if name))
