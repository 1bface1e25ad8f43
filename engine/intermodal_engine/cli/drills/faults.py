"""Drills by a fault that the engine keeps: it ends in time whatever becomes of the drill."""

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from intermodal_engine.cli.drills.cost import Instances
from intermodal_engine.cli.drills.load import Call
from intermodal_engine.cli.drills.stage import Engine, Request
from intermodal_engine.cli.main import UnavailableError


class FaultDrill:
    """Zone, latency, errors, throttle: clients call endpoints, or the control plane.

    Args:
        engine: which one.
        name: of the drill, and of the kind of fault.
        target: what it is about.
        did: what it does, in words.
        seconds: for how long.
        parameters: of the fault.
        endpoints: whom clients call; none: the control plane.
        request: what they send.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        target: str,
        *,
        did: str,
        seconds: float,
        parameters: dict[str, Any],
        endpoints: Sequence[str],
        request: Request,
    ) -> None:
        self.name = name
        self.target = target
        self._engine = engine
        self._did = did
        self._seconds = seconds
        self._parameters = parameters
        self._endpoints = endpoints
        self._request = request
        self._fault: str | None = None
        self._over_at = 0.0

    @property
    def call(self) -> Call:
        """An endpoint after the other."""
        if not self._endpoints:
            return self._engine.lister()
        return self._engine.invoker(self._endpoints, self._request)

    def begin(self) -> list[str]:
        """Begins the fault."""
        begun = self._engine.ask(
            "drills/begin", kind=self.name, seconds=self._seconds, **self._parameters
        )
        self._fault = begun["fault"]
        self._over_at = time.monotonic() + self._seconds
        return [f"{self._did} for {self._seconds:g} s"]

    def is_over(self) -> bool:
        """Whether its time is over and the endpoints have all their instances."""
        if time.monotonic() < self._over_at:
            return False
        return self._engine.is_whole(self._endpoints, self._request.component)

    def instances(self) -> Instances:
        """Of the endpoints."""
        return self._engine.instances(self._endpoints)

    def end(self) -> None:
        """Ends the fault; where the engine does not answer, it keeps the end itself."""
        if self._fault is not None:
            with contextlib.suppress(UnavailableError):
                self._engine.ask("drills/end", fault=self._fault)

    def facts(self) -> dict[str, Any]:
        """The fault's own parameters."""
        return {"fault": {"kind": self.name, "seconds": self._seconds, **self._parameters}}
