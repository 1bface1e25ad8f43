"""Statistic sets: what is kept of metrics whose single values are too many to keep.

A set sums up the values of one second. After `FINE_S` the sets of a minute become one, and after
`COARSE_S` they are dropped, as CloudWatch does it: what is kept stays bounded.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intermodal_engine.store.database import Database

FINE_S = 3 * 3600
"""How long single seconds are kept."""

COARSE_S = 15 * 24 * 3600
"""How long minutes are kept."""

_SECOND_S = 1
_MINUTE_S = 60
_ADD = """
    INSERT INTO statistic_sets (series, period_s, at, count, total, minimum, maximum)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, total = total + excluded.total,
        minimum = min(minimum, excluded.minimum), maximum = max(maximum, excluded.maximum)
"""
_ROLL_UP = """
    INSERT INTO statistic_sets (series, period_s, at, count, total, minimum, maximum)
    SELECT series, :minute, at / :minute * :minute, sum(count), sum(total), min(minimum),
        max(maximum)
    FROM statistic_sets WHERE period_s = :second AND at < :fine GROUP BY series, at / :minute
    ON CONFLICT DO UPDATE SET count = count + excluded.count, total = total + excluded.total,
        minimum = min(minimum, excluded.minimum), maximum = max(maximum, excluded.maximum)
"""

_ADD_BINS = """
    INSERT INTO value_bins (series, period_s, at, bin, count) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET count = count + excluded.count
"""
_ROLL_UP_BINS = """
    INSERT INTO value_bins (series, period_s, at, bin, count)
    SELECT series, :minute, at / :minute * :minute, bin, sum(count)
    FROM value_bins WHERE period_s = :second AND at < :fine GROUP BY series, at / :minute, bin
    ON CONFLICT DO UPDATE SET count = count + excluded.count
"""


@dataclass(frozen=True, slots=True)
class StatisticSet:
    """Several values, summed up.

    Attributes:
        count: how many there were; CloudWatch allows parts of one.
        total: their sum.
        minimum: the smallest.
        maximum: the largest.
        bins: how many lie in each bin of `router.measurements`; None where that is not known.
    """

    count: float
    total: float
    minimum: float
    maximum: float
    bins: Mapping[int, float] | None = None


@dataclass(frozen=True, slots=True)
class SetSeries:
    """Which metric a set belongs to.

    Attributes:
        namespace: CloudWatch's.
        metric: its name.
        dimensions: their values by their names.
        unit: one of CloudWatch's.
    """

    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    unit: str = "None"


class StatisticSets:
    """All statistic sets.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, sets: Sequence[tuple[SetSeries, int, StatisticSet]]) -> None:
        """Adds sets to what is there of their series and epoch seconds, in one transaction."""
        with self._database.transaction() as connection:
            ids: dict[tuple[str, ...], int] = {}
            rows, bins = [], []
            for series, at, one in sets:
                key = _key(series)
                if key not in ids:
                    ids[key] = connection.execute(
                        "INSERT INTO metric_series (namespace, metric, dimensions, unit, last_at) "
                        "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
                        "SET last_at = max(last_at, excluded.last_at) RETURNING id",
                        (*key, at),
                    ).fetchone()["id"]
                rows.append(
                    (ids[key], _SECOND_S, at, one.count, one.total, one.minimum, one.maximum)
                )
                bins += [(ids[key], _SECOND_S, at, *entry) for entry in (one.bins or {}).items()]
            connection.executemany(_ADD, rows)
            connection.executemany(_ADD_BINS, bins)

    def values(
        self,
        namespace: str,
        metric: str,
        dimensions: Mapping[str, str],
        start_s: float,
        end_s: float,
    ) -> dict[str, list[tuple[float, StatisticSet]]]:
        """`(epoch seconds, set)` by unit, oldest first; `end_s` is excluded."""
        which = "WHERE namespace = ? AND metric = ? AND dimensions = ? AND at >= ? AND at < ?"
        wanted = (namespace, metric, _dump(dimensions), start_s, end_s)
        with self._database.reader() as connection:
            rows = connection.execute(
                "SELECT unit, at, period_s, count, total, minimum, maximum FROM metric_series "  # noqa: S608
                f"JOIN statistic_sets ON series = id {which} ORDER BY unit, at, period_s",
                wanted,
            ).fetchall()
            counted = connection.execute(
                "SELECT unit, at, period_s, bin, count FROM metric_series "  # noqa: S608
                f"JOIN value_bins ON series = id {which}",
                wanted,
            ).fetchall()
        bins: dict[tuple[str, int, int], dict[int, float]] = {}
        for unit, at, period_s, number, count in counted:
            bins.setdefault((unit, at, period_s), {})[number] = count
        found: dict[str, list[tuple[float, StatisticSet]]] = {}
        for unit, at, period_s, count, total, least, most in rows:
            one = StatisticSet(count, total, least, most, bins.get((unit, at, period_s)))
            found.setdefault(unit, []).append((at, one))
        return found

    def series(
        self, namespace: str | None = None, metric: str | None = None
    ) -> list[tuple[SetSeries, float]]:
        """Which series there are, and the epoch second of the last value of each."""
        with self._database.reader() as connection:
            rows = connection.execute(
                "SELECT namespace, metric, dimensions, max(last_at) AS last FROM metric_series "
                "WHERE namespace = coalesce(?, namespace) AND metric = coalesce(?, metric) "
                "GROUP BY namespace, metric, dimensions ORDER BY namespace, metric, dimensions",
                (namespace, metric),
            ).fetchall()
        return [
            (SetSeries(one["namespace"], one["metric"], json.loads(one["dimensions"])), one["last"])
            for one in rows
        ]

    def age(self, now: float) -> None:
        """Rolls up and drops what is old enough; writes nothing where nothing is."""
        # Whole minutes only: a minute's seconds are rolled up together, with what comes late.
        fine = int(now - FINE_S) // _MINUTE_S * _MINUTE_S
        ends = {
            "second": _SECOND_S,
            "minute": _MINUTE_S,
            "fine": fine,
            "coarse": int(now - COARSE_S),
        }
        old = "(period_s = :second AND at < :fine) OR (period_s = :minute AND at < :coarse)"
        with self._database.reader() as connection:
            if not connection.execute(
                f"SELECT 1 FROM statistic_sets WHERE {old} LIMIT 1",  # noqa: S608
                ends,
            ).fetchone():
                return
        with self._database.transaction() as connection:
            connection.execute(_ROLL_UP, ends)
            connection.execute(_ROLL_UP_BINS, ends)
            connection.execute(f"DELETE FROM statistic_sets WHERE {old}", ends)  # noqa: S608
            connection.execute(f"DELETE FROM value_bins WHERE {old}", ends)  # noqa: S608
            connection.execute(
                "DELETE FROM metric_series WHERE last_at < :coarse AND NOT EXISTS "
                "(SELECT 1 FROM statistic_sets WHERE series = id)",
                ends,
            )


def _key(series: SetSeries) -> tuple[str, str, str, str]:
    return series.namespace, series.metric, _dump(series.dimensions), series.unit


def _dump(dimensions: Mapping[str, str]) -> str:
    return json.dumps(dimensions, sort_keys=True)
