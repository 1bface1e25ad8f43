"""A container's output as the daemon sends it: frames into messages, messages into lines.

A frame is eight bytes (stream, three zeros, length) and a payload `<RFC 3339 time> <text>`. A line
of more than 16 KiB comes as several messages, of which only the last one ends with a newline.
https://docs.docker.com/reference/api/engine/ (ContainerAttach, "Stream format")
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from intermodal_engine.drivers.supervision.log import LINE_LIMIT_BYTES, character_boundary

_HEADER_BYTES = 8
_OUTPUTS = (1, 2)
"""Standard output and standard error; other frames hold nothing of the program's."""
_TIME = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")


@dataclass(frozen=True, slots=True)
class Message:
    """What the daemon logged at once.

    Attributes:
        stream: 1 for standard output, 2 for standard error.
        time_ns: when, in nanoseconds since 1970.
        text: a line with its newline, or a piece of one.
    """

    stream: int
    time_ns: int
    text: bytes


class Frames:
    """Cuts what comes over the wire, in pieces of any size, into messages."""

    def __init__(self) -> None:
        self._rest = b""
        self._second: tuple[bytes, bytes] | None = None
        self._second_ns = 0

    def take(self, data: bytes) -> Iterator[Message]:
        """The messages that are complete with this data."""
        data = self._rest + data
        at = 0
        while len(data) - at >= _HEADER_BYTES:
            end = at + _HEADER_BYTES + int.from_bytes(data[at + 4 : at + 8])
            if end > len(data):
                break
            if data[at] in _OUTPUTS:
                yield self._message(data[at], data[at + _HEADER_BYTES : end])
            at = end
        self._rest = data[at:]

    def _message(self, stream: int, payload: bytes) -> Message:
        time = _TIME.match(payload)
        if time is None:
            return Message(stream, 0, payload)
        second = (time[1], time[3])
        if second != self._second:  # rarely: parsing a date costs more than all the rest
            moment = datetime.fromisoformat(f"{time[1].decode()}{time[3].decode()}")
            self._second, self._second_ns = second, int(moment.timestamp()) * 1_000_000_000
        nanoseconds = int((time[2] or b"0").ljust(9, b"0"))
        return Message(stream, self._second_ns + nanoseconds, payload[time.end() :])


@dataclass(slots=True)
class Lines:
    """Joins messages into lines of the log, `<epoch ms> <text>`, whose times never go back.

    The same messages give the same lines, so that a line can be known again after a restart.

    Attributes:
        rests: by stream, the beginning of a line whose end has not come.
        last_ms: time of the last line.
    """

    rests: dict[int, bytes] = field(default_factory=dict)
    last_ms: int = 0

    def take(self, message: Message) -> list[bytes]:
        """The lines that are complete with this message."""
        *whole, rest = (self.rests.pop(message.stream, b"") + message.text).split(b"\n")
        pieces = [piece for line in whole for piece in _pieces(line)]
        *begun, rest = _pieces(rest)
        if rest:
            self.rests[message.stream] = rest
        self.last_ms = max(self.last_ms, message.time_ns // 1_000_000)
        return [self._stamped(piece) for piece in pieces + begun]

    def end(self) -> list[bytes]:
        """The last line of each stream, where no newline ended it."""
        rests, self.rests = self.rests, {}
        return [self._stamped(rest) for _, rest in sorted(rests.items())]

    def _stamped(self, text: bytes) -> bytes:
        try:
            text.decode()
        except UnicodeDecodeError:
            text = text.decode(errors="replace").encode()
        return b"%d %b" % (self.last_ms, text)


def _pieces(line: bytes) -> list[bytes]:
    """A line, or its parts where it is too long; no UTF-8 character is cut."""
    pieces = []
    while len(line) > LINE_LIMIT_BYTES:
        cut = character_boundary(line, LINE_LIMIT_BYTES)
        pieces.append(line[:cut])
        line = line[cut:]
    return [*pieces, line]
