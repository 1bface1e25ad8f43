"""A streamed answer, piece by piece or line by line; what breaks it off is raised in its words."""

from collections.abc import Iterable, Iterator
from typing import Any

from intermodal.errors import InternalStreamFailureError, ModelStreamError

_LONGEST_LINE_BYTES = 100 << 20


class ByteIterator:
    """The pieces as they come.

    Args:
        event_stream: the `Body` of boto3's `invoke_endpoint_with_response_stream`.
    """

    def __init__(self, event_stream: Iterable[Any]) -> None:
        self.event_stream = event_stream
        self._pieces = _pieces(event_stream)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The next piece.

        Raises:
            ModelStreamError: the model broke off.
            InternalStreamFailureError: the service broke off.
        """
        return next(self._pieces)


class LineIterator:
    """Whole lines, without their ends, however they were cut on the way.

    Args:
        event_stream: the `Body` of boto3's `invoke_endpoint_with_response_stream`.
    """

    def __init__(self, event_stream: Iterable[Any]) -> None:
        self.event_stream = event_stream
        self._lines = _lines(_pieces(event_stream))

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The next line.

        Raises:
            ModelStreamError: the model broke off.
            InternalStreamFailureError: the service broke off.
            ValueError: the line is longer than 100 MiB.
        """
        return next(self._lines)


def _pieces(event_stream: Iterable[Any]) -> Iterator[bytes]:
    from botocore.exceptions import EventStreamError

    try:
        for event in event_stream:
            if "PayloadPart" in event:
                yield bytes(event["PayloadPart"]["Bytes"])
    except EventStreamError as error:
        details = error.response.get("Error", {})
        words = f"{details.get('Code')}: {details.get('Message')}"
        if details.get("Code") == "ModelStreamError":
            raise ModelStreamError(f"the model broke its answer off: {words}") from error
        raise InternalStreamFailureError(f"the service broke the answer off: {words}") from error


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = bytearray()
    for piece in pieces:
        # Only what is new can end the line that has begun.
        *ended, last = piece.split(b"\n")
        for line in ended:
            yield bytes(rest + line)
            rest.clear()
        rest += last
        if len(rest) > _LONGEST_LINE_BYTES:
            raise ValueError(f"a line of the answer has over {_LONGEST_LINE_BYTES >> 20} MiB")
    if rest:
        yield bytes(rest)
