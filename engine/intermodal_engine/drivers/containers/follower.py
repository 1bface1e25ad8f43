"""One container from its start to its end: its output, its time limit, how it ended."""

import logging
import math
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from intermodal_engine.drivers.containers.log import ContainerLog
from intermodal_engine.drivers.containers.machine import (
    ContainerState,
    DaemonError,
    NotThereError,
)
from intermodal_engine.drivers.containers.records import (
    ContainerFolder,
    StartRecord,
    unlock_layers,
)
from intermodal_engine.drivers.docker import Daemon, LogStream
from intermodal_engine.drivers.supervision.processes import boot_id

_SIGNALS = range(129, 193)
"""Exit codes that stand for signals."""
_CUT_OFF = (137, 143, 255)
"""Exit codes of containers that ended with their machine."""
NOT_EXECUTED = 127
"""Exit code of what was no program; podman's init has another one for it."""
_CANNOT_EXECUTE = "cannot execute "
_END_S = 2.0
"""How long a container may take to end after its output has."""
_AGAIN_S = 1.0
"""How long to wait for a daemon that is being restarted."""
_INIT_SAYS = re.compile(
    rb"\[FATAL tini \(\d+\)\] exec (?P<program>.+) failed: (?P<cause>.+)"
    rb"|(?:.*catatonit.*)(?P<other>failed to exec pid1: .+)"
)
"""What the init that is given to every container says where it cannot execute the program."""

_log = logging.getLogger(__name__)


class Follower:
    """Follows one container in a thread of its own.

    Args:
        daemon: runs it.
        folder: where its end is recorded.
        record: how it was started.
        container_id: the daemon's.
        on_end: called once its end is recorded, before `has_ended`.
        clean_up: called after that, to remove what is left of it.
    """

    def __init__(
        self,
        daemon: Daemon,
        folder: ContainerFolder,
        record: StartRecord,
        container_id: str,
        *,
        on_end: Callable[[], None],
        clean_up: Callable[[], None],
    ) -> None:
        self.has_ended = threading.Event()
        self._daemon = daemon
        self._folder = folder
        self._record = record
        self._id = container_id
        self._on_end = on_end
        self._clean_up = clean_up
        self._log = ContainerLog(Path(record["log"]), folder.cursor_file)
        self._exit = folder.reserve_exit()
        self._closing = threading.Event()
        self._stream: LogStream | None = None
        self._timer: threading.Timer | None = None
        self._is_stopping = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="container", daemon=True)

    def begin(self, started_at: float | None) -> None:
        """Begins to follow it, and to keep its time."""
        limit_s = self._record["max_runtime_s"]
        if limit_s is not None:
            left_s = (started_at or time.time()) + limit_s - time.time()
            self._timer = threading.Timer(max(0.0, left_s), self._end_in_time)
            self._timer.daemon = True
            self._timer.start()
        self._thread.start()

    def stop(self) -> None:
        """Has the daemon stop it; returns at once, harmless twice."""
        with self._lock:
            if self._is_stopping or self.has_ended.is_set():
                return
            self._is_stopping = True
        threading.Thread(target=self._stop, name="container-stop", daemon=True).start()

    def kill(self) -> None:
        """Has the daemon remove it as it runs; returns at once."""
        if not self.has_ended.is_set():
            threading.Thread(target=self._kill, name="container-kill", daemon=True).start()

    def close(self) -> None:
        """Follows it no more; returns at once."""
        self._closing.set()
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            stream = self._stream
        if stream is not None:
            stream.close()

    def join(self, timeout_s: float) -> None:
        """Waits for what is being removed.

        A daemon that has yet to begin its answer (podman waits for the first output) cannot be
        interrupted; who waits for that does nothing any more.
        """
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            if not self._follow():
                return
            self._clean_up()
        except Exception:  # noqa: BLE001 (its end is recorded, or will be by the next engine)
            _log.exception("the container of `%s` is not followed", self._record["instance_id"])
        finally:
            self._log.close()
            os.close(self._exit.fd)

    def _follow(self) -> bool:
        """Moves its output until it has ended and that is recorded; False where it is closed."""
        while not self._closing.is_set():
            try:
                self._read(follow=True)
                if self._closing.is_set():
                    return False
                if not self._daemon.wait(self._id, _END_S):
                    continue  # only its output broke off
                self._read(follow=False)
                state = self._daemon.state(self._id)
            except NotThereError:
                state = None
            except DaemonError as error:
                _log.warning("`%s`: %s", self._record["instance_id"], error)
                self._closing.wait(_AGAIN_S)
                continue
            self._settle(state)
            self._on_end()
            self.has_ended.set()
            return True
        return False

    def _read(self, *, follow: bool) -> None:
        self._log.begin()
        stream = self._daemon.logs(self._id, self._log.since, follow=follow)
        with self._lock:
            self._stream = stream
        if self._closing.is_set():  # before there was a stream: somebody else may follow by now
            stream.close()
            return
        try:
            for data in stream:
                self._log.take(data)
            self._log.pause()
        finally:
            stream.close()

    def _settle(self, state: ContainerState | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._log.end()
        unlock_layers(self._folder.layers)
        if state is None:
            self._folder.write_lost("its container was removed while it ran")
        elif state.exit_code in _CUT_OFF and self._record["boot_id"] != boot_id():
            self._folder.write_lost("the machine was restarted while it ran")
        else:
            reason = self._reason(state)
            code = NOT_EXECUTED if is_not_executed(reason) else state.exit_code
            self._exit.write(
                {
                    "exit_code": code,
                    "signal": code - 128 if code in _SIGNALS else None,
                    "out_of_memory": state.is_out_of_memory and code != 0,
                    "max_runtime_exceeded": self._folder.is_over_limit,
                    "started_at": state.started_at,
                    "ended_at": state.ended_at or time.time(),
                    "reason": reason,
                }
            )

    def _reason(self, state: ContainerState) -> str | None:
        if state.error:
            return state.error
        said = _INIT_SAYS.fullmatch(self._log.last_line)
        if state.exit_code != 0 and said is not None:
            program = said["program"].decode(errors="replace") if said["program"] else None
            cause = (said["cause"] or said["other"]).decode(errors="replace")
            return not_executed(program or self._record["program"], cause, self._record["image"])
        if self._log.lost_bytes:
            return f"{self._log.lost_bytes} bytes of its log are lost: {self._log.error}"
        return None

    def _end_in_time(self) -> None:
        try:
            self._folder.mark_limit()
        except OSError as error:
            _log.warning("`%s` runs too long, which cannot be recorded: %s", self._id, error)
        self.stop()

    def _stop(self) -> None:
        try:
            self._daemon.stop(self._id, math.ceil(self._record["stop_grace_s"]))
        except DaemonError as error:
            _log.warning("`%s` cannot be stopped: %s", self._record["instance_id"], error)
            with self._lock:
                self._is_stopping = False

    def _kill(self) -> None:
        try:
            self._daemon.remove(self._id, force=True)
        except DaemonError as error:
            _log.warning("`%s` cannot be removed: %s", self._record["instance_id"], error)


def not_executed(program: str, cause: str, image: str) -> str:
    """Why a program of an image could not be executed, and what would help."""
    ours = {"train": "intermodal-training", "serve": "intermodal-serving"}.get(program)
    if ours is None:
        advice = (
            "name, by its whole path, a program of the image or of a channel that may be executed"
        )
    else:
        advice = (
            f"the image needs a program `{program}` on its PATH: `RUN pip install {ours}` brings "
            "ours, an image that is built `FROM` one of intermodal's has it"
        )
    return f"{_CANNOT_EXECUTE}`{program}` in the image `{image}`: {cause}\nhint: {advice}"


def is_not_executed(reason: str | None) -> bool:
    """Whether that is the reason of an end."""
    return reason is not None and reason.startswith(_CANNOT_EXECUTE)
