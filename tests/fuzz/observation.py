"""What the processes of a server look like from outside: who lives, and what they hold."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Observation:
    """A server and its workers at one moment.

    Attributes:
        workers: process ids.
        memory_mib: resident memory of all of them together.
        descriptors: open files and sockets of the workers.
    """

    workers: tuple[int, ...]
    memory_mib: float
    descriptors: int


def observe(supervisor: int) -> Observation:
    """Look at a server by the process id of its first process."""
    workers = tuple(sorted(_children(supervisor)))
    pages = sum(_resident_pages(pid) for pid in (supervisor, *workers))
    descriptors = sum(len([*Path(f"/proc/{pid}/fd").iterdir()]) for pid in workers)
    return Observation(workers, pages * _PAGE_BYTES / 2**20, descriptors)


def observe_at_rest(supervisor: int, timeout_s: float = 10.0) -> Observation:
    """The same once the workers open and close nothing any more, or the time is over."""
    ends_at = time.monotonic() + timeout_s
    last = observe(supervisor)
    while time.monotonic() < ends_at:
        time.sleep(0.25)
        seen = observe(supervisor)
        if seen.descriptors == last.descriptors:
            return seen
        last = seen
    return last


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [
        int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()
    ]


def _resident_pages(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
