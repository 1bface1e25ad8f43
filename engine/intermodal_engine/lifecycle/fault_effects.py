"""What faults do: each kind takes effect where such a thing really happens."""

import random
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from intermodal_engine.lifecycle.faults import Fault, FaultKind
from intermodal_engine.router.disturbances import Disturbance, Disturbances
from intermodal_engine.store.space import Space


class Zones:
    """Which Availability Zones are out."""

    def __init__(self) -> None:
        self._closed: frozenset[str] = frozenset()

    def close(self, zones: Iterable[str]) -> bool:
        """These are out from now on, and no others; says whether that is a change."""
        before, self._closed = self._closed, frozenset(zones)
        return before != self._closed

    def closed(self) -> AbstractSet[str]:
        """Those that are out."""
        return self._closed


class Throttle:
    """Which requests are told to come more slowly.

    Args:
        now: epoch seconds.
        draw: a number from 0 to 1, below a fraction as often as that says.
    """

    def __init__(self, now: Callable[[], float], draw: Callable[[], float] = random.random) -> None:
        self._now = now
        self._draw = draw
        self._present: tuple[Fault, ...] = ()

    def set(self, faults: Iterable[Fault]) -> None:
        """From now on it is these."""
        self._present = tuple(faults)

    def hits(self, service: str) -> bool:
        """Whether a request for a service is one of them."""
        return any(
            one.parameters["service"] in (None, service)
            and self._now() < one.until
            and self._draw() < one.parameters["fraction"]
            for one in self._present
        )


@dataclass(frozen=True, slots=True)
class Effects:
    """Where faults take effect.

    Attributes:
        zones: asked before an instance is started.
        throttle: asked before an operation is performed.
        disturbances: what requests to instances meet.
        space: asked before anything is written.
        wake_fleets: has the members of all fleets looked at.
    """

    zones: Zones
    throttle: Throttle
    disturbances: Disturbances
    space: Space
    wake_fleets: Callable[[], None]

    def show(self, present: Sequence[Fault]) -> None:
        """These faults go on, and no others."""
        by_kind: dict[FaultKind, list[Fault]] = {kind: [] for kind in FaultKind}
        for fault in present:
            by_kind[fault.kind].append(fault)
        self.space.fill(max((one.until for one in by_kind[FaultKind.DISK_FULL]), default=0.0))
        self.throttle.set(by_kind[FaultKind.THROTTLE])
        self.disturbances.set(
            Disturbance(until=one.until, **one.parameters)
            for one in [*by_kind[FaultKind.LATENCY], *by_kind[FaultKind.ERRORS]]
        )
        if self.zones.close(one.parameters["zone"] for one in by_kind[FaultKind.ZONE]):
            self.wake_fleets()
