"""What the router measures of its instances, summed up second by second until somebody takes it.

Sums, not single values, so that a thousand invocations cost as much to keep as one.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from intermodal_engine.router.errors import Step
from intermodal_engine.router.instance import Backend


@dataclass(frozen=True, slots=True)
class Measurement:
    """The values of one metric of one instance within one second.

    Attributes:
        backend: the instance.
        metric: its name, as CloudWatch's namespace AWS/SageMaker has it.
        at: epoch seconds at which the second began.
        count: how many values there were.
        total: their sum, in the metric's unit.
        minimum: the smallest.
        maximum: the largest.
        bins: how many lie in each bin, see `bin_of`; None where values are not counted so.
    """

    backend: Backend
    metric: str
    at: int
    count: int
    total: float
    minimum: float
    maximum: float
    bins: Mapping[int, int] | None = None


_BINS_PER_E = 50
"""Bins are 2 % wide: their middles are within 1 % of every value."""

_COUNTED_IN_BINS = frozenset({"ModelLatency", "OverheadLatency"})


def bin_of(value: float) -> int:
    """The bin that a value lies in; what is below one lies in the first."""
    return math.floor(math.log(value) * _BINS_PER_E) if value > 1.0 else 0


def middle_of(number: int) -> float:
    """The value in the middle of a bin."""
    return math.exp((number + 0.5) / _BINS_PER_E)


class Measurements:
    """Takes values from any thread.

    Args:
        now: epoch seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._sums: dict[tuple[Backend, str, int], list[float]] = {}
        self._bins: dict[tuple[Backend, str, int], dict[int, int]] = {}

    def record(self, backend: Backend, metric: str, value: float) -> None:
        """Adds a value of this second."""
        key = (backend, metric, int(self._now()))
        with self._lock:
            if metric in _COUNTED_IN_BINS:
                bins = self._bins.setdefault(key, {})
                number = bin_of(value)
                bins[number] = bins.get(number, 0) + 1
            sums = self._sums.get(key)
            if sums is None:
                self._sums[key] = [1, value, value, value]
                return
            sums[0] += 1
            sums[1] += value
            sums[2] = min(sums[2], value)
            sums[3] = max(sums[3], value)

    def count(self, backend: Backend, began: float, sent: float, status: int) -> None:
        """Adds one invocation that has just ended, by CloudWatch's names and units.

        AWS page: monitoring-cloudwatch. Latencies are in microseconds; errors are 1 or 0.

        Args:
            backend: who got it.
            began: when the router got it, by `time.perf_counter`.
            sent: when it went to the instance.
            status: the instance's answer; 500 stands for none.
        """
        ended = time.perf_counter()
        self.record(backend, "Invocations", 1.0)
        self.record(backend, "Invocation4XXErrors", float(400 <= status < 500))
        self.record(backend, "Invocation5XXErrors", float(status >= 500))
        self.record(backend, "InvocationModelErrors", float(status >= 400))
        self.record(backend, "ModelLatency", (ended - sent) * 1e6)
        self.record(backend, "OverheadLatency", (sent - began) * 1e6)

    def count_containers(self, backend: Backend, steps: Iterable[Step]) -> None:
        """Adds what the containers of an instance have done with one invocation.

        AWS pages: inference-pipeline-logs-metrics, multi-container-metrics.
        """
        for step in steps:
            one = replace(backend, container=step.container)
            self.record(one, "ContainerLatency", step.seconds * 1e6)
            if backend.is_direct:
                self.record(one, "Invocations", 1.0)
                self.record(one, "Invocation4XXErrors", float(400 <= step.status < 500))
                self.record(one, "Invocation5XXErrors", float(step.status >= 500))

    def count_unserved(self, nobody: Backend) -> None:
        """Adds one invocation that no instance got."""
        self.record(nobody, "Invocations", 1.0)
        self.record(nobody, "Invocation4XXErrors", 0.0)
        self.record(nobody, "Invocation5XXErrors", 1.0)

    def take(self) -> list[Measurement]:
        """All that came since the last call; a second that is not over comes in two parts."""
        with self._lock:
            sums, self._sums = self._sums, {}
            bins, self._bins = self._bins, {}
        return [
            Measurement(*key, int(count), total, minimum, maximum, bins.get(key))
            for key, (count, total, minimum, maximum) in sums.items()
        ]
