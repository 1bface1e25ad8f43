"""The composition root: settings, then stores, lifecycles, services and HTTP, tied together here.

`run` reads from top to bottom what one engine consists of.
"""

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, cast

import uvloop

from intermodal_engine import identity
from intermodal_engine.clock import SystemClock
from intermodal_engine.gateway.gateway import Gateway
from intermodal_engine.gateway.server import Server, listen
from intermodal_engine.home import EngineState, announced, locked, prepare
from intermodal_engine.router.router import Router
from intermodal_engine.services.call import Backends
from intermodal_engine.services.table import find_operation
from intermodal_engine.settings import Settings
from intermodal_engine.store.database import Database
from intermodal_engine.store.records import Records

_DISTRIBUTION = "intermodal-engine"
_log = logging.getLogger(__name__)


def run(settings: Settings, on_ready: Callable[[EngineState], None]) -> None:
    """Runs an engine until SIGTERM or SIGINT; its jobs keep running after it.

    Args:
        settings: what a person chose.
        on_ready: called once requests are answered.

    Raises:
        IntermodalError: it cannot start; the message says why and what to do.
    """
    prepare(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(settings.home))
        listener = stack.enter_context(listen(settings.port))
        _set_up_logging()
        state = _state(settings, listener.getsockname()[1])
        keys = identity.load(settings)
        backends = _backends(settings)
        gateway = Gateway(keys, find_operation, backends, {"version": state.version})
        stack.callback(gateway.close)

        def ready() -> None:
            """On the event loop, once the socket is served."""
            backends.router.bind(asyncio.get_running_loop())
            stack.enter_context(announced(settings, state))
            on_ready(state)
            _log.info("answering on %s, home %s", state.endpoint_url, state.home)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(Server(gateway, ready).serve(sockets=[listener]))
        _log.info("stopped")


def _backends(settings: Settings) -> Backends:
    clock = SystemClock()
    database = Database(settings.database_file)
    unfinished = cast("Any", None)
    return Backends(
        settings=settings,
        clock=clock,
        records=Records(database, clock),
        objects=unfinished,
        log_streams=unfinished,
        training_jobs=unfinished,
        endpoints=unfinished,
        router=Router(lambda _endpoint, _backend, _health: None),
    )


def _state(settings: Settings, port: int) -> EngineState:
    return EngineState(
        pid=os.getpid(),
        port=port,
        endpoint_url=f"http://127.0.0.1:{port}",
        home=str(settings.home),
        version=version(_DISTRIBUTION),
        started_at=time.time(),
    )


def _set_up_logging() -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
