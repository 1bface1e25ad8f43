"""Who pings which instance, and who is told of what that shows. On the event loop."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from intermodal_engine.router.health import Rhythm, watch
from intermodal_engine.router.instance import Health, Watched

OnHealth = Callable[[str, str, Health], None]
"""`(target, backend id, health)`; called from a thread of its own, in the order of changes."""

_log = logging.getLogger(__name__)


class Watches:
    """The pings of all instances.

    Args:
        rhythm: how often instances are pinged.
        is_known: whether the router has an instance still.
        on_change: told of a change before anybody else, on the event loop.
        on_health: told of it afterwards, from a thread.
    """

    def __init__(
        self,
        rhythm: Rhythm,
        is_known: Callable[[Watched], bool],
        on_change: Callable[[Watched, Health], None],
        on_health: OnHealth,
    ) -> None:
        self._rhythm = rhythm
        self._is_known = is_known
        self._on_change = on_change
        self._on_health = on_health
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._reports = ThreadPoolExecutor(1, thread_name_prefix="router-health")

    def start(self, watched: Watched) -> None:
        """Begins to ping an instance, if the router has it still."""
        backend_id = watched.backend.backend_id
        self._cancel(backend_id)
        if self._is_known(watched):
            self._tasks[backend_id] = asyncio.ensure_future(
                watch(watched, self._rhythm, self._report)
            )

    def stop(self, watched: Watched) -> None:
        """Ends the pings of an instance, and all connections to it."""
        self._cancel(watched.backend.backend_id)
        watched.close()

    def close(self) -> None:
        """Ends all pings; nobody is told anything any more."""
        for task in self._tasks.values():
            task.cancel()
        self._reports.shutdown(wait=False)

    def _cancel(self, backend_id: str) -> None:
        task = self._tasks.pop(backend_id, None)
        if task is not None:
            task.cancel()

    def _report(self, watched: Watched, health: Health) -> None:
        self._on_change(watched, health)
        backend = watched.backend
        self._reports.submit(self._tell, backend.target, backend.backend_id, health)

    def _tell(self, target: str, backend_id: str, health: Health) -> None:
        try:
            self._on_health(target, backend_id, health)
        except Exception:  # noqa: BLE001 - a listener must not end the reports to it
            _log.exception("endpoint `%s`: the news that `%s` is %s", target, backend_id, health)
