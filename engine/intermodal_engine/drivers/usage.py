"""What running instances use of this machine, as the kernel tells of their process trees.

Containers that run here are process trees, too; of those in a virtual machine nothing is known.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from intermodal_engine.drivers.records import InstanceFolder

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat behind the name: parent, and the times of it and of its dead children.
_PARENT, _TIMES, _RESIDENT = 1, slice(11, 15), 21


@dataclass(frozen=True, slots=True)
class Usage:
    """What an instance uses.

    Attributes:
        cpu_s: seconds of cores' time since its start.
        memory_bytes: resident memory; what processes share counts once, where the kernel tells.
    """

    cpu_s: float
    memory_bytes: int


def usages(folders: Mapping[str, Path]) -> dict[str, Usage]:
    """What each of some instances uses; one that does not run is left out.

    Args:
        folders: the instances' own folders, by any names.
    """
    roots = {name: InstanceFolder(folder).living_supervisor() for name, folder in folders.items()}
    running = {name: pid for name, pid in roots.items() if pid is not None}
    if not running:
        return {}
    stats = _stats()
    children: dict[int, list[int]] = {}
    for pid, fields in stats.items():
        children.setdefault(int(fields[_PARENT]), []).append(pid)
    return {name: _of_tree(pid, stats, children) for name, pid in running.items() if pid in stats}


def _of_tree(
    root: int, stats: Mapping[int, list[bytes]], children: Mapping[int, list[int]]
) -> Usage:
    tree, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        tree.append(pid)
        waiting += children.get(pid, [])
    ticks = sum(int(field) for pid in tree for field in stats[pid][_TIMES])
    memory = sum(_memory(pid, stats[pid]) for pid in tree)
    return Usage(ticks / _TICKS_PER_S, memory)


def _memory(pid: int, fields: list[bytes]) -> int:
    """A process's share of its memory; all of it where the kernel does not say what is shared."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return int(fields[_RESIDENT]) * _PAGE_BYTES


def _stats() -> dict[int, list[bytes]]:
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                content = Path(entry.path, "stat").read_bytes()
            except OSError:
                continue
            found[int(entry.name)] = content.rpartition(b")")[2].split()
    return found
