"""Values that people send themselves: PutMetricData.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
"""

import math
from collections.abc import Iterator

from intermodal_engine.services.answers import not_served
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.store.statistic_sets import SetSeries, StatisticSet
from intermodal_engine.wire.errors import ServiceError

DATA_LIMIT = 1000
VALUES_LIMIT = 150
VALUE_LIMIT = 2.0**360
PAST_S, FUTURE_S = 14 * 24 * 3600, 2 * 3600

_WAYS = ("Value", "Values", "StatisticValues")


def put_metric_data(call: Call, parameters: Parameters) -> Parameters:
    """Keeps all values, or none where one of them is refused."""
    if parameters.get("EntityMetricData"):
        raise not_served("`EntityMetricData`", "send the values in `MetricData`")
    if parameters["Namespace"].startswith("AWS/"):
        raise _refused("The value AWS/ for parameter Namespace is reserved for AWS's services.")
    data = parameters.get("MetricData", [])
    if not 1 <= len(data) <= DATA_LIMIT:
        raise _refused(f"The parameter MetricData must have 1 to {DATA_LIMIT} elements.")
    call.backends.statistic_sets.add(
        [
            (_series(parameters["Namespace"], datum), _second(call, datum), _set(datum))
            for datum in data
        ]
    )
    return {}


def _series(namespace: str, datum: Parameters) -> SetSeries:
    dimensions = {one["Name"]: one["Value"] for one in datum.get("Dimensions", [])}
    return SetSeries(namespace, datum["MetricName"], dimensions, datum.get("Unit", "None"))


def _second(call: Call, datum: Parameters) -> int:
    now = call.backends.clock.now()
    at: float = datum["Timestamp"].timestamp() if "Timestamp" in datum else now
    if not now - PAST_S <= at <= now + FUTURE_S:
        raise _refused(
            f"The Timestamp of {datum['MetricName']} must lie within the last two weeks and the "
            "next two hours."
        )
    # Without StorageResolution 1 CloudWatch knows the minute only.
    return int(at) if datum.get("StorageResolution") == 1 else int(at) // 60 * 60


def _set(datum: Parameters) -> StatisticSet:
    if sum(way in datum for way in _WAYS) != 1:
        raise ServiceError(
            "InvalidParameterCombination",
            f"{datum['MetricName']} must have exactly one of Value, Values and StatisticValues.",
        )
    found = _summed(datum)
    numbers = (found.count, found.total, found.minimum, found.maximum)
    if any(math.isnan(one) or abs(one) > VALUE_LIMIT for one in numbers):
        raise _refused(f"A value of {datum['MetricName']} is no number within 2^360.")
    if found.count <= 0 or found.minimum > found.maximum:
        raise _refused(f"The statistics of {datum['MetricName']} contradict each other.")
    return found


def _summed(datum: Parameters) -> StatisticSet:
    if "StatisticValues" in datum:
        given = datum["StatisticValues"]
        return StatisticSet(*(given[one] for one in ("SampleCount", "Sum", "Minimum", "Maximum")))
    values = list(_values(datum))
    return StatisticSet(
        math.fsum(count for _, count in values),
        math.fsum(value * count for value, count in values),
        min(value for value, _ in values),
        max(value for value, _ in values),
    )


def _values(datum: Parameters) -> Iterator[tuple[float, float]]:
    values = datum.get("Values") or [datum.get("Value", math.nan)]
    counts = datum.get("Counts") or [1.0] * len(values)
    if len(values) > VALUES_LIMIT or len(counts) != len(values):
        raise _refused(
            f"{datum['MetricName']} must have at most {VALUES_LIMIT} Values, and as many Counts."
        )
    return zip(values, counts, strict=True)


def _refused(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValue", message)


OPERATIONS: dict[str, Operation] = {"PutMetricData": put_metric_data}
"""Operations by name."""
