"""`drill instance`: an instance of an endpoint is lost, and another one takes its place."""

from typing import Any

from intermodal_engine.cli.drills.cost import Instances
from intermodal_engine.cli.drills.load import Call
from intermodal_engine.cli.drills.stage import Engine, Request


class InstanceDrill:
    """Kills one instance with SIGKILL.

    Args:
        engine: which one.
        endpoint: whose.
        instance: which; None: any.
        request: what clients send.
    """

    name = "instance"

    def __init__(
        self, engine: Engine, endpoint: str, instance: str | None, request: Request
    ) -> None:
        self.target = endpoint
        self._engine = engine
        self._instance = instance
        self._request = request
        self._killed: dict[str, Any] = {}

    @property
    def call(self) -> Call:
        """The endpoint."""
        return self._engine.invoker([self.target], self._request)

    def begin(self) -> list[str]:
        """Kills it."""
        self._killed = self._engine.ask(
            "drills/instance",
            endpoint=self.target,
            component=self._request.component,
            instance=self._instance,
        )
        one = self._killed
        return [
            f"killed instance {one['instance']} of {one['variant']} in {one['zone']} with SIGKILL"
        ]

    def is_over(self) -> bool:
        """Whether another one serves in its place."""
        found = self._engine.endpoint(self.target, self._request.component)
        there = [one["instance"] for one in found["members"]]
        return found["is_whole"] and self._killed["instance"] not in there

    def instances(self) -> Instances:
        """Of the endpoint."""
        return self._engine.instances([self.target])

    def end(self) -> None:
        """The engine replaces what is gone by itself."""

    def facts(self) -> dict[str, Any]:
        """Which instance it was."""
        return {"killed": self._killed}
