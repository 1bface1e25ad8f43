"""Ends processes that a dead supervisor left behind, known by a mark in their environment."""

import os
import select
import signal
from pathlib import Path

from intermodal_engine.drivers.supervision import processes


def end_marked_processes(variable: str, value: str) -> None:
    """Kills every process whose environment carries the mark, and waits until none is left.

    In a PID namespace the kernel has done this; then there is only a moment to wait for.
    """
    mark = f"{variable}={value}".encode()
    while found := _open_marked(mark):
        for pidfd in found:
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for pidfd in found:
            select.select([pidfd], [], [])
            os.close(pidfd)


def _open_marked(mark: bytes) -> list[int]:
    """Pidfds, opened before the look at the environment, so that each is the one that was seen."""
    found = []
    for pid in processes.all_pids():
        try:
            pidfd = os.pidfd_open(pid)
        except (ProcessLookupError, OSError):
            continue
        if pid != os.getpid() and mark in _environment(pid):
            found.append(pidfd)
        else:
            os.close(pidfd)
    return found


def _environment(pid: int) -> list[bytes]:
    """The variables that a process was started with; none of another user's or of a zombie."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
