"""What the engine's process holds, as the kernel tells it, and how much of it stays."""

import asyncio
import statistics
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.engine import RunningEngine

EVERY_S = 1.0
_REST_S = 30.0
_FIFTHS = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """The engine's process at one moment.

    Attributes:
        resident_mib: its memory.
        own_mib: what of that is its alone, in no file and no other process.
        descriptors: open files and sockets.
        threads: its threads.
        requests: requests under way, as its own metrics tell; the one that asks is not among them.
    """

    resident_mib: float
    own_mib: float
    descriptors: int
    threads: int
    requests: int


def sample(engine: RunningEngine, *, asks: bool = False) -> Sample:
    """Looks at it; `asks` for what only itself can tell, too."""
    process = Path(f"/proc/{engine.pid}")
    rollup = _fields(process / "smaps_rollup")
    return Sample(
        rollup["Rss"] / 1024,
        (rollup["Private_Clean"] + rollup["Private_Dirty"]) / 1024,
        len([*(process / "fd").iterdir()]),
        _fields(process / "status")["Threads"],
        _requests(engine) if asks else 0,
    )


def sample_at_rest(engine: RunningEngine) -> Sample:
    """Looks once nothing is under way, opens or closes any more, or after half a minute."""
    ends_at = time.monotonic() + _REST_S
    last = sample(engine, asks=True)
    while time.monotonic() < ends_at:
        time.sleep(EVERY_S)
        seen = sample(engine, asks=True)
        if seen.descriptors == last.descriptors and seen.requests == last.requests == 0:
            return seen
        last = seen
    return last


async def watch(engine: RunningEngine, found: list[Sample]) -> None:
    """Adds a sample each second."""
    while True:
        found.append(await asyncio.to_thread(sample, engine))
        await asyncio.sleep(EVERY_S)


def fifths(values: Sequence[float]) -> list[float]:
    """The median of each fifth of a row."""
    size = len(values) / _FIFTHS
    parts = [values[round(n * size) : round((n + 1) * size)] for n in range(_FIFTHS)]
    return [statistics.median(part) if part else 0.0 for part in parts]


def _requests(engine: RunningEngine) -> int:
    with urllib.request.urlopen(f"{engine.endpoint_url}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("intermodal_requests_in_progress "):
                return int(line.split()[1]) - 1
    raise LookupError("the engine does not tell how many requests are under way")


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a file of `name: number` lines."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name] = int(words[0])
    return found
