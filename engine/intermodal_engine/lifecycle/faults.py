"""Faults that drills ask for: each has an end, which the engine keeps, whoever asked for it.

A fault is a record, so that it goes on, and ends in time, under the next engine too. What it does
is the business of others, who are told of all that go on whenever that changes.
"""

import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.store.records import Record, RecordNotFoundError, Records

KIND = "fault"

LOOK_AGAIN_S = 0.5
"""How soon to look again at one that cannot end yet."""

LONGEST_S = 3600.0
"""Nobody who forgot a drill has it for longer."""


class FaultKind(StrEnum):
    """What goes wrong.

    ZONE: `zone`; its instances are gone, and none is started there.
    LATENCY: `target`, `variant` or None, `fraction`, `delay_s`.
    ERRORS: `target`, `variant` or None, `fraction`, `status`.
    THROTTLE: `service` or None, `fraction`.
    DISK_FULL: nothing can be written into the home.
    DEPLOYMENT: `endpoint` is updated to `config`; see `deployment_drill`.
    """

    ZONE = "zone"
    LATENCY = "latency"
    ERRORS = "errors"
    THROTTLE = "throttle"
    DISK_FULL = "disk-full"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True, slots=True)
class Fault:
    """One that goes on.

    Attributes:
        name: unique for ever.
        kind: what goes wrong.
        until: epoch seconds of its end.
        parameters: where, and how much; see `FaultKind`.
    """

    name: str
    kind: FaultKind
    until: float
    parameters: Mapping[str, Any]


class Faults:
    """All faults of one engine.

    Args:
        records: where they are kept.
        queue: keeps their ends.
        clock: tells the time.
        on_change: told of those that go on, first at `recover`.
        put_back: asked at the end of each; says whether nothing is left to be put back.
    """

    def __init__(
        self,
        records: Records,
        queue: WorkQueue,
        clock: Clock,
        on_change: Callable[[Sequence[Fault]], None],
        put_back: Callable[[Fault], bool],
    ) -> None:
        self._put_back = put_back
        self._records = records
        self._queue = queue
        self._clock = clock
        self._on_change = on_change
        queue.register(KIND, self._look)

    def begin(self, kind: FaultKind, parameters: Mapping[str, Any], seconds: float) -> Fault:
        """Begins one; it ends by itself.

        Args:
            kind: what goes wrong.
            parameters: where, and how much.
            seconds: for how long.
        """
        name = f"{kind}-{secrets.token_hex(4)}"
        until = self._clock.now() + min(seconds, LONGEST_S)
        record = self._records.insert(
            KIND,
            name,
            arn=f"arn:intermodal:fault/{name}",
            request=parameters,
            state={"kind": kind, "until": until},
        )
        self._on_change(self.present())
        self._queue.wake_at(KIND, name, until)
        return _fault(record)

    def end(self, name: str) -> None:
        """Ends one before its time; harmless where it is over."""
        if not self._end(name):
            with self._records.edit(KIND, name) as draft:
                draft.state["until"] = self._clock.now()
            self._queue.wake(KIND, name)

    def present(self) -> list[Fault]:
        """Those that go on."""
        now = self._clock.now()
        found = [_fault(record) for record in self._records.all(KIND)]
        return [one for one in found if now < one.until]

    def recover(self) -> None:
        """Goes on with those of an earlier engine, and ends those whose time is over."""
        self._on_change(self.present())
        for record in self._records.all(KIND):
            self._queue.wake(KIND, record.name)

    def _look(self, name: str) -> float | None:
        record = self._records.find(KIND, name)
        if record is None:
            return None
        until = _fault(record).until
        if self._clock.now() < until:
            return until
        return None if self._end(name) else self._clock.now() + LOOK_AGAIN_S

    def _end(self, name: str) -> bool:
        """Ends one; says whether it is over.

        Its effect ends first: it may be what keeps its record from being deleted.
        """
        self._on_change([one for one in self.present() if one.name != name])
        record = self._records.find(KIND, name)
        if record is None:
            return True
        if not self._put_back(_fault(record)):
            return False
        with contextlib.suppress(RecordNotFoundError):  # somebody else has ended it
            self._records.delete(KIND, name)
        return True


def _fault(record: Record) -> Fault:
    state = record.state
    return Fault(record.name, FaultKind(state["kind"]), float(state["until"]), record.request)
