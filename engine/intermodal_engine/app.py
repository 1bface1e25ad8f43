"""The composition root: settings, then what `assembly` ties together, the driver and HTTP.

`run` reads from top to bottom what one engine consists of.
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import uvloop

from intermodal_contract.errors import IntermodalError
from intermodal_engine import identity
from intermodal_engine.assembly import assemble
from intermodal_engine.clock import SystemClock
from intermodal_engine.drivers.base import Driver
from intermodal_engine.drivers.choose import make_driver
from intermodal_engine.drivers.environment import Environments
from intermodal_engine.drivers.unavailable import DriverUnavailableError
from intermodal_engine.gateway.gateway import Gateway
from intermodal_engine.gateway.origin import Origins
from intermodal_engine.gateway.server import PortBusyError, Server, allow_connections, listen
from intermodal_engine.home import (
    EngineState,
    HomeLock,
    HomeLostError,
    announced,
    home_served_at,
    last_port,
    locked,
    prepare,
)
from intermodal_engine.identity import ENGINE_ROLE, KeyRing
from intermodal_engine.lifecycle.instances import EngineAccess
from intermodal_engine.services import exposition
from intermodal_engine.services.table import find_operation
from intermodal_engine.settings import DEFAULT_PORT, Settings
from intermodal_engine.store.database import DatabaseTooNewError

LIFECYCLE_THREADS = 8
"""Jobs and endpoints that are worked on at once; one that only runs needs no thread."""

HOME_LOOK_S = 1.0
"""How often an engine makes sure that its home is still there."""

_PREDECESSOR_PATIENCE_S = 15.0
"""How long an engine whose home was removed may take to notice it and to let go of its port."""

_DISTRIBUTION = "intermodal-engine"
_log = logging.getLogger(__name__)


def run(
    settings: Settings,
    on_ready: Callable[[EngineState], None],
    inherited: socket.socket | None = None,
) -> socket.socket | None:
    """Runs an engine until a signal ends it; its jobs keep running after it.

    Args:
        settings: what a person chose.
        on_ready: called once requests are answered.
        inherited: the socket of the engine that this one succeeds; clients wait in its queue.

    Returns:
        The listening socket for a successor, after SIGHUP; None after SIGTERM and SIGINT.

    Raises:
        HomeLostError: its home was removed or moved away meanwhile, which ends it.
        IntermodalError: it cannot start; the message says why and what to do.
    """
    prepare(settings)
    allow_connections()
    # What instances are to read, users of their own images must be able to; the home is closed.
    os.umask(0o022)
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(locked(settings.home))
        listener = stack.enter_context(inherited or _listen(settings))
        heirloom = stack.enter_context(listener.dup())
        _set_up_logging()
        state = _state(settings, listener.getsockname()[1])
        keys = identity.load(settings)
        clock = SystemClock()
        origins = Origins()
        environments = Environments(settings.environments_folder)
        try:
            driver = make_driver(
                settings.driver,
                settings.driver_folder,
                now=clock.now,
                engine_port=state.port,
                environments=environments,
            )
            access = engine_access(settings, keys, driver, state.port, origins)
            parts = assemble(settings, clock=clock, driver=driver, access=access)
        except (DriverUnavailableError, DatabaseTooNewError) as error:
            message, _, hint = str(error).partition("\nhint: ")
            raise IntermodalError(message, hint=hint or None) from error
        stack.callback(parts.close)
        listeners = [listener, *_listen_for_instances(stack, driver, state.port)]
        if settings.listen is not None:
            listeners.append(stack.enter_context(listen(state.port, settings.listen)))
            origins.allow(settings.listen)
            _log.warning("other machines reach this engine at %s:%d", settings.listen, state.port)
        stack.callback(environments.close)  # first: a worker may be waiting for one
        health = {"version": state.version, "home": state.home}
        gateway = Gateway(
            *(keys, find_operation, parts.backends, origins, health),
            lambda under_way: exposition.text(
                parts.backends, parts.endpoint_metrics.totals(), state.version, under_way
            ),
        )
        stack.callback(gateway.close)
        parts.recover()

        def ready() -> None:
            """On the event loop, once the socket is served."""
            parts.backends.router.bind(asyncio.get_running_loop())
            parts.backends.async_inference.bind(asyncio.get_running_loop())
            parts.queue.start(LIFECYCLE_THREADS)
            stack.enter_context(announced(settings, state))
            on_ready(state)
            _log.info("answering on %s, home %s", state.endpoint_url, state.home)

        async def serve() -> bool:
            server = Server(gateway, ready, heirloom.close)
            guard = asyncio.create_task(_until_lost(lock, server))
            await server.serve(sockets=listeners)
            guard.cancel()
            parts.backends.async_inference.close()
            parts.backends.router.close()
            return server.has_successor

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            has_successor = runner.run(serve())
        lock.check()
        _log.info("makes way for its successor" if has_successor else "stopped")
        return heirloom.dup() if has_successor else None


def engine_access(
    settings: Settings, keys: KeyRing, driver: Driver, port: int, origins: Origins
) -> EngineAccess:
    """How a job's own code reaches the engine: its address, and credentials of the job's own."""
    # Jobs that outlived the last engine may call before anything looks at them.
    origins.allow(driver.gateway_host(""))

    def access(subject: str, role_arn: str, network: str) -> dict[str, str]:
        host = driver.gateway_host(network)
        origins.allow(host)
        credentials = keys.issue(subject, role_arn.rpartition("/")[2] or ENGINE_ROLE)
        return {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
            "AWS_SESSION_TOKEN": credentials.session_token or "",
            "AWS_REGION": settings.region,
            "AWS_DEFAULT_REGION": settings.region,
        }

    return access


async def _until_lost(lock: HomeLock, server: Server) -> None:
    """Ends the server once its home is another's, or nobody's: what it did would be lost."""
    while True:
        try:
            lock.check()
        except HomeLostError as error:
            _log.error("%s; ending", error.message)
            server.stop()
            return
        await asyncio.sleep(HOME_LOOK_S)


def _listen(settings: Settings) -> socket.socket:
    """Opens the port that was named.

    Without a name: the last engine's, which running jobs know; else the usual one; else any.

    Raises:
        PortBusyError: another program listens on the port that was named.
    """
    if settings.port:
        return _listen_on(settings, settings.port)
    usual = DEFAULT_PORT if settings.port is None else None
    for port in (last_port(settings), usual):
        if port is not None:
            with contextlib.suppress(PortBusyError):
                return _listen_on(settings, port)
    return listen(0)


def _listen_on(settings: Settings, port: int) -> socket.socket:
    give_up_at = time.monotonic() + _PREDECESSOR_PATIENCE_S
    while True:
        try:
            return listen(port)
        except PortBusyError:
            # The lock is ours: one that still serves this home has lost it, and is about to end.
            if home_served_at(port) != str(settings.home) or time.monotonic() > give_up_at:
                raise
        time.sleep(0.1)


def _listen_for_instances(
    stack: contextlib.ExitStack, driver: Driver, port: int
) -> list[socket.socket]:
    """Opens the engine's port where its driver's instances reach it.

    Raises:
        PortBusyError: another program listens there.
    """
    return [
        stack.enter_context(listen(port, address, may_be_absent=True))
        for address in driver.engine_addresses
    ]


def _state(settings: Settings, port: int) -> EngineState:
    return EngineState(
        pid=os.getpid(),
        port=port,
        endpoint_url=f"http://127.0.0.1:{port}",
        home=str(settings.home),
        version=version(_DISTRIBUTION),
        region=settings.region,
        started_at=time.time(),
    )


def _set_up_logging() -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
