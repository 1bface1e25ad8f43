"""What /proc knows: a process's identity, what is below it, and how to end all of that."""

# The supervisor does without pathlib, whose import costs 5 ms.
# ruff: noqa: PTH123, PTH208
import os

from intermodal_engine.drivers.supervision.cores import signal


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None for none and for a zombie."""
    stat = _stat(pid)
    return None if stat is None or stat[0] == b"Z" else int(stat[19])


def boot_id() -> str:
    """The machine's boot; empty where it does not say, which Linux always does.

    With pid and start ticks it identifies a process for ever.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def descendants(root: int) -> list[int]:
    """Pids of everything below `root`."""
    children: dict[int, list[int]] = {}
    for pid in all_pids():
        stat = _stat(pid)
        if stat is not None:
            children.setdefault(int(stat[1]), []).append(pid)
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def all_pids() -> list[int]:
    """Every process that /proc shows."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def kill_descendants() -> None:
    """Kills everything below this process until nothing is left.

    This process must be a child subreaper (or PID 1), so that orphans come to it: each one that is
    reaped leads to another look, and none that was forked meanwhile escapes.
    """
    while True:
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def oom_kills() -> int:
    """How many processes the kernel's OOM killer has ended since boot, on the whole machine."""
    try:
        with open("/proc/vmstat", "rb") as file:
            return int(file.read().partition(b"\noom_kill ")[2].split()[0])
    except (OSError, IndexError):
        return 0


def _stat(pid: int) -> list[bytes] | None:
    """The fields of /proc/PID/stat that follow the name: state, parent, ..., start ticks (19)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None
