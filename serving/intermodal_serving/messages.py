"""A request as it came, and an answer as it goes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from intermodal_serving.connection import Connection

Body: TypeAlias = bytes | bytearray | memoryview
RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]

BODILESS = frozenset({204, 304})
"""Statuses whose answers end with their headers, whatever a handler gave."""


@dataclass(slots=True, eq=False)
class Request:
    """One HTTP request, whole.

    Attributes:
        connection: where it came from and where its answer goes.
        method: as in `POST`.
        path: without the query, as it was sent: percent-encoded, latin-1.
        query: what stood behind `?`.
        headers: in their order, names in lower case.
        began_at: when its first byte came, in seconds of `time.monotonic`.
        body: a large one is a view of a buffer that the connection uses again once nobody holds
            the view or anything made of it.
        is_last: whether the connection ends with its answer.
        refusal: status and message, if the connection found that it cannot be served.
    """

    connection: "Connection"
    method: str
    path: str
    query: str
    headers: RawHeaders
    began_at: float
    body: Body = b""
    is_last: bool = False
    refusal: tuple[int, str] | None = None
    on_gone: Callable[[], None] | None = None
    """Called if the client leaves before it has its answer."""

    def header(self, name: bytes) -> bytes | None:
        """The last value of a header, its name in lower case."""
        found = None
        for key, value in self.headers:
            if key == name:
                found = value
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    """A response to be: everything but the connection's own headers."""

    status: int
    body: Body = b""
    headers: Mapping[str, str] = field(default_factory=dict)
