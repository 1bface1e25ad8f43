"""`drill engine`: the engine is killed and started again as its user started it.

A process of its own does both (`reviver`): a drill that dies half way leaves no dead engine.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intermodal_contract.errors import IntermodalError
from intermodal_engine.cli.drills.cost import Instances
from intermodal_engine.cli.drills.load import Call
from intermodal_engine.cli.drills.stage import Engine, Request
from intermodal_engine.cli.engine import running
from intermodal_engine.cli.instances import running_instances
from intermodal_engine.home import read_state


class EngineDrill:
    """Kills the engine with SIGKILL.

    Args:
        engine: which one.
        endpoints: whom clients call; none: the control plane.
        request: what they send.
    """

    name = "engine"

    def __init__(self, engine: Engine, endpoints: Sequence[str], request: Request) -> None:
        self.target = str(engine.settings.home)
        self._engine = engine
        self._endpoints = endpoints
        self._request = request
        self._state = running(engine.settings)
        if not Path(f"/proc/{self._state.pid}/cmdline").exists():
            raise IntermodalError(
                "how the engine was started cannot be seen: nothing was done",
                hint="this drill needs Linux's /proc, and an engine of your own",
            )
        self._ran = {one.pid for one in running_instances(engine.settings)}

    @property
    def call(self) -> Call:
        """The endpoint, or the control plane."""
        if not self._endpoints:
            return self._engine.lister()
        return self._engine.invoker(self._endpoints, self._request)

    def begin(self) -> list[str]:
        """Has it killed and started."""
        subprocess.Popen(
            [
                *(sys.executable, "-m", "intermodal_engine.cli.drills.reviver"),
                *(str(self._engine.settings.home), str(self._state.pid)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return [f"killed the engine (process {self._state.pid}) with SIGKILL, and started it again"]

    def is_over(self) -> bool:
        """Whether another engine answers and endpoints are whole."""
        state = read_state(self._engine.settings)
        if state is None or state.started_at <= self._state.started_at:
            return False
        return self._engine.is_whole(self._endpoints, self._request.component)

    def instances(self) -> Instances:
        """Of the endpoint."""
        return self._engine.instances(self._endpoints)

    def end(self) -> None:
        """What has killed the engine starts it, whoever has gone meanwhile."""

    def facts(self) -> dict[str, Any]:
        """Which instances lived on."""
        after = {one.pid for one in running_instances(self._engine.settings)}
        adopted, ran = len(self._ran & after), len(self._ran)
        return {
            "instances": {"before": ran, "adopted": adopted},
            "did": [f"{adopted} of {ran} instances lived on and were taken over"],
        }
