"""A training job's metric curves: from CloudWatch while it runs, their ends from its description.

They are a nicety: whatever goes wrong here costs the user a curve and nothing else.
"""

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from intermodal.clients import Clients
from intermodal.polling import Pace

NAMESPACE = "/aws/sagemaker/TrainingJobs"
SHOWN = 6
"""So many metrics have a curve; CreateTrainingJob takes forty."""
INTERVAL_S = 0.5
SHARED_INTERVAL_S = 15.0
"""A service that many share has a new point every minute."""
ROUND_TRIPS = 20
_MOST_POINTS = 1440
# CloudWatch takes these and multiples of a minute.
_PERIODS_S = (1, 5, 10, 30)
_SHARED_PERIOD_S = 60


_EPOCH = re.compile(r"(?:^|[:_./ -])epochs?$", re.IGNORECASE)


def is_epoch(metric: str) -> bool:
    """Whether that metric counts epochs, as `epoch` and `train:epoch` do."""
    return _EPOCH.search(metric) is not None


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric's values so far.

    Attributes:
        name: as in the metric definitions.
        values: oldest first; never empty.
    """

    name: str
    values: tuple[float, ...]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.values[-1]


class Curves:
    """The curves of one job, asked for now and then.

    Args:
        clients: the way to CloudWatch.
        pace: how far away the service is.
        clock: seconds that only grow.
    """

    def __init__(
        self, clients: Clients, pace: Pace, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clients = clients
        self._pace = pace
        self._clock = clock
        self._due_s = 0.0
        self._is_refused = False
        self._series: dict[str, list[tuple[datetime, float]]] = {}

    def update(self, description: Mapping[str, Any], *, at_the_end: bool) -> list[Curve]:
        """What there is by now.

        Args:
            description: of DescribeTrainingJob.
            at_the_end: ask even if it is not yet time.
        """
        definitions = description.get("AlgorithmSpecification", {}).get("MetricDefinitions", [])
        names = [definition["Name"] for definition in definitions][:SHOWN]
        begun = description.get("TrainingStartTime")
        is_due = at_the_end or self._clock() >= self._due_s
        if names and begun is not None and is_due and not self._is_refused:
            self._ask(str(description["TrainingJobName"]), names, begun)
        return list(self._with_the_last(names, description.get("FinalMetricDataList", [])))

    def _ask(self, job_name: str, names: list[str], begun: datetime) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        begun_s = self._clock()
        try:
            for name in names:
                self._series[name] = self._points(job_name, name, begun)
        except (BotoCoreError, ClientError):
            # Not allowed, or no way there: asked again, it might hold up the watching each time.
            self._is_refused = True
        took_s = self._clock() - begun_s
        least_s = SHARED_INTERVAL_S if self._pace.is_far else INTERVAL_S
        self._due_s = self._clock() + max(least_s, ROUND_TRIPS * took_s)

    def _points(self, job_name: str, metric: str, begun: datetime) -> list[tuple[datetime, float]]:
        end = datetime.now(UTC) + timedelta(seconds=1)
        # The mean of two epochs is none.
        statistic = "Maximum" if is_epoch(metric) else "Average"
        answer = self._clients.client("cloudwatch").get_metric_statistics(
            Namespace=NAMESPACE,
            MetricName=metric,
            Dimensions=[{"Name": "TrainingJobName", "Value": job_name}],
            StartTime=begun - timedelta(seconds=1),
            EndTime=end,
            Period=_period_s((end - begun).total_seconds() + 1, is_shared=self._pace.is_far),
            Statistics=[statistic],
        )
        return sorted((point["Timestamp"], point[statistic]) for point in answer["Datapoints"])

    def _with_the_last(self, names: list[str], final: list[Mapping[str, Any]]) -> Any:
        last = {one["MetricName"]: float(one["Value"]) for one in final}
        for name in names:
            values = [value for _, value in self._series.get(name, [])]
            if name in last and values[-1:] != [last[name]]:
                values.append(last[name])
            if values:
                yield Curve(name, tuple(values))


def _period_s(span_s: float, *, is_shared: bool) -> int:
    """The shortest period that fits into one answer; a service that many share keeps minutes."""
    short = (_SHARED_PERIOD_S,) if is_shared else _PERIODS_S
    fitting = [period for period in short if span_s / period < _MOST_POINTS]
    return fitting[0] if fitting else 60 * math.ceil(span_s / 60 / (_MOST_POINTS - 1))
