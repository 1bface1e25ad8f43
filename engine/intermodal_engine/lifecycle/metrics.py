"""Metrics of training jobs: what their metric definitions match in their log lines."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import regex

from intermodal_engine.lifecycle.training_instances import KIND
from intermodal_engine.lifecycle.training_request import TrainingRequest
from intermodal_engine.store.log_pages import read_events
from intermodal_engine.store.metric_points import MetricPoint, MetricPoints

_Definitions = dict[str, regex.Pattern[str]]

MATCH_LIMIT_S = 0.2
"""Longest search in one line. Expressions are a user's; some take for ever on the right line."""

logger = logging.getLogger(__name__)


class TrainingMetrics:
    """Reads on in the logs of jobs where it left off.

    Args:
        points: where values are kept.
    """

    def __init__(self, points: MetricPoints) -> None:
        self._points = points
        self._compiled: dict[str, _Definitions] = {}
        self._offsets: dict[str, dict[Path, int]] = {}

    def has_definitions(self, request: TrainingRequest) -> bool:
        """Whether the request defines any metric."""
        return bool(request.record.request["AlgorithmSpecification"].get("MetricDefinitions"))

    def read(self, request: TrainingRequest, logs: Iterable[Path]) -> None:
        """Keeps the values in lines that are new since the last call."""
        if not self.has_definitions(request):
            return
        definitions = self._definitions(request)
        offsets = self._offsets.setdefault(request.record.name, {})
        points = [point for log in logs for point in _read(definitions, log, offsets)]
        if points:
            self._points.add(KIND, request.record.name, points)

    def close(self, request: TrainingRequest) -> list[dict[str, Any]]:
        """What `FinalMetricDataList` says, times in epoch seconds; forgets the job."""
        self._compiled.pop(request.record.name, None)
        self._offsets.pop(request.record.name, None)
        if not self.has_definitions(request):
            return []
        last = self._points.last(KIND, request.record.name)
        return [
            {"MetricName": name, "Value": value, "Timestamp": at}
            for name, (at, value) in last.items()
        ]

    def _definitions(self, request: TrainingRequest) -> _Definitions:
        name = request.record.name
        if name not in self._compiled:
            entries = request.record.request["AlgorithmSpecification"]["MetricDefinitions"]
            self._compiled[name] = compile_definitions(entries)
        return self._compiled[name]


def compile_definitions(definitions: Sequence[Mapping[str, str]]) -> _Definitions:
    """The `MetricDefinitions` of a request.

    Raises:
        ValueError: naming the definition whose regular expression is none.
    """
    compiled = {}
    for definition in definitions:
        try:
            compiled[definition["Name"]] = regex.compile(definition["Regex"])
        except regex.error as error:
            raise ValueError(
                f"the Regex of metric `{definition['Name']}` is no regular expression: {error}"
            ) from error
    return compiled


def _read(definitions: _Definitions, log: Path, offsets: dict[Path, int]) -> list[MetricPoint]:
    points: list[MetricPoint] = []
    offset = offsets.get(log, 0)
    if not log.exists():
        return points
    for event in read_events(log, offset):
        offset = event.end
        for metric, pattern in list(definitions.items()):
            try:
                value = _value(_search(pattern, event.message))
            except TimeoutError:
                logger.warning(
                    "metric `%s` is given up: its Regex `%s` took over %s s on a line of `%s`",
                    *(metric, pattern.pattern, MATCH_LIMIT_S, log.name),
                )
                del definitions[metric]
                continue
            if value is not None:
                source = f"{log.name}@{event.offset}"
                points.append(MetricPoint(metric, value, event.timestamp_ms / 1000, source))
    offsets[log] = offset
    return points


def _search(pattern: regex.Pattern[str], text: str) -> regex.Match[str] | None:
    """Searches without holding up the other threads.

    Raises:
        TimeoutError: it took too long.
    """
    return pattern.search(text, timeout=MATCH_LIMIT_S, concurrent=True)


def _value(match: regex.Match[str] | None) -> float | None:
    """The number that was matched; CloudWatch takes neither NaN nor infinities."""
    if match is None:
        return None
    text = match[1] if match.re.groups else match[0]
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
