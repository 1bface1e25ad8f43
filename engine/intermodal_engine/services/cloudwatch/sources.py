"""Which metrics there are: namespaces and dimensions, and the kept values behind them.

What is to be seen under another namespace gets a line in `SOURCES`, and nothing else here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from intermodal_engine.lifecycle.training_instances import KIND as TRAINING_JOB
from intermodal_engine.store.metric_points import MetricPoints


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
    points: MetricPoints, metric: Metric, start_s: float, end_s: float
) -> list[tuple[float, float]]:
    """`(epoch seconds, value)` of a metric, oldest first; none for one that there is not."""
    for source in SOURCES:
        name = _record_name(source, metric.dimensions)
        if source.namespace == metric.namespace and name is not None:
            return points.values(source.kind, name, metric.name, start_s, end_s)
    return []


def find(
    points: MetricPoints,
    namespace: str | None,
    name: str | None,
    dimensions: Sequence[tuple[str, str | None]],
) -> Iterator[Metric]:
    """The metrics that fit, in a fixed order.

    Args:
        points: where values are kept.
        namespace: the only one that is wanted.
        name: the only one that is wanted.
        dimensions: what the metrics must have: names, or names and values.
    """
    wanted = dict(dimensions)
    for source in SOURCES:
        if namespace in (None, source.namespace) and wanted.keys() <= {*source.dimensions}:
            # One record's metrics are found without a look at all the others'.
            record = _record_name(source, wanted)
            for series in points.series(source.kind, record):
                found = dict(zip(source.dimensions, series.name.split("/"), strict=True))
                if name in (None, series.metric) and _fits(found, wanted.items()):
                    yield Metric(source.namespace, series.metric, found, series.last_s)


def _record_name(source: Source, dimensions: Mapping[str, str | None]) -> str | None:
    """The record that a whole set of dimensions names; None if it is another set."""
    if dimensions.keys() != {*source.dimensions}:
        return None
    parts = [dimensions[name] for name in source.dimensions]
    return "/".join(part for part in parts if part is not None) if all(parts) else None


def _fits(found: Mapping[str, str], wanted: Iterable[tuple[str, str | None]]) -> bool:
    return all(value in (None, found[name]) for name, value in wanted)
