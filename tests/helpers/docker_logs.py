"""A daemon's log in memory, sent as dockerd sends it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from intermodal_engine.drivers.containers.frames import Message


def frame(stream: int, payload: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4) + payload


def frames(messages: Iterable[Message]) -> bytes:
    """What the wire carries."""
    return b"".join(frame(one.stream, _time(one.time_ns) + b" " + one.text) for one in messages)


@dataclass(slots=True)
class DaemonLog:
    """What a daemon keeps of a container's output."""

    messages: list[Message] = field(default_factory=list)

    def send(self, since: str) -> bytes:
        """Everything that is not older, in the order in which it was logged."""
        seconds, _, nanoseconds = since.partition(".")
        since_ns = int(seconds) * 1_000_000_000 + int(nanoseconds)
        return frames(one for one in self.messages if one.time_ns >= since_ns)


def _time(time_ns: int) -> bytes:
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z".encode()
