"""Values of metrics over time, each known by the log line that it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass

from intermodal_engine.store.database import Database


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One value.

    Attributes:
        metric: its name.
        value: the number.
        timestamp_s: epoch seconds of the log line.
        source: the log line: stream file and byte offset. A line counts once, however often read.
    """

    metric: str
    value: float
    timestamp_s: float
    source: str


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """All values of one metric of one record.

    Attributes:
        name: the record's.
        metric: the metric's name.
        last_s: epoch seconds of the last value.
    """

    name: str
    metric: str
    last_s: float


class MetricPoints:
    """The metric values of all jobs.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: str, name: str, points: Sequence[MetricPoint]) -> None:
        """Keeps points; those already known are passed over."""
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO metric_points VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (kind, name, one.metric, one.timestamp_s, one.value, one.source)
                    for one in points
                ],
            )

    def values(
        self, kind: str, name: str, metric: str, start_s: float, end_s: float
    ) -> list[tuple[float, float]]:
        """`(epoch seconds, value)` of one metric of one record, oldest first; `end_s` excluded."""
        with self._database.reader() as connection:
            rows = connection.execute(
                "SELECT at, value FROM metric_points WHERE kind = ? AND name = ? AND metric = ? "
                "AND at >= ? AND at < ? ORDER BY at, rowid",
                (kind, name, metric, start_s, end_s),
            ).fetchall()
        return [(row["at"], row["value"]) for row in rows]

    def series(self, kind: str, name: str | None = None) -> list[MetricSeries]:
        """What has ever had a value, of one record or of all of a kind, by name."""
        which, parameters = ("", (kind,)) if name is None else (" AND name = ?", (kind, name))
        with self._database.reader() as connection:
            rows = connection.execute(
                f"SELECT name, metric, max(at) AS last FROM metric_points WHERE kind = ?{which} "  # noqa: S608
                "GROUP BY name, metric ORDER BY name, metric",
                parameters,
            ).fetchall()
        return [MetricSeries(row["name"], row["metric"], row["last"]) for row in rows]

    def last(self, kind: str, name: str) -> dict[str, tuple[float, float]]:
        """The last `(epoch seconds, value)` of each metric of one job."""
        with self._database.reader() as connection:
            rows = connection.execute(
                "SELECT metric, at, value FROM metric_points WHERE kind = ? AND name = ? "
                "ORDER BY at, rowid",
                (kind, name),
            ).fetchall()
        return {row["metric"]: (row["at"], row["value"]) for row in rows}
