"""The first process: starts the workers, replaces those that die, and brings all to an end.

It serves nothing and loads nothing, so it is small, has one thread, and can fork at any time.
"""

import contextlib
import dataclasses
import logging
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from intermodal_contract import env
from intermodal_serving.board import Board, WorkerState
from intermodal_serving.capacity import gpus_of, worker_count
from intermodal_serving.errors import ModelLoadError
from intermodal_serving.listener import drop_new_connections
from intermodal_serving.process import Place
from intermodal_serving.settings import Settings

logger = logging.getLogger("serve")

ACCEPT_AFTER_TERM_S = 0.1
"""Connections that reach the socket within this time after SIGTERM are still taken."""

END_TIMEOUT_S = 28.0
"""Workers that have not ended so long after SIGTERM are killed; the platform kills after 30 s."""

STUCK_GRACE_S = 10.0
"""A worker whose model hangs for so long over the time-out is killed and replaced."""

EARLY_DEATHS = 3
"""So many workers in a row may die while they load the first model."""

BACK_OFF_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses before a replacement, by how many in a row did not become ready."""


@dataclass(slots=True, eq=False)
class _Child:
    """A worker as its parent knows it."""

    pid: int
    row: int
    control: socket.socket
    generation: int
    index: int
    is_retiring: bool = False
    was_ready: bool = False
    failure: bytes = b""


class Supervisor:
    """The workers of one container.

    Args:
        settings: how to serve.
        listener: where to serve, from `listener.listen`.
    """

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._wanted = worker_count(settings)
        # While a generation replaces another, those that end may still have clients to answer.
        self._board = Board(2 * self._wanted + 2, self._wanted)
        self._children: dict[int, _Child] = {}
        self._generation = 0
        self._is_reloading = False
        self._was_ready = False
        self._failures_in_a_row = 0
        self._due: dict[int, float] = {}  # index of a worker that is missing -> when to start it
        self._stops_at: float | None = None
        self._is_closed = False
        self._failure: str | None = None
        self._selector = selectors.DefaultSelector()
        base = settings.base_dir if os.access(settings.base_dir, os.W_OK) else None
        self._folder = Path(tempfile.mkdtemp(prefix="serve-", dir=base))
        self._models = self._folder / "models"
        self._models.mkdir()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Raises:
            ModelLoadError: the model cannot be served.
        """
        wakeup = self._watch_signals()
        host, port = self._listener.getsockname()[:2]
        what = "starting" if self._settings.multi_model else "loading the model in"
        logger.info("listening on %s:%d, %s %d workers", host, port, what, self._wanted)
        self._due = dict.fromkeys(range(self._wanted), 0.0)
        try:
            while self._children or (self._stops_at is None and self._failure is None):
                self._start_what_is_due()
                for key, _ in self._selector.select(self._patience()):
                    if key.fileobj is wakeup:
                        self._heed(wakeup.recv(256))
                    else:
                        self._hear(key.data)
                self._reap()
                self._watch()
        finally:
            self._kill_all()
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._failure is not None:
            raise ModelLoadError(self._failure)
        logger.info("drained")

    # Starting.

    def _start_what_is_due(self) -> None:
        if self._stops_at is not None or self._failure is not None:
            return
        now = time.monotonic()
        for index, due in list(self._due.items()):
            if due <= now and (rows := self._free_rows()):
                del self._due[index]
                self._start(index, rows[0])

    def _free_rows(self) -> list[int]:
        taken = {child.row for child in self._children.values()}
        return [number for number in range(self._board.rows) if number not in taken]

    def _start(self, index: int, row: int) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._become_worker(row, index, theirs)
        theirs.close()
        ours.setblocking(False)
        child = _Child(pid, row, ours, self._generation, index)
        self._children[pid] = child
        self._selector.register(ours, selectors.EVENT_READ, child)

    def _become_worker(self, row: int, index: int, control: socket.socket) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            self._selector.close()
            for child in self._children.values():
                child.control.close()
            control.setblocking(False)
            settings = self._settings_of(index)
            layer = self._folder / f"layer-{self._generation}"
            # Only a worker needs what serves: the supervisor stays small.
            from intermodal_serving.worker import run_worker

            place = Place(row, control, layer, self._models)
            code = run_worker(settings, self._listener, self._board, place)
        except BaseException:
            logger.exception("the worker failed")
        finally:
            logging.shutdown()
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(code)

    def _settings_of(self, index: int) -> Settings:
        """The settings of one worker, which sees its own GPU only."""
        gpus = gpus_of(os.environ)
        gpu_id = None
        if gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
            gpu_id = 0
        threads = max(1, self._settings.cpus // self._wanted)
        sessions = self._settings.sessions_dir or self._folder / "sessions"
        return dataclasses.replace(
            self._settings, gpu_id=gpu_id, threads=threads, sessions_dir=sessions
        )

    # What workers say.

    def _hear(self, child: _Child) -> None:
        try:
            words = child.control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            words = b""
        if not words:
            self._selector.unregister(child.control)
            return
        if child.failure or words.startswith(b"f"):
            child.failure += words
            return
        if b"m" in words:
            for other in self._children.values():
                self._tell(other, b"m")
        if self._board.row(child.row).state is WorkerState.READY:
            self._is_ready(child)

    def _is_ready(self, child: _Child) -> None:
        child.was_ready = True
        self._failures_in_a_row = 0
        if not self._was_ready and self._board.is_ready:
            self._was_ready = True
            what = "ready for models" if self._settings.multi_model else "the model is ready"
            logger.info("%s in %d workers", what, self._wanted)
        for other in self._children.values():
            if (
                other.index == child.index
                and other.generation < child.generation
                and not other.is_retiring
            ):
                other.is_retiring = True
                self._tell(other, b"r")
        if self._is_reloading:
            self._replace_next()

    def _replace_next(self) -> None:
        """Start the next worker of a new generation beside the old one that it replaces."""
        serving = [child for child in self._children.values() if not child.is_retiring]
        newest = {child.index for child in serving if child.generation == self._generation}
        old = [child for child in serving if child.generation < self._generation]
        for child in old:
            if child.index not in newest and child.index not in self._due:
                self._due[child.index] = 0.0
                return
        if not old:
            self._is_reloading = False
            logger.info("the model was loaded anew in %d workers", self._wanted)

    # Ends.

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if (child := self._children.pop(pid, None)) is not None:
                self._bury(child, status)

    def _bury(self, child: _Child, status: int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(child.control)
        with contextlib.suppress(OSError):
            while more := child.control.recv(65536):
                child.failure += more if child.failure or more.startswith(b"f") else b""
        child.control.close()
        self._board.row(child.row).clear()
        if self._stops_at is not None or child.is_retiring or self._failure is not None:
            return
        if child.failure:
            self._has_failed(child, child.failure[1:].decode("utf-8", "replace"))
        else:
            self._has_died(child, _words_of(status))

    def _has_failed(self, child: _Child, text: str) -> None:
        """Its model cannot be served."""
        if not self._was_ready:
            self._fail(text)
            return
        sys.stderr.write(text)
        self._try_again(child)

    def _has_died(self, child: _Child, how: str) -> None:
        doing = "served" if child.was_ready else "loaded the model"
        logger.error("worker %d %s while it %s", child.pid, how, doing)
        deaths = self._failures_in_a_row + 1
        if not (child.was_ready or self._was_ready) and deaths >= EARLY_DEATHS:
            self._fail(
                f"serve: error: {deaths} workers in a row ended while they loaded the model; the "
                f"last one {how}\n"
                f"hint: if memory is short, lower `{env.MODEL_SERVER_WORKERS}`\n"
            )
            return
        self._try_again(child)

    def _try_again(self, child: _Child) -> None:
        siblings = [
            other.generation
            for other in self._children.values()
            if other.index == child.index and not other.is_retiring
        ]
        if any(generation > child.generation for generation in siblings):
            return  # what shall replace it is loading already
        if siblings:
            # The older one still serves: it stays, and a new SIGHUP may try again.
            self._is_reloading = False
            logger.error("the model was not loaded anew; the one before still serves")
            return
        if not child.was_ready:
            self._failures_in_a_row += 1
        pause_s = BACK_OFF_S[min(self._failures_in_a_row, len(BACK_OFF_S) - 1)]
        self._due[child.index] = time.monotonic() + pause_s

    def _fail(self, text: str) -> None:
        self._failure = text
        for child in self._children.values():
            os.kill(child.pid, signal.SIGKILL)

    def _watch(self) -> None:
        """End what hangs, and all at the end."""
        now = time.monotonic()
        if self._stops_at is not None:
            if not self._is_closed and now >= self._stops_at + ACCEPT_AFTER_TERM_S:
                self._close()
            if now >= self._stops_at + END_TIMEOUT_S:
                self._kill_all()
            return
        limit_s = self._settings.timeout_s + STUCK_GRACE_S
        for child in self._children.values():
            row = self._board.row(child.row)
            if row.state is WorkerState.READY and row.busy_s > limit_s:
                logger.error("the model of worker %d hangs: it is killed and replaced", child.pid)
                os.kill(child.pid, signal.SIGKILL)

    def _patience(self) -> float:
        now = time.monotonic()
        if self._stops_at is not None:
            ends = ACCEPT_AFTER_TERM_S if not self._is_closed else END_TIMEOUT_S
            return max(0.0, self._stops_at + ends - now)
        dues = self._due.values() if self._free_rows() else ()
        return max(0.0, min([1.0, *(due - now for due in dues)]))

    def _stop(self) -> None:
        if self._stops_at is None:
            self._stops_at = time.monotonic()
            self._due.clear()
            for child in self._children.values():
                self._tell(child, b"t")
            logger.info("draining")

    def _close(self) -> None:
        self._is_closed = True
        drop_new_connections(self._listener)
        for child in self._children.values():
            self._tell(child, b"c")

    def _kill_all(self) -> None:
        for child in self._children.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        for child in self._children.values():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, 0)
        self._children.clear()

    # Signals.

    def _watch_signals(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        self._selector.register(ours, selectors.EVENT_READ)
        self._wakeup = theirs  # kept open
        return ours

    def _heed(self, signals: bytes) -> None:
        if signal.SIGTERM in signals or signal.SIGINT in signals:
            self._stop()
        elif signal.SIGHUP in signals and self._stops_at is None:
            logger.info("loading the model anew")
            self._generation += 1
            self._is_reloading = True
            self._replace_next()

    def _tell(self, child: _Child, word: bytes) -> None:
        with contextlib.suppress(OSError):  # it is gone, and will be buried
            child.control.send(word)


def _words_of(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    why = ", as the system does when memory is short" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{why}"
