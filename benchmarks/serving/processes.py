"""What the kernel tells of the processes of a server: which they are, what they hold and own."""

import os
from collections import defaultdict
from pathlib import Path

_ENDED = "ZX"
_ESTABLISHED = "01"


def tree(root: int) -> list[int]:
    """The leader of a session, all in the session and all that descend from them, parents first.

    Orphans are found by the session, daemons by their parents. Those that have ended do not count.
    """
    children: dict[int, list[int]] = defaultdict(list)
    found = []
    for pid in sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        state, parent, session = _status(pid)
        if state not in _ENDED:
            children[parent].append(pid)
            if session == root:
                found.append(pid)
    for pid in found:
        found += [child for child in children[pid] if child not in found]
    return found


def resident_mb(pid: int) -> float:
    """Memory that a process has mapped and that is in RAM, shared libraries included."""
    return _sum_mb(pid, "Rss:")


def proportional_mb(pid: int) -> float:
    """The same with each shared page divided by the number of those who share it."""
    return _sum_mb(pid, "Pss:")


def owners(port: int, pids: list[int]) -> dict[int, int]:
    """Which process holds the server's end of each open connection, by the client's port."""
    client_of_socket = _established(port)
    found = {}
    for pid in pids:
        for socket in _sockets(pid) & client_of_socket.keys():
            found[client_of_socket[socket]] = pid
    return found


def _status(pid: int) -> tuple[str, int, int]:
    """State, parent and session (man 5 proc_pid_stat)."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "X", 0, 0
    return after_name[0], int(after_name[1]), int(after_name[3])


def _sum_mb(pid: int, name: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e6


def _established(port: int) -> dict[str, int]:
    """Client ports by the server's socket, from the kernel's table (man 5 proc_net)."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, remote, state, *_, inode = line.split()[:10]
            if state == _ESTABLISHED and int(local.rpartition(":")[2], 16) == port:
                found[inode] = int(remote.rpartition(":")[2], 16)
    return found


def _sockets(pid: int) -> set[str]:
    found = set()
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            target = os.readlink(entry.path)  # noqa: PTH115 - a path object each would be slow
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass  # the process has ended, or the file was closed meanwhile
    return found
