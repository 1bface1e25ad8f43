"""Events of many streams in the order of time, in pages whose token says how far each was read."""

import base64
import heapq
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from intermodal_engine.store.log_pages import (
    PAGE_LIMIT_BYTES,
    TimeRange,
    read_events,
    seek_time,
    weight,
)
from intermodal_engine.store.log_streams import LogEvent, LogStream
from intermodal_engine.wire.errors import ServiceError

_BATCH = 1000
_SCAN_LIMIT_BYTES = 64 << 20


@dataclass(slots=True)
class _Cursor:
    """A place in one stream. The file is open only while a batch is read."""

    stream: LogStream
    within: TimeRange
    offset: int
    batch: list[LogEvent] = field(default_factory=list)

    def next_event(self) -> LogEvent | None:
        """The next event within the range of time."""
        while True:
            if not self.batch:
                self.batch = self._read()[::-1]
            if not self.batch or self.within.is_surely_behind(self.batch[-1]):
                return None
            event = self.batch.pop()
            if self.within.holds(event):
                return event
            self.offset = event.end

    def _read(self) -> list[LogEvent]:
        try:
            return [*islice(read_events(self.stream.path, self.offset), _BATCH)]
        except FileNotFoundError:
            return []


@dataclass(frozen=True, slots=True)
class MergedPage:
    """A page of events.

    Attributes:
        events: with their streams, in the order of time.
        offsets: how far each stream was read; None if all were read to their ends.
    """

    events: list[tuple[LogStream, LogEvent]]
    offsets: Mapping[str, int] | None


def merge(
    streams: Sequence[LogStream],
    offsets: Mapping[str, int],
    within: TimeRange,
    matches: Callable[[str], bool],
    limit: int,
) -> MergedPage:
    """The next events of all streams whose messages match.

    A page ends at `limit` events, at a mebibyte of them, or after 64 MiB of log were looked at; so
    it may be empty though more follow.
    """
    cursors = [
        _Cursor(stream, within, _start(stream, offsets.get(stream.name), within))
        for stream in streams
    ]
    events: list[tuple[LogStream, LogEvent]] = []
    room, scan = PAGE_LIMIT_BYTES, _SCAN_LIMIT_BYTES
    for cursor, event in _in_order(cursors):
        if matches(event.message):
            room -= weight(event)
            if len(events) == limit or (events and room < 0):
                return MergedPage(events, _offsets(cursors))
            events.append((cursor.stream, event))
        cursor.offset = event.end
        scan -= event.end - event.offset
        if scan < 0:
            return MergedPage(events, _offsets(cursors))
    return MergedPage(events, None)


def write_token(offsets: Mapping[str, int]) -> str:
    """A page's offsets as an opaque token."""
    packed = zlib.compress(json.dumps(dict(offsets)).encode())
    return base64.urlsafe_b64encode(packed).decode()


def read_token(token: str) -> dict[str, int]:
    """The reverse of `write_token`.

    Raises:
        ServiceError: it is not one of ours.
    """
    try:
        found = json.loads(zlib.decompress(base64.urlsafe_b64decode(token)))
        return {str(name): int(offset) for name, offset in found.items()}
    except (ValueError, zlib.error, AttributeError) as error:
        raise ServiceError(
            "InvalidParameterException", "The specified nextToken is invalid."
        ) from error


def _start(stream: LogStream, offset: int | None, within: TimeRange) -> int:
    if offset is not None or within.start_ms is None:
        return offset or 0
    try:
        return seek_time(stream.path, within.start_ms)
    except FileNotFoundError:  # deleted meanwhile
        return 0


def _in_order(cursors: Sequence[_Cursor]) -> Iterator[tuple[_Cursor, LogEvent]]:
    heads = []
    for number, cursor in enumerate(cursors):
        if (event := cursor.next_event()) is not None:
            heads.append((event.timestamp_ms, number, event))
    heapq.heapify(heads)
    while heads:
        _, number, event = heads[0]
        yield cursors[number], event
        following = cursors[number].next_event()
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (following.timestamp_ms, number, following))


def _offsets(cursors: Sequence[_Cursor]) -> dict[str, int]:
    return {cursor.stream.name: cursor.offset for cursor in cursors}
