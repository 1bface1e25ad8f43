"""Metrics: GetMetricStatistics, GetMetricData, ListMetrics.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html
"""

import re
from collections.abc import Sequence

from intermodal_engine.services.answers import not_served, when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.cloudwatch import sources, statistics
from intermodal_engine.services.cloudwatch.pages import DATA_LIMIT, Series, data_page, list_page
from intermodal_engine.services.cloudwatch.sources import Metric
from intermodal_engine.services.cloudwatch.statistics import Periods, Statistic
from intermodal_engine.store.statistic_sets import StatisticSet
from intermodal_engine.wire.errors import ServiceError

STATISTICS_LIMIT = 1440
"""Datapoints of one GetMetricStatistics."""

QUERIES_LIMIT = 500
RECENTLY_S = 3 * 3600.0

_ID = re.compile(r"[a-z][A-Za-z0-9_]*")


def get_metric_statistics(call: Call, parameters: Parameters) -> Parameters:
    """Statistics of one metric over time; a period without values has no datapoint."""
    plain, extended = parameters.get("Statistics", []), parameters.get("ExtendedStatistics", [])
    if not plain and not extended:
        raise ServiceError(
            "InvalidParameterCombination", "Must specify either Statistics or ExtendedStatistics"
        )
    functions = {name: _statistic(name, "InvalidParameterValue") for name in (*plain, *extended)}
    periods = _periods(parameters, parameters["Period"], "InvalidParameterValue")
    if periods.count > STATISTICS_LIMIT:
        raise ServiceError(
            "InvalidParameterCombination",
            f"You have requested up to {periods.count:,} datapoints, which exceeds the limit of "
            f"{STATISTICS_LIMIT:,}. You may reduce the datapoints requested by increasing Period, "
            "or decreasing the time range.",
        )
    by_unit = _values(call, parameters, parameters.get("Unit"), periods)
    return {
        "Label": parameters["MetricName"],
        "Datapoints": [
            {
                "Timestamp": when(begin),
                **{name: functions[name](sets) for name in plain},
                "ExtendedStatistics": _known({name: functions[name](sets) for name in extended}),
                "Unit": unit,
            }
            for unit, values in by_unit.items()
            for begin, sets in statistics.deal(values, periods).items()
        ],
    }


def get_metric_data(call: Call, parameters: Parameters) -> Parameters:
    """One statistic of each of several metrics, in pages of so many datapoints together."""
    queries = parameters["MetricDataQueries"]
    _check_queries(queries)
    is_descending = parameters.get("ScanBy") != "TimestampAscending"
    series = [
        _series(call, parameters, query, descending=is_descending)
        for query in queries
        if query.get("ReturnData", True)
    ]
    limit = min(parameters.get("MaxDatapoints", DATA_LIMIT), DATA_LIMIT)
    results, token = data_page(series, parameters.get("NextToken"), limit)
    return {"MetricDataResults": results, "NextToken": token, "Messages": []}


def list_metrics(call: Call, parameters: Parameters) -> Parameters:
    """The metrics that have ever had a value; unlike CloudWatch's they are there at once."""
    if parameters.get("IncludeLinkedAccounts") or "OwningAccount" in parameters:
        raise not_served("metrics of other accounts", "the engine has one account")
    since_s = 0.0
    if "RecentlyActive" in parameters:
        since_s = call.backends.clock.now() - RECENTLY_S
    metrics = sources.find(
        call.backends,
        parameters.get("Namespace"),
        parameters.get("MetricName"),
        [(one["Name"], one.get("Value")) for one in parameters.get("Dimensions", [])],
    )
    fitting = (one for one in metrics if one.last_s >= since_s)
    entries, token = list_page([_metric(one) for one in fitting], parameters.get("NextToken"))
    return {"Metrics": entries, "NextToken": token}


def _metric(metric: Metric) -> Parameters:
    return {
        "Namespace": metric.namespace,
        "MetricName": metric.name,
        "Dimensions": [{"Name": name, "Value": one} for name, one in metric.dimensions.items()],
    }


def _known(found: dict[str, float | None]) -> dict[str, float] | None:
    return {name: value for name, value in found.items() if value is not None} or None


def _series(call: Call, parameters: Parameters, query: Parameters, *, descending: bool) -> Series:
    wanted = query["MetricStat"]
    function = _statistic(wanted["Stat"], "ValidationError")
    periods = _periods(parameters, wanted["Period"], "ValidationError")
    by_unit = _values(call, wanted["Metric"], wanted.get("Unit"), periods)
    every = [one for values in by_unit.values() for one in values]
    found = sorted(statistics.deal(every, periods).items(), reverse=descending)
    return Series(
        query["Id"],
        query.get("Label") or wanted["Metric"]["MetricName"],
        [(at, value) for at, sets in found if (value := function(sets)) is not None],
    )


def _check_queries(queries: Sequence[Parameters]) -> None:
    if not 1 <= len(queries) <= QUERIES_LIMIT:
        raise _invalid(
            f"The collection MetricDataQueries must have between 1 and {QUERIES_LIMIT} elements."
        )
    ids = [query["Id"] for query in queries]
    for identifier in ids:
        if not _ID.fullmatch(identifier):
            raise _invalid(
                f"The value '{identifier}' for parameter MetricDataQueries.Id is not valid: it "
                "must begin with a lowercase letter and hold letters, digits and underscores only."
            )
    if len(set(ids)) < len(ids):
        raise _invalid("The values for parameter id in MetricDataQueries must be unique.")
    for query in queries:
        if ("Expression" in query) == ("MetricStat" in query):
            raise _invalid(
                f"MetricDataQuery '{query['Id']}' must have exactly one of MetricStat and "
                "Expression."
            )
        if "Expression" in query:
            raise not_served(
                f"the `Expression` of MetricDataQuery `{query['Id']}`",
                "ask for metrics with `MetricStat`, and calculate with what comes",
            )


def _values(
    call: Call, metric: Parameters, unit: str | None, periods: Periods
) -> dict[str, list[tuple[float, StatisticSet]]]:
    dimensions = {one["Name"]: one["Value"] for one in metric.get("Dimensions", [])}
    wanted = Metric(metric["Namespace"], metric["MetricName"], dimensions)
    found = sources.values(call.backends, wanted, periods.start_s, periods.end_s)
    return {own: values for own, values in found.items() if unit in (None, own)}


def _periods(parameters: Parameters, period_s: int, code: str) -> Periods:
    start_s, end_s = parameters["StartTime"].timestamp(), parameters["EndTime"].timestamp()
    if start_s >= end_s:
        raise ServiceError(code, "The parameter StartTime must be less than the parameter EndTime.")
    if not statistics.is_period(period_s):
        raise ServiceError(
            code,
            f"The parameter Period is {period_s}: it must be 1, 5, 10, 20, 30 or a multiple of 60.",
        )
    return statistics.cut(start_s, end_s, period_s)


def _statistic(name: str, code: str) -> Statistic:
    function = statistics.statistic(name)
    if function is None:
        plain = ", ".join(statistics.STATISTICS)
        raise ServiceError(
            code,
            f"The value {name} for parameter Stat is not supported: there are {plain} and "
            "percentiles such as p99.9.",
        )
    return function


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)


OPERATIONS: dict[str, Operation] = {
    "GetMetricData": get_metric_data,
    "GetMetricStatistics": get_metric_statistics,
    "ListMetrics": list_metrics,
}
"""Operations by name."""
