"""Which metrics there are: namespaces and dimensions, and what is kept behind them.

Values of records are seen by a line in `SOURCES`; statistic sets carry their names themselves.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from intermodal_engine.lifecycle.training_instances import KIND as TRAINING_JOB
from intermodal_engine.services.call import Backends
from intermodal_engine.services.cloudwatch.statistics import single
from intermodal_engine.store.metric_points import MetricPoints
from intermodal_engine.store.statistic_sets import StatisticSet

NO_UNIT = "None"
"""Of what jobs print."""


@dataclass(frozen=True, slots=True)
class Source:
    """The metrics of all records of a kind.

    Attributes:
        namespace: where CloudWatch shows them.
        kind: of the records.
        dimensions: their dimensions' names; the values, joined by `/`, are the record's name.
    """

    namespace: str
    kind: str
    dimensions: tuple[str, ...]


SOURCES = (
    # What the vendor's TrainingJobAnalytics asks for. AWS page: training-metrics.
    Source("/aws/sagemaker/TrainingJobs", TRAINING_JOB, ("TrainingJobName",)),
)


@dataclass(frozen=True, slots=True)
class Metric:
    """What CloudWatch calls a metric: a name, in one namespace and for one set of dimensions.

    Attributes:
        namespace: for example `/aws/sagemaker/TrainingJobs`.
        name: for example `train:loss`.
        dimensions: their values by their names.
        last_s: epoch seconds of the last value; 0 where that is not known.
    """

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    last_s: float = 0.0


def values(
    backends: Backends, metric: Metric, start_s: float, end_s: float
) -> dict[str, list[tuple[float, StatisticSet]]]:
    """`(epoch seconds, values)` of a metric, by unit; none for one that there is not."""
    found = backends.statistic_sets.values(
        metric.namespace, metric.name, metric.dimensions, start_s, end_s
    )
    printed = _printed(backends.metric_points, metric, start_s, end_s)
    if printed:
        found.setdefault(NO_UNIT, []).extend((at, single(value)) for at, value in printed)
    return found


def _printed(
    points: MetricPoints, metric: Metric, start_s: float, end_s: float
) -> list[tuple[float, float]]:
    for source in SOURCES:
        name = _record_name(source, metric.dimensions)
        if source.namespace == metric.namespace and name is not None:
            return points.values(source.kind, name, metric.name, start_s, end_s)
    return []


def find(
    backends: Backends,
    namespace: str | None,
    name: str | None,
    dimensions: Sequence[tuple[str, str | None]],
) -> Iterator[Metric]:
    """The metrics that fit, in a fixed order.

    Args:
        backends: where values are kept.
        namespace: the only one that is wanted.
        name: the only one that is wanted.
        dimensions: what the metrics must have: names, or names and values.
    """
    wanted = dict(dimensions)
    for source in SOURCES:
        if namespace in (None, source.namespace) and wanted.keys() <= {*source.dimensions}:
            # One record's metrics are found without a look at all the others'.
            record = _record_name(source, wanted)
            for series in backends.metric_points.series(source.kind, record):
                found = dict(zip(source.dimensions, series.name.split("/"), strict=True))
                if name in (None, series.metric) and _fits(found, wanted.items()):
                    yield Metric(source.namespace, series.metric, found, series.last_s)
    for kept, last_s in backends.statistic_sets.series(namespace, name):
        if wanted.keys() <= kept.dimensions.keys() and _fits(kept.dimensions, wanted.items()):
            yield Metric(kept.namespace, kept.metric, kept.dimensions, last_s)


def _record_name(source: Source, dimensions: Mapping[str, str | None]) -> str | None:
    """The record that a whole set of dimensions names; None if it is another set."""
    if dimensions.keys() != {*source.dimensions}:
        return None
    parts = [dimensions[name] for name in source.dimensions]
    return "/".join(part for part in parts if part is not None) if all(parts) else None


def _fits(found: Mapping[str, str], wanted: Iterable[tuple[str, str | None]]) -> bool:
    return all(value in (None, found[name]) for name, value in wanted)
