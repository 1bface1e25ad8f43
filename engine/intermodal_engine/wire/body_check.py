"""The body of a signed request: checked against what was signed while it flows."""

import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from intermodal_engine.wire.chunked import ChunkedReader
from intermodal_engine.wire.errors import ServiceError


class BodyReader(Protocol):
    """Takes a body piece by piece; plain calls, so that they may run in a thread."""

    trailers: dict[str, str]

    def feed(self, chunk: bytes) -> list[bytes]:
        """What the consumer shall see of a piece; raises ServiceError if it is already wrong."""

    def finish(self) -> None:
        """Raises ServiceError if the whole body is not what was signed."""


class HashedReader:
    """A body that is passed on as it is, hashed if anybody wants the hash.

    Args:
        judge: gets the SHA-256 in hexadecimal at the end and raises if it is wrong; None if the
            body is not under the signature.
    """

    def __init__(self, judge: Callable[[str], None] | None) -> None:
        self.trailers: dict[str, str] = {}
        self._judge = judge
        self._hash = hashlib.sha256()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The piece itself."""
        if self._judge is not None:
            self._hash.update(chunk)
        return [chunk]

    def finish(self) -> None:
        """Let the judge see the hash."""
        if self._judge is not None:
            self._judge(self._hash.hexdigest())


class BodyCheck:
    """What is known of a request's body from its signed headers.

    A body may be read once, by `check`, by `wrap` or by a `reader`.

    Args:
        new_reader: makes the reader when the body begins.
        headers: the request's; its trailers are added to them when the body has ended.
    """

    def __init__(
        self, new_reader: Callable[[], BodyReader], headers: dict[str, str] | None = None
    ) -> None:
        self._new_reader = new_reader
        self._headers = headers if headers is not None else {}
        self._reader: BodyReader | None = None

    @property
    def is_aws_chunked(self) -> bool:
        """Whether the body on the socket is framed as `aws-chunked`; what comes out is not."""
        return isinstance(self.reader(), ChunkedReader)

    @property
    def trailers(self) -> dict[str, str]:
        """The trailers, names in lower case; known once the body has ended."""
        return self.reader().trailers

    def reader(self) -> BodyReader:
        """The reader, for consumers that bring their own loop or thread."""
        if self._reader is None:
            self._reader = self._new_reader()
        return self._reader

    def check(self, body: bytes) -> bytes:
        """The body without its framing, if it is what was signed.

        Raises:
            ServiceError: it is not.
        """
        reader = self.reader()
        pieces = reader.feed(body)
        self._finish(reader)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def wrap(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The body without its framing, piece by piece, nothing copied.

        The last piece is held back until the whole body has proved to be what was signed, so a
        consumer never holds a complete body that is not.

        Raises:
            ServiceError: at the end, if it is not.
        """
        reader = self.reader()
        held = b""
        async for chunk in stream:
            for piece in reader.feed(chunk):
                if held:
                    yield held
                held = piece
        self._finish(reader)
        if held:
            yield held

    def _finish(self, reader: BodyReader) -> None:
        reader.finish()
        for name, value in reader.trailers.items():
            self._headers.setdefault(name, value)


def undeclared(error: ServiceError) -> Callable[[], BodyReader]:
    """A reader that cannot be had, for example because the length is not known."""

    def refuse() -> BodyReader:
        raise error

    return refuse
