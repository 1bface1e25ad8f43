"""Pages of a log stream: forward and backward from any byte, within a range of time.

A line that begins with a tab continues the event before it. Ranges of time rely on lines being
written in the order of their time stamps, give or take a minute.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from intermodal_engine.store.log_streams import LogEvent, parse_event

PAGE_LIMIT_BYTES = 1 << 20
EVENT_OVERHEAD_BYTES = 26
_BLOCK_BYTES = 64 << 10
_SLACK_MS = 60_000


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Epoch milliseconds: `start_ms` is in it, `end_ms` is not; None leaves it open."""

    start_ms: int | None = None
    end_ms: int | None = None

    def holds(self, event: LogEvent) -> bool:
        """Whether the event lies in it."""
        return not self.is_before(event) and (
            self.end_ms is None or event.timestamp_ms < self.end_ms
        )

    def is_before(self, event: LogEvent) -> bool:
        """Whether the event is older."""
        return self.start_ms is not None and event.timestamp_ms < self.start_ms

    def is_surely_behind(self, event: LogEvent) -> bool:
        """Whether this and everything written later is newer."""
        return self.end_ms is not None and event.timestamp_ms >= self.end_ms + _SLACK_MS

    def is_surely_before(self, event: LogEvent) -> bool:
        """Whether this and everything written earlier is older."""
        return self.start_ms is not None and event.timestamp_ms < self.start_ms - _SLACK_MS


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some events of one stream.

    Attributes:
        events: in the order in which they were written.
        begin: where the page begins in the file, in bytes.
        end: where the next page begins.
    """

    events: list[LogEvent]
    begin: int
    end: int


def page_forward(path: Path, offset: int, limit: int, within: TimeRange) -> LogPage:
    """The next events from a byte offset on."""
    if offset == 0 and within.start_ms is not None:
        offset = seek_time(path, within.start_ms)
    events: list[LogEvent] = []
    begin, room = offset, PAGE_LIMIT_BYTES
    for event in read_events(path, offset):
        if within.is_surely_behind(event):
            break
        if within.holds(event):
            room -= weight(event)
            if len(events) == limit or (events and room < 0):
                break
            begin = begin if events else event.offset
            events.append(event)
        offset = event.end
    return LogPage(events, begin if events else offset, offset)


def page_backward(path: Path, end: int | None, limit: int, within: TimeRange) -> LogPage:
    """The events before a byte offset, or the last ones of all; in the order of writing."""
    events: list[LogEvent] = []
    begin, page_end, room = end, end, PAGE_LIMIT_BYTES
    for event in read_events_backward(path, end):
        if page_end is None:
            begin = page_end = event.end
        if within.is_surely_before(event):
            break
        if within.holds(event):
            room -= weight(event)
            if len(events) == limit or (events and room < 0):
                break
            page_end = page_end if events else event.end
            events.append(event)
        begin = event.offset
    return LogPage(events[::-1], begin or 0, page_end or 0)


def weight(event: LogEvent) -> int:
    """What an event counts against the limit of a page."""
    return len(event.message.encode()) + EVENT_OVERHEAD_BYTES


def read_events(path: Path, offset: int) -> Iterator[LogEvent]:
    """The complete events from a byte offset on, as they are now."""
    with path.open("rb") as file:
        file.seek(offset)
        yield from _joined(_lines(file, offset))


def read_events_backward(path: Path, end: int | None) -> Iterator[LogEvent]:
    """The complete events before a byte offset (None: the file's end), the last one first."""
    continuation: list[bytes] = []
    for offset, line in _lines_backward(path, end):
        if line.startswith(b"\t") and offset > 0:
            continuation.append(line)
            continue
        yield parse_event([line, *reversed(continuation)], offset)
        continuation = []


def seek_time(path: Path, start_ms: int) -> int:
    """An offset at the beginning of an event, before which all are older than `start_ms`."""
    wanted_ms = start_ms - _SLACK_MS
    low, high = 0, path.stat().st_size
    with path.open("rb") as file:
        while high - low > _BLOCK_BYTES:
            middle = (low + high) // 2
            event = _first_event_behind(file, middle)
            if event is None or event.offset >= high or event.timestamp_ms >= wanted_ms:
                high = middle
            else:
                low = event.offset
    return low


def _first_event_behind(file: BinaryIO, offset: int) -> LogEvent | None:
    """The first event that begins behind an offset; its first line only."""
    file.seek(offset)
    offset += len(file.readline())
    for begin, line in _lines(file, offset):
        if not line.startswith(b"\t"):
            return parse_event([line], begin)
    return None


def _lines(file: BinaryIO, offset: int) -> Iterator[tuple[int, bytes]]:
    for line in file:
        if not line.endswith(b"\n"):
            return
        yield offset, line
        offset += len(line)


def _joined(lines: Iterable[tuple[int, bytes]]) -> Iterator[LogEvent]:
    begin = 0
    event: list[bytes] = []
    for offset, line in lines:
        if line.startswith(b"\t") and event:
            event.append(line)
            continue
        if event:
            yield parse_event(event, begin)
        begin, event = offset, [line]
    if event:
        yield parse_event(event, begin)


def _lines_backward(path: Path, end: int | None) -> Iterator[tuple[int, bytes]]:
    """Complete lines before `end`, the last one first, each with its offset."""
    with path.open("rb") as file:
        position = file.seek(0, 2) if end is None else end
        rest = b""
        while position > 0:
            size = min(_BLOCK_BYTES, position)
            position -= size
            file.seek(position)
            block = file.read(size) + rest
            *_, tail = block.rpartition(b"\n")
            if end is None:
                block = block[: len(block) - len(tail)]  # still being written
                end = position + len(block) if block else None
            first, feed, _ = block.partition(b"\n")
            keep = len(first) + len(feed) if position > 0 else 0
            offset = position + len(block)
            for line in reversed(block[keep:].split(b"\n")[:-1]):
                offset -= len(line) + 1
                yield offset, line + b"\n"
            rest = block[:keep]
