"""Requests and responses as the engine passes them around: what HTTP carried, nothing of AWS."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import BinaryIO


@dataclass(slots=True)
class HttpRequest:
    """One request as it came off the socket.

    Attributes:
        method: upper case.
        path: as sent, still percent-encoded, starting with `/`.
        query: as sent, still percent-encoded, without the `?`; empty if there was none.
        headers: names in lower case; a repeated header's values joined with `,`.
        body: the whole body; empty while `stream` holds it.
        stream: the body in chunks, for operations whose payload is streaming.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Part of an open file, as a response body. Whoever sends it closes the file.

    Attributes:
        file: open for reading; kept open so that a later overwrite cannot mix two versions.
        offset: first byte to send.
        size_bytes: how many bytes to send.
    """

    file: BinaryIO
    offset: int
    size_bytes: int


Body = bytes | FileSlice | AsyncIterator[bytes]


@dataclass(slots=True)
class HttpResponse:
    """One response, ready for the socket.

    Attributes:
        status: HTTP status code.
        headers: names as they shall be written; `Content-Length` is the sender's business unless
            the response has no body of its own (HEAD).
        body: bytes, a slice of a file, or chunks as they come.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Body = b""
