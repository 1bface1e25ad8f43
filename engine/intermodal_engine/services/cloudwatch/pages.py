"""Pages of CloudWatch's answers, and the tokens that lead from one to the next."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from intermodal_engine.services.answers import when
from intermodal_engine.wire.errors import ServiceError

DATA_LIMIT = 100_800
"""Datapoints on one page of GetMetricData."""

LIST_LIMIT = 500
"""Metrics on one page of ListMetrics."""

_DATA_TOKEN = re.compile(r"(\d{1,9})/(-?\d{1,19})?")
_LIST_TOKEN = re.compile(r"\d{1,9}")

T = TypeVar("T")
Datapoint = tuple[int, float]
"""Epoch second and value."""


@dataclass(frozen=True, slots=True)
class Series:
    """The datapoints of one query.

    Attributes:
        query_id: the query's Id.
        label: how it is called.
        datapoints: in the order that was asked for.
    """

    query_id: str
    label: str
    datapoints: Sequence[Datapoint]


def data_page(
    all_series: Sequence[Series], token: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """One page of several series: they follow each other, and a page may end within one.

    The token names the last datapoint, so that values which come meanwhile shift nothing.

    Returns:
        The entries of MetricDataResults, and the next page's token.

    Raises:
        ServiceError: InvalidNextToken.
    """
    first, shown = _read(token)
    results = []
    for position, series in enumerate(all_series[first:], first):
        left = _behind(series.datapoints, shown if position == first else None)
        page, limit = left[:limit], limit - len(left[:limit])
        is_cut = len(page) < len(left)
        results.append(_result(series, page, is_cut=is_cut))
        if is_cut:
            return results, f"{position}/{page[-1][0] if page else ''}"
    return results, None


def list_page(entries: Sequence[T], token: str | None) -> tuple[Sequence[T], str | None]:
    """One page of a list, and the next page's token.

    Raises:
        ServiceError: InvalidParameterValue; the token is none.
    """
    if token is not None and not _LIST_TOKEN.fullmatch(token):
        raise ServiceError("InvalidParameterValue", "Invalid nextToken")
    end = int(token or 0) + LIST_LIMIT
    return entries[end - LIST_LIMIT : end], str(end) if end < len(entries) else None


def _read(token: str | None) -> tuple[int, int | None]:
    found = _DATA_TOKEN.fullmatch(token or "0/")
    if found is None:
        raise ServiceError("InvalidNextToken", "The next token specified is invalid.")
    return int(found[1]), int(found[2]) if found[2] else None


def _behind(datapoints: Sequence[Datapoint], shown: int | None) -> Sequence[Datapoint]:
    """What follows the last datapoint that was shown."""
    places = (place for place, (at, _) in enumerate(datapoints, 1) if at == shown)
    return datapoints[next(places, 0) :]


def _result(series: Series, page: Sequence[Datapoint], *, is_cut: bool) -> dict[str, Any]:
    return {
        "Id": series.query_id,
        "Label": series.label,
        "Timestamps": [when(at) for at, _ in page],
        "Values": [value for _, value in page],
        "StatusCode": "PartialData" if is_cut else "Complete",
    }
