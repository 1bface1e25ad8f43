r"""`aws-chunked`: the framing in which S3's clients send bodies that they sign piece by piece.

400;chunk-signature=ad80...\r\n <1024 bytes> \r\n
0;chunk-signature=b6c6...\r\n
x-amz-checksum-crc32:...\r\n           trailers, if the request declared any
x-amz-trailer-signature:...\r\n        if trailers are signed
\r\n
"""

import enum
import hashlib
import hmac
from dataclasses import dataclass

from intermodal_engine.wire.canonical import EMPTY_SHA256, signature
from intermodal_engine.wire.errors import ServiceError

_LINE_LIMIT = 8192
_TRAILERS_LIMIT = 16384
_TRAILER_SIGNATURE = "x-amz-trailer-signature"


@dataclass(frozen=True, slots=True)
class ChunkSigner:
    """What every chunk's signature is made with."""

    key: bytes
    amz_date: str
    scope: str

    def chunk(self, previous: str, digest: str) -> str:
        """The signature of a chunk of that digest, after the one of that signature."""
        return self._sign("PAYLOAD", f"{previous}\n{EMPTY_SHA256}\n{digest}")

    def trailer(self, previous: str, digest: str) -> str:
        """The signature of the trailers."""
        return self._sign("TRAILER", f"{previous}\n{digest}")

    def _sign(self, what: str, rest: str) -> str:
        head = f"AWS4-HMAC-SHA256-{what}\n{self.amz_date}\n{self.scope}\n"
        return signature(self.key, head + rest)


class _State(enum.Enum):
    HEADER = enum.auto()
    DATA = enum.auto()
    DATA_END = enum.auto()
    TRAILERS = enum.auto()
    DONE = enum.auto()


class ChunkedReader:
    """Takes the framing off, in whatever pieces it arrives, holding no more than one line.

    Args:
        decoded_size_bytes: how long the body must be without the framing.
        signer: None if chunks are not signed.
        seed_signature: the signature of the request's headers.
        trailer_names: the trailers that the request declared; None if it can have none.
    """

    def __init__(
        self,
        decoded_size_bytes: int,
        signer: ChunkSigner | None,
        seed_signature: str,
        trailer_names: frozenset[str] | None,
    ) -> None:
        self.trailers: dict[str, str] = {}
        self._missing = decoded_size_bytes
        self._signer = signer
        self._previous = seed_signature
        self._trailer_names = trailer_names
        self._state = _State.HEADER
        self._line = bytearray()
        self._left = 0
        self._claimed = ""
        self._hash = hashlib.sha256()
        self._signed_trailers = ""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The parts of the body in what has arrived.

        Raises:
            ServiceError: the framing or a chunk's signature is wrong.
        """
        pieces: list[bytes] = []
        position = 0
        while position < len(chunk):
            if self._state is _State.DATA:
                position = self._take_data(chunk, position, pieces)
            else:
                position = self._take_line(chunk, position)
        return pieces

    def finish(self) -> None:
        """Check that the body ended where it said it would.

        Raises:
            ServiceError: it did not.
        """
        at_end = self._state is _State.TRAILERS and self._trailer_names is None and not self._line
        if self._missing or not (at_end or self._state is _State.DONE):
            raise _incomplete()

    def _take_data(self, chunk: bytes, position: int, pieces: list[bytes]) -> int:
        end = min(position + self._left, len(chunk))
        piece = chunk if position == 0 and end == len(chunk) else chunk[position:end]
        if self._signer is not None:
            self._hash.update(piece)
        pieces.append(piece)
        self._left -= len(piece)
        self._missing -= len(piece)
        if self._left == 0:
            self._end_chunk()
            self._state = _State.DATA_END
        return end

    def _take_line(self, chunk: bytes, position: int) -> int:
        found = chunk.find(b"\n", position)
        end = len(chunk) if found < 0 else found + 1
        self._line += chunk[position:end]
        if len(self._line) > _LINE_LIMIT:
            raise _malformed("a line is too long")
        if found >= 0:
            line = bytes(self._line)
            self._line.clear()
            if not line.endswith(b"\r\n"):
                raise _malformed("a line does not end in CRLF")
            self._take(line[:-2].decode("latin-1"))
        return end

    def _take(self, line: str) -> None:
        if self._state is _State.HEADER:
            self._start_chunk(line)
        elif self._state is _State.DATA_END and not line:
            self._state = _State.HEADER
        elif self._state is _State.TRAILERS and not line:
            self._end_trailers()
        elif self._state is _State.TRAILERS and self._trailer_names is not None:
            self._take_trailer(line)
        else:
            raise _malformed("there is more than the chunk or the body was to hold")

    def _start_chunk(self, line: str) -> None:
        size, _, extension = line.partition(";")
        name, _, value = extension.partition("=")
        self._claimed = value.strip() if name.strip() == "chunk-signature" else ""
        digits = size.strip()
        if not 1 <= len(digits) <= 16 or not all(one in "0123456789abcdefABCDEF" for one in digits):
            raise _malformed("a chunk does not start with its size")
        self._left = int(digits, 16)
        if self._left > self._missing:
            raise _incomplete()
        if self._left:
            self._state = _State.DATA
        else:
            self._end_chunk()
            self._state = _State.TRAILERS

    def _end_chunk(self) -> None:
        if self._signer is None:
            return
        expected = self._signer.chunk(self._previous, self._hash.hexdigest())
        self._compare(expected, self._claimed)
        self._previous = expected
        self._hash = hashlib.sha256()

    def _take_trailer(self, line: str) -> None:
        name, colon, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon or len(self._signed_trailers) + len(line) > _TRAILERS_LIMIT:
            raise _malformed_trailer()
        self.trailers[name] = value
        if name != _TRAILER_SIGNATURE:
            self._signed_trailers += f"{name}:{value}\n"

    def _end_trailers(self) -> None:
        claimed = self.trailers.pop(_TRAILER_SIGNATURE, "")
        if self.trailers.keys() != (self._trailer_names or frozenset()):
            raise _malformed_trailer()
        if self._signer is not None and self._trailer_names is not None:
            digest = hashlib.sha256(self._signed_trailers.encode("latin-1")).hexdigest()
            self._compare(self._signer.trailer(self._previous, digest), claimed)
        self._state = _State.DONE

    def _compare(self, expected: str, claimed: str) -> None:
        if not hmac.compare_digest(expected.encode(), claimed.encode("latin-1")):
            raise ServiceError(
                "SignatureDoesNotMatch",
                "The signature of a chunk or of the trailers does not match what was computed. "
                "Check your key and signing method.",
                status=403,
            )


def _incomplete() -> ServiceError:
    return ServiceError(
        "IncompleteBody",
        "The request body does not have the size that the header x-amz-decoded-content-length "
        "says, or it ended too early.",
        status=400,
    )


def _malformed(why: str) -> ServiceError:
    message = f"The body is not properly encoded as aws-chunked: {why}."
    return ServiceError("InvalidRequest", message, status=400)


def _malformed_trailer() -> ServiceError:
    message = (
        "The request contained trailing data that was not well-formed, or other trailers than the "
        "header x-amz-trailer names."
    )
    return ServiceError("MalformedTrailerError", message, status=400)
