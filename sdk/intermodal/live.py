"""What a person sees while a job runs: status changes and log lines, as they happened."""

import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

_COLOURS = ("\x1b[34m", "\x1b[35m", "\x1b[32m", "\x1b[36m", "\x1b[33m")
_PLAIN = "\x1b[0m"


class Out(Protocol):
    """What lines are written to."""

    def write(self, text: str, /) -> int:
        """Take text."""
        ...

    def flush(self) -> None:
        """Show it."""
        ...

    def isatty(self) -> bool:
        """Whether a person reads it, in colours."""
        ...


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of one instance's log.

    Attributes:
        time_ms: milliseconds since the epoch.
        host: the instance, as in `algo-1`.
        text: the line without its end.
    """

    time_ms: int
    host: str
    text: str


class LiveView:
    """Prints to standard output as it is at that moment, so a notebook's cell shows it.

    Args:
        out: another stream.
    """

    def __init__(self, out: Out | None = None) -> None:
        self._out = out
        self._hosts: list[str] = []
        self._shown: set[tuple[object, ...]] = set()

    def say(self, text: str) -> None:
        """Print one line at once."""
        out = self._out or sys.stdout
        out.write(f"{text}\n")
        out.flush()

    def happened(
        self,
        transitions: Iterable[Mapping[str, Any]],
        lines: Iterable[LogLine],
        *,
        has_hosts: bool,
    ) -> None:
        """Print the transitions not yet shown and the lines, merged by time.

        Args:
            transitions: all `SecondaryStatusTransitions` of the job so far.
            lines: new log lines.
            has_hosts: whether lines say which instance they are from.
        """
        events = [(line.time_ms, 1, self._line(line, has_hosts=has_hosts)) for line in lines]
        for transition in transitions:
            mark = (transition["StartTime"], transition["Status"], transition.get("StatusMessage"))
            if mark not in self._shown:
                self._shown.add(mark)
                events.append(
                    (int(transition["StartTime"].timestamp() * 1000), 0, _status(transition))
                )
        # A sort of its own keeps lines of the same millisecond in their order.
        for _, _, text in sorted(events, key=lambda event: event[:2]):
            self.say(text)

    def _line(self, line: LogLine, *, has_hosts: bool) -> str:
        if not has_hosts:
            return line.text
        if line.host not in self._hosts:
            self._hosts.append(line.host)
        if not self._is_coloured():
            return f"{line.host} | {line.text}"
        colour = _COLOURS[self._hosts.index(line.host) % len(_COLOURS)]
        return f"{colour}{line.host}{_PLAIN} | {line.text}"

    def _is_coloured(self) -> bool:
        return (self._out or sys.stdout).isatty() and not os.environ.get("NO_COLOR")


def _status(transition: Mapping[str, Any]) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", transition["StartTime"].astimezone().timetuple())
    message = transition.get("StatusMessage")
    return f"{moment} {transition['Status']}" + (f" - {message}" if message else "")
