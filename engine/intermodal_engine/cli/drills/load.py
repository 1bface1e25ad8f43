"""The clients of a drill: a few that call again and again, and what each call was like."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from intermodal_engine.wire.client import CallError

_END_S = 5.0
"""How long a call that is under way is waited for at the end."""

Call = Callable[[], int]
"""Makes one call; returns how often its client tried again. Raises CallError."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One call.

    Attributes:
        began_s: since the load's start.
        seconds: until its answer, or until the client gave up.
        retries: how often the client tried again.
        error: AWS's code, or the kind of failure; None for a call that went well.
        message: what was answered to one that did not.
    """

    began_s: float
    seconds: float
    retries: int
    error: str | None = None
    message: str = ""

    @property
    def ended_s(self) -> float:
        """Since the load's start."""
        return self.began_s + self.seconds


class Load:
    """A light load: each client calls, and calls again when its pause is over.

    Args:
        call: what each of them calls.
        clients: how many there are.
        pause_s: from the beginning of a client's call to that of its next, if that is over by then.
    """

    def __init__(self, call: Call, *, clients: int, pause_s: float) -> None:
        self._call = call
        self._pause_s = pause_s
        self._samples: list[Sample] = []
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._began = 0.0
        self._threads = [
            threading.Thread(target=self._work, name=f"client-{number}", daemon=True)
            for number in range(clients)
        ]

    def start(self) -> None:
        """Begins to call."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the calls; harmless twice."""
        self._is_over.set()
        give_up_at = time.monotonic() + _END_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, give_up_at - time.monotonic()))

    def now_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def samples(self) -> list[Sample]:
        """The calls that have ended, in the order of their beginnings."""
        with self._lock:
            return sorted(self._samples, key=lambda one: one.began_s)

    def _work(self) -> None:
        while not self._is_over.is_set():
            began_s = self.now_s()
            sample = self._sample(began_s)
            with self._lock:
                self._samples.append(sample)
            self._is_over.wait(max(0.0, began_s + self._pause_s - self.now_s()))

    def _sample(self, began_s: float) -> Sample:
        try:
            retries = self._call()
        except CallError as error:
            seconds = self.now_s() - began_s
            return Sample(began_s, seconds, error.retries, error.code, str(error))
        return Sample(began_s, self.now_s() - began_s, retries)
