"""Time, so that tests can turn it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """Epoch seconds; the machine's owner may set them forward and back."""

    def monotonic(self) -> float:
        """Seconds since some moment, which nobody sets."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()


class FakeClock:
    """A clock that a test turns by hand."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._passed = 0.0

    def now(self) -> float:
        """Epoch seconds."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since it was made."""
        return self._passed

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        before = self._now
        self._now += seconds
        self._passed += self._now - before  # rounded alike

    def jump(self, seconds: float) -> None:
        """Sets the clock to another time, forward or back; no time passes."""
        self._now += seconds
