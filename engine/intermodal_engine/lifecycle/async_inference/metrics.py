"""CloudWatch's metrics of asynchronous endpoints.

https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-monitor.html
"""

import threading
from dataclasses import dataclass

from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle.async_inference.outcome import Outcome
from intermodal_engine.lifecycle.endpoint_metrics import NAMESPACE
from intermodal_engine.store.statistic_sets import SetSeries, StatisticSet, StatisticSets


@dataclass(frozen=True, slots=True)
class Times:
    """Of one request.

    Attributes:
        waited_s: seconds in the queue.
        took_s: seconds from there to the end, input and answer included.
    """

    waited_s: float
    took_s: float


class AsyncMetrics:
    """Gathers values, and keeps them when told to.

    Args:
        sets: keep them.
        clock: stamps them.
    """

    def __init__(self, sets: StatisticSets, clock: Clock) -> None:
        self._sets = sets
        self._clock = clock
        self._lock = threading.Lock()
        self._gathered: list[tuple[SetSeries, int, StatisticSet]] = []

    def measure(self, endpoint: str, size: int, instances: int, oldest: float | None) -> None:
        """How an endpoint's queue is now.

        Args:
            endpoint: whose.
            size: requests that wait or are worked on.
            instances: that get any.
            oldest: epoch seconds at which the oldest of them came.
        """
        age_s = 0.0 if oldest is None else self._clock.now() - oldest
        self._gather(endpoint, "ApproximateBacklogSize", size)
        self._gather(endpoint, "ApproximateBacklogSizePerInstance", size / max(1, instances))
        self._gather(endpoint, "ApproximateAgeOfOldestRequest", age_s, "Seconds")
        self._gather(endpoint, "HasBacklogWithoutCapacity", float(size > 0 and instances == 0))

    def count(self, endpoint: str, outcome: Outcome, times: Times) -> None:
        """A request is over."""
        if outcome.is_expired:
            self._gather(endpoint, "ExpiredRequests", 1)
        else:
            self._gather(endpoint, "TotalProcessingTime", times.took_s * 1e3, "Milliseconds")
            self._gather(endpoint, "InvocationsProcessed", 1)
            self._gather(endpoint, "InvocationFailures", float(not outcome.has_succeeded))
        self._gather(endpoint, "TimeInBacklog", times.waited_s * 1e3, "Milliseconds")

    def flush(self) -> None:
        """Keeps what there is by now; with nothing there is no transaction."""
        with self._lock:
            gathered, self._gathered = self._gathered, []
        if gathered:
            self._sets.add(gathered)

    def _gather(self, endpoint: str, metric: str, value: float, unit: str = "None") -> None:
        series = SetSeries(NAMESPACE, metric, {"EndpointName": endpoint}, unit)
        one = StatisticSet(1, value, value, value)
        with self._lock:
            self._gathered.append((series, int(self._clock.now()), one))
