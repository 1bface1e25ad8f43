"""One worker process: HTTP server, batcher and model at once.

It hears from the supervisor over a socket: `t` it ends soon, `c` no client will connect any more,
`r` others take over, `m` the registry of models changed. It says `f` and a text if its model cannot
be served, `s` when its state on the board changed, `m` when it changed the registry. If the
supervisor is gone, it ends.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys

import uvloop

from intermodal_serving import handlers, models, requirements
from intermodal_serving.app import App
from intermodal_serving.board import Board, WorkerState
from intermodal_serving.errors import ModelLoadError
from intermodal_serving.hosted_model import shared_code_folder
from intermodal_serving.multi_model import MultiModelApp
from intermodal_serving.pipeline import LoadedModel, load_model
from intermodal_serving.process import Place
from intermodal_serving.registry import Registry
from intermodal_serving.runner import Runner
from intermodal_serving.server import Server
from intermodal_serving.settings import Settings
from intermodal_serving.tracebacks import describe, user_traceback

logger = logging.getLogger("serve")

WATCH_S = 1.0
"""So often at least it is looked for invocations whose time is over."""


def run_worker(settings: Settings, listener: socket.socket, board: Board, place: Place) -> int:
    """Serve until the supervisor says otherwise. Returns the exit code."""
    # The supervisor ends it, no signal does. Unlike SIG_IGN, a handler is not inherited by programs
    # that the user's code starts.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    os.register_at_fork(after_in_child=lambda: _forget_parent(listener, place.control))
    return _Worker(settings, listener, board, place).run()


class _Worker:
    def __init__(
        self, settings: Settings, listener: socket.socket, board: Board, place: Place
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._board = board
        self._place = place
        self._row = board.row(place.row)
        self._row.pid = os.getpid()
        self._row.state = WorkerState.LOADING
        self._loop = uvloop.new_event_loop()
        self._runner = Runner(self._loop, self._row, settings.max_batch_delay_s, _end_now)
        self._app = self._new_app()
        self._server: Server | None = None
        self._ending: asyncio.Task[None] | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._code = 0

    def run(self) -> int:
        asyncio.set_event_loop(self._loop)
        main = self._loop.create_task(self._serve())
        main.add_done_callback(self._end_if_failed)
        self._runner.run()
        return self._code

    def _new_app(self) -> App:
        settings, runner, board, row = self._settings, self._runner, self._board, self._row
        if not settings.multi_model:
            return App(settings, runner, board, row)
        registry = Registry(self._place.models)
        return MultiModelApp(settings, runner, board, row, registry, lambda: self._say(b"m"))

    async def _serve(self) -> None:
        self._server = Server(self._listener, self._app.handle, self._settings.max_request_bytes)
        self._loop.add_reader(self._place.control, self._hear)
        self._watch()
        try:
            if self._settings.multi_model:
                await self._runner.call(self._prepare)
            else:
                self._app.model = await self._runner.call(self._load)
                self._row.count_load()
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
            self._fail(error)
            return
        # What is loaded stays: the collector need not walk over it again and again.
        gc.collect()
        gc.freeze()
        self._accept()
        self._set_state(WorkerState.READY)

    def _load(self) -> LoadedModel:
        self._prepare()
        return load_model(self._settings, self._runner.wait_for)

    def _prepare(self) -> None:
        """What comes before any model."""
        settings = self._settings
        models.set_thread_count(settings.threads)
        find = shared_code_folder if settings.multi_model else handlers.code_folder
        folder = find(settings)
        if folder is not None:
            requirements.install_requirements(folder, self._place.layer)

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, ModelLoadError):
            failure = ModelLoadError(describe(error))
            failure.__cause__ = error
            error = failure
        text = f"serve: error: {error}\n"
        if error.__cause__ is not None:
            text = user_traceback(error.__cause__) + "\n" + text
        self._place.control.setblocking(True)
        self._place.control.sendall(b"f" + text.encode("utf-8", "replace"))
        self._row.state = WorkerState.FAILED
        self._code = 1
        self._runner.end()

    def _end_if_failed(self, main: "asyncio.Task[None]") -> None:
        if not main.cancelled() and main.exception() is not None:
            logger.error("the worker failed", exc_info=main.exception())
            self._code = 1
            self._runner.end()

    def _hear(self) -> None:
        try:
            words = self._place.control.recv(64)
        except BlockingIOError:
            return
        if not words:  # nobody is left who would end or replace it
            self._loop.remove_reader(self._place.control)
            words = b"tc"
        for word in words.decode("ascii", "replace"):
            if word == "t":
                self._app.is_draining = True
                if self._server is not None:
                    self._server.is_draining = True
                self._row.state = WorkerState.DRAINING
            elif word == "m" and isinstance(self._app, MultiModelApp):
                self._app.look()
            elif word in "cr" and self._ending is None:
                self._ending = self._loop.create_task(self._end(is_last=word == "c"))

    async def _end(self, *, is_last: bool) -> None:
        self._row.state = WorkerState.DRAINING
        if self._server is not None:
            longest_s = max(self._settings.stream_timeout_s, self._settings.timeout_s)
            await (self._server.drain() if is_last else self._server.retire(longest_s))
        self._runner.end()

    def _accept(self) -> None:
        if self._server is not None and self._accepting is None and self._ending is None:
            self._accepting = self._loop.create_task(self._server.start())

    def _watch(self) -> None:
        self._app.watch()
        self._row.gpu_bytes = models.gpu_bytes()
        # While others can serve, clients are left to them until the model is loaded here; else
        # somebody must tell them that it loads.
        if not any(row.state is WorkerState.READY for row in self._board):
            self._accept()
        self._loop.call_later(min(WATCH_S, self._settings.timeout_s / 5), self._watch)

    def _set_state(self, state: WorkerState) -> None:
        self._row.state = state
        self._say(b"s")

    def _say(self, word: bytes) -> None:
        with contextlib.suppress(OSError):  # the supervisor is gone, and this worker ends soon
            self._place.control.send(word)


def _forget_parent(*sockets: socket.socket) -> None:
    """In a process that the user's code forks: it is no worker, and takes no connection."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    for each in sockets:
        each.close()


def _end_now() -> None:
    """End although the model's thread is still inside the user's code, which nothing can stop."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
