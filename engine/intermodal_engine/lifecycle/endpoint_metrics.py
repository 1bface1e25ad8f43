"""From the router's measurements to CloudWatch's metrics of endpoints, once a second.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.router.instance import Backend
from intermodal_engine.router.measurements import Measurement
from intermodal_engine.router.router import Router
from intermodal_engine.store.statistic_sets import SetSeries, StatisticSet, StatisticSets

NAMESPACE = "AWS/SageMaker"
UNITS = dict.fromkeys(
    (
        *("ModelLatency", "OverheadLatency", "ContainerLatency"),
        *("ModelLoadingWaitTime", "ModelLoadingTime"),
        *("ModelDownloadingTime", "ModelUnloadingTime"),
    ),
    "Microseconds",
)
"""Of the metrics that have one."""

CONCURRENCY = "ConcurrentRequestsPerModel"
_BY_INSTANCE = {"Invocations": "InvocationsPerInstance", "ModelLatency": CONCURRENCY}
_BY_COPY = {"Invocations": "InvocationsPerCopy", "ModelLatency": "ConcurrentRequestsPerCopy"}

FLUSH_EVERY_S = 1.0
TOTALS_LIMIT = 10_000
AGE_EVERY_S = 60.0
UNWRITTEN_LIMIT = 100_000
"""So many values wait at most while nothing can be written; the oldest go."""


_QUEUE_KIND = "endpoint-metrics"


class EndpointMetrics:
    """Keeps what the router measures. A kill -9 loses the last second, nothing else.

    Args:
        router: measures, and knows how many instances there are.
        sets: keep it.
        queue: keeps the time.
        clock: tells it.
    """

    def __init__(
        self,
        router: Router,
        sets: StatisticSets,
        queue: WorkQueue,
        clock: Clock,
    ) -> None:
        self._router = router
        self._sets = sets
        self._queue = queue
        self._clock = clock
        self._age_at = 0.0
        self._unwritten: list[tuple[SetSeries, int, StatisticSet]] = []
        self._totals: dict[tuple[Backend, str], tuple[int, float]] = {}
        queue.register(_QUEUE_KIND, self._look)

    def begin(self) -> None:
        """Begins to keep."""
        self._queue.wake(_QUEUE_KIND, "all")

    def flush(self) -> None:
        """Keeps what there is by now; with nothing there is no transaction."""
        measured = self._router.measurements.take()
        whole = [one for one in measured if not one.backend.container]
        for one in whole:
            self._add_up(one)
        kept = [one for measurement in measured for one in _sets(measurement)]
        self._unwritten += [*kept, *_by_instance(whole, self._router.ready)]
        if self._unwritten:
            # What cannot be written now, as on a full disk, is when there is room.
            del self._unwritten[:-UNWRITTEN_LIMIT]
            self._sets.add(self._unwritten)
            self._unwritten = []

    def totals(self) -> dict[tuple[Backend, str], tuple[int, float]]:
        """How many values there were since the engine's start, and their sum, by metric."""
        return dict(self._totals)

    def _add_up(self, one: Measurement) -> None:
        key = (one.backend, one.metric)
        count, total = self._totals.pop(key, (0, 0.0))
        if len(self._totals) >= TOTALS_LIMIT:  # instances come and go; the oldest are forgotten
            del self._totals[next(iter(self._totals))]
        self._totals[key] = (count + one.count, total + one.total)

    def _look(self, _name: str) -> float:
        now = self._clock.now()
        self.flush()
        if now >= self._age_at:
            self._sets.age(now)
            self._age_at = now + AGE_EVERY_S
        return now + FLUSH_EVERY_S


def _sets(one: Measurement) -> Iterator[tuple[SetSeries, int, StatisticSet]]:
    unit = UNITS.get(one.metric, "None")
    numbers = StatisticSet(one.count, one.total, one.minimum, one.maximum, one.bins)
    for dimensions in _dimensions(one.backend):
        yield SetSeries(NAMESPACE, one.metric, dimensions, unit), one.at, numbers


def _by_instance(
    measured: Sequence[Measurement], ready: Callable[[str, str], int]
) -> Iterator[tuple[SetSeries, int, StatisticSet]]:
    """What scaling looks at: invocations an instance, and requests that one works on at once.

    The second is the time that all requests of a second took together, by Little's law.

    Args:
        measured: what the router measured.
        ready: how many instances of `(target, variant)` get requests.
    """
    sums: dict[tuple[str, str, str, int], float] = {}
    for one in measured:
        if one.metric in _BY_INSTANCE:
            key = (one.metric, one.backend.target, one.backend.variant, one.at)
            sums[key] = sums.get(key, 0.0) + one.total
    for (metric, target, variant, at), total in sums.items():
        share = total / max(1, ready(target, variant))
        value = share / 1e6 if metric == "ModelLatency" else share
        endpoint, _, component = target.partition("/")
        dimensions = {"EndpointName": endpoint, "VariantName": variant}
        name = _BY_INSTANCE[metric]
        if component:
            dimensions, name = {"InferenceComponentName": component}, _BY_COPY[metric]
        series = SetSeries(NAMESPACE, name, dimensions, "None")
        yield series, at, StatisticSet(1, value, value, value)


def _dimensions(backend: Backend) -> Iterator[Mapping[str, str]]:
    """AWS's own set; and the instance's and the zone's, under the names AWS has for them."""
    variant = {"EndpointName": backend.endpoint, "VariantName": backend.variant}
    if backend.container:
        yield {**variant, "ContainerName": backend.container}
        return
    yield variant
    if backend.component:
        yield {"InferenceComponentName": backend.component}
    if not backend.backend_id:
        # What no instance got counts against the variant alone.
        return
    yield {**variant, "InstanceId": backend.backend_id}
    yield {**variant, "AvailabilityZone": backend.zone}
