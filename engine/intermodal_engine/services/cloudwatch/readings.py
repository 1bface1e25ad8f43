"""The value of an alarm's metric in each period of its window."""

from collections.abc import Mapping
from typing import Any

from intermodal_engine.lifecycle.alarms import Window
from intermodal_engine.services.call import Backends
from intermodal_engine.services.cloudwatch import sources, statistics
from intermodal_engine.services.cloudwatch.sources import Metric
from intermodal_engine.services.cloudwatch.statistics import Periods


def read(backends: Backends, request: Mapping[str, Any], window: Window) -> list[float | None]:
    """The values, oldest first; None for a period that has none.

    Args:
        backends: where values are kept.
        request: the alarm, as PutMetricAlarm has it.
        window: the periods.
    """
    dimensions = {one["Name"]: one["Value"] for one in request.get("Dimensions", [])}
    metric = Metric(request["Namespace"], request["MetricName"], dimensions)
    periods = Periods(window.start_s, window.period_s, window.count)
    by_unit = sources.values(backends, metric, periods.start_s, periods.end_s)
    wanted = request.get("Unit")
    values = [one for unit, own in by_unit.items() if wanted in (None, unit) for one in own]
    function = statistics.statistic(request.get("Statistic") or request["ExtendedStatistic"])
    dealt = statistics.deal(values, periods)
    begins = [window.start_s + number * window.period_s for number in range(window.count)]
    return [
        function(dealt[begin]) if function is not None and begin in dealt else None
        for begin in begins
    ]
