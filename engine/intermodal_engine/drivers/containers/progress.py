"""How far a pull has come, in a line every few seconds."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

EVERY_S = 3.0
_MIB = 1 << 20


class PullFailedError(Exception):
    """The image cannot be had; the message is the daemon's."""


def report(
    image: str,
    events: Iterable[Mapping[str, Any]],
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Follows a pull to its end.

    Args:
        image: its name.
        events: what the daemon tells: many a second for each layer.
        say: is told a line now and then.
        clock: tells seconds.

    Raises:
        PullFailedError: it did not succeed.
    """
    layers: dict[str, str] = {}
    loaded: dict[str, tuple[int, int]] = {}
    begun_at = said_at = clock()
    say(f"pulling `{image}`")
    for event in events:
        if "error" in event:
            raise PullFailedError(str(event["error"]))
        layer, status = event.get("id"), str(event.get("status", ""))
        if layer is None or status.startswith("Pulling from"):
            continue
        layers[layer] = status
        detail = event.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total"):
            loaded[layer] = int(detail.get("current", 0)), int(detail["total"])
        elif status in ("Download complete", "Pull complete") and layer in loaded:
            loaded[layer] = loaded[layer][1], loaded[layer][1]
        if clock() - said_at >= EVERY_S:
            said_at = clock()
            say(f"pulling `{image}`: {_so_far(layers, loaded)}")
    say(f"pulled `{image}` in {clock() - begun_at:.0f} s")


def _so_far(layers: Mapping[str, str], loaded: Mapping[str, tuple[int, int]]) -> str:
    done = sum(status in ("Pull complete", "Already exists") for status in layers.values())
    current = sum(one for one, _ in loaded.values()) // _MIB
    total = sum(one for _, one in loaded.values()) // _MIB
    return f"{done} of {len(layers)} layers, {current} of {total} MiB"
