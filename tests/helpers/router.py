"""A router on an event loop of its own, and small real servers behind it."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Any

import uvloop

from intermodal_engine.router.model import ModelFiles, ModelSource
from intermodal_engine.router.router import (
    Backend,
    Health,
    Invocation,
    InvocationResult,
    Limits,
    Rhythm,
    Route,
    Router,
)
from tests.helpers.http_instance import PATIENCE_S, HttpInstance

RHYTHM = Rhythm(starting_s=0.02, steady_s=0.3, timeout_s=0.3)


class Stage:
    """A router on an event loop of its own, and the servers behind it."""

    def __init__(
        self,
        timeout_s: float = PATIENCE_S,
        rhythm: Rhythm = RHYTHM,
        limits: Limits | None = None,
        model_files: ModelFiles | None = None,
    ) -> None:
        self.listener_fails = False
        self.news: list[tuple[str, str, Health]] = []
        self._changed = threading.Condition()
        self.router = Router(self._on_health, timeout_s, rhythm, limits, model_files=model_files)
        self.instances: list[HttpInstance] = []
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._loop.call_soon_threadsafe(self.router.bind, self._loop)

    def _on_health(self, endpoint: str, backend_id: str, health: Health) -> None:
        with self._changed:
            self.news.append((endpoint, backend_id, health))
            self._changed.notify_all()
        if self.listener_fails:
            raise RuntimeError("listener")

    def add(
        self,
        backend_id: str,
        port: int,
        *,
        endpoint: str = "digits",
        variant: str = "main",
        zone: str = "a",
        generation: int = 1,
        models: ModelSource | None = None,
        component: str = "",
    ) -> None:
        place = (endpoint, variant, generation, zone)
        self.router.add(Backend(backend_id, *place, "127.0.0.1", port, models, component))

    def up(self, backend_id: str, handler: Any = None, **placement: Any) -> HttpInstance:
        """A server that is healthy and gets traffic."""
        instance = HttpInstance(handler) if handler else HttpInstance()
        self.instances.append(instance)
        self.add(backend_id, instance.port, **placement)
        self.wait_for(backend_id, Health.HEALTHY)
        self.router.direct(placement.get("endpoint", "digits"), [Route(1, "main", 1.0)])
        return instance

    def wait_for(self, backend_id: str, health: Health) -> None:
        with self._changed:
            assert self._changed.wait_for(
                lambda: self.router.health(backend_id) is health, PATIENCE_S
            ), f"{backend_id} is {self.router.health(backend_id)}"

    def begin(self, work: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Any) -> Any:
        return self.begin(work).result(PATIENCE_S)

    def invoke(self, body: Any = b"x", endpoint: str = "digits", **more: Any) -> InvocationResult:
        async def call() -> InvocationResult:
            return await self.router.invoke(
                endpoint, Invocation("/invocations", more.pop("headers", {}), body, **more)
            )

        result: InvocationResult = self.run(call())
        return result

    def read(self, result: InvocationResult) -> bytes:
        async def whole() -> bytes:
            assert not isinstance(result.body, bytes)
            return b"".join([chunk async for chunk in result.body])

        return result.body if isinstance(result.body, bytes) else bytes(self.run(whole()))

    def close(self) -> None:
        for instance in self.instances:
            instance.close()

        async def cancel_all() -> None:
            self.router.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Waits for something that cannot call back."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


async def pieces(body: bytes, size_bytes: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size_bytes):
        yield body[start : start + size_bytes]
