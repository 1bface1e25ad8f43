"""Waits until every host of the job has an address. On AWS a name may lag behind its instance."""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from intermodal_contract import env
from intermodal_contract.errors import IntermodalError
from intermodal_training.errors import HostsError
from intermodal_training.report import say

DEFAULT_WAIT_S = 300.0
TELL_EVERY_S = 5.0
_RETRY_S = 0.25


def wait_seconds(environment: Mapping[str, str]) -> float:
    """How long to wait, by the environment.

    Raises:
        IntermodalError: the variable holds no number.
    """
    if environment.get(env.STUDIO_LOCAL_MODE, "").lower() == "true":
        return 0.0
    text = environment.get(env.HOST_WAIT_S)
    try:
        return float(text) if text else DEFAULT_WAIT_S
    except ValueError:
        raise IntermodalError(f"`{env.HOST_WAIT_S}` is `{text}`, which is no number") from None


def wait_for_hosts(
    hosts: Sequence[str],
    wait_s: float,
    *,
    resolve: Callable[[str], object] | None = None,
    tell_every_s: float = TELL_EVERY_S,
) -> None:
    """Returns as soon as every name resolves; names the missing ones every few seconds.

    Args:
        hosts: names.
        wait_s: how long at most; 0 does not look at all.
        resolve: looks one up and raises OSError if it has no address; by default, the system does.
        tell_every_s: seconds between two log lines.

    Raises:
        HostsError: names do not resolve in time; the message has them.
    """
    if wait_s <= 0 or len(hosts) < 2:
        return
    if resolve is None:
        import socket

        resolve = socket.gethostbyname
    found: queue.SimpleQueue[str] = queue.SimpleQueue()
    over = threading.Event()
    # A resolver may block for half a minute, so it does so in a thread of its own.
    for host in hosts:
        threading.Thread(target=_look_up, args=(host, resolve, found, over), daemon=True).start()
    try:
        _collect(set(hosts), found, wait_s, tell_every_s)
    finally:
        over.set()


def _look_up(
    host: str,
    resolve: Callable[[str], object],
    found: "queue.SimpleQueue[str]",
    over: threading.Event,
) -> None:
    while not over.is_set():
        try:
            resolve(host)
        except (OSError, UnicodeError):
            over.wait(_RETRY_S)
        else:
            found.put(host)
            return


def _collect(
    missing: set[str], found: "queue.SimpleQueue[str]", wait_s: float, tell_every_s: float
) -> None:
    started = time.monotonic()
    told = 1
    while missing:
        waited_s = time.monotonic() - started
        until_told_s = min(told * tell_every_s, wait_s) - waited_s
        try:
            missing.discard(found.get(timeout=max(until_told_s, 0.001)))
        except queue.Empty:
            waited_s = time.monotonic() - started
            names = ", ".join(f"`{host}`" for host in sorted(missing))
            if waited_s >= wait_s:
                raise HostsError(
                    f"no address for {names} after {wait_s:.0f} s",
                    hint=f"did these instances start? `{env.HOST_WAIT_S}` sets the time",
                ) from None
            say(f"waiting for the address of {names}, {waited_s:.0f} s so far")
            told += 1
