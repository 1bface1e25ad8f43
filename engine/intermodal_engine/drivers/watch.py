"""Learns of the end of processes, own and adopted, from one thread and without polling."""

import logging
import os
import selectors
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)

Callback = Callable[[], None]


class ExitWatch:
    """Calls back, from its thread, once a process that a pidfd stands for has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[tuple[int | None, Callback]] = []
        self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def add(self, pidfd: int | None, callback: Callback) -> None:
        """Takes over the pidfd and calls back at the process's end; at once without one."""
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the exit watch is closed")
            self._pending.append((pidfd, callback))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="exit-watch", daemon=True)
                self._thread.start()
            os.eventfd_write(self._wakeup, 1)  # with the lock: the thread closes it at its end

    def close(self) -> None:
        """Ends the thread; nobody is called back any more."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            thread = self._thread
            if thread is None:
                os.close(self._wakeup)
                return
            os.eventfd_write(self._wakeup, 1)
        if thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wakeup, selectors.EVENT_READ)
            while self._take_pending(selector):
                for key, _ in selector.select():
                    if key.fd == self._wakeup:
                        os.eventfd_read(self._wakeup)
                        continue
                    selector.unregister(key.fd)
                    _reap(key.fd)
                    _call(key.data)
            for fd in [key.fd for key in selector.get_map().values()]:
                os.close(fd)

    def _take_pending(self, selector: selectors.BaseSelector) -> bool:
        with self._lock:
            pending, self._pending = self._pending, []
            is_open = not self._is_closed
        for pidfd, callback in pending:
            if pidfd is not None:
                selector.register(pidfd, selectors.EVENT_READ, callback)
            elif is_open:
                _call(callback)
        return is_open


def _reap(pidfd: int) -> None:
    """Leaves no zombie; an adopted process is another's child."""
    try:
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    except ChildProcessError:
        pass
    finally:
        os.close(pidfd)


def _call(callback: Callback) -> None:
    try:
        callback()
    except Exception:  # noqa: BLE001 (one instance's callback must not end the watch over the others)
        _log.exception("the exit of an instance could not be handled")
