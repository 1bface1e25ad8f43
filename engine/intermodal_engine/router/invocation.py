"""A request to an endpoint and its answer, as the router passes them on."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invocation:
    """A request to one endpoint.

    Attributes:
        path: for example `/invocations`.
        headers: what the instance gets to see, besides `Host` and the body's length.
        body: bytes can be sent again to another instance; a stream only until it was begun.
        content_length: length of a streamed body in bytes; None sends it chunked.
        target_variant: the one variant that may serve it.
        target_model: the archive, relative to the prefix of a multi-model endpoint.
        target_container: the one container of several that it is for.
        session_id: of a session that an instance holds, or NEW_SESSION.
        timeout_s: for the whole answer; None: the router's own.
        is_asynchronous: nobody waits for the answer.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes | AsyncIterator[bytes] = b""
    content_length: int | None = None
    target_variant: str | None = None
    target_model: str | None = None
    target_container: str | None = None
    session_id: str | None = None
    timeout_s: float | None = None
    is_asynchronous: bool = False


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """An instance's answer.

    Attributes:
        status: HTTP status code.
        headers: names in lower case.
        body: whole where it is short; else a stream, which must be read to its end or closed.
        variant: who answered.
        backend_id: who answered.
        zone: where.
        container: which of several containers answered; empty for an only one.
    """

    status: int
    headers: dict[str, str]
    body: bytes | AsyncIterator[bytes]
    variant: str
    backend_id: str
    zone: str
    container: str = ""
