"""A body is checked while it flows, and handed on as it came."""

import asyncio
import time

import pytest

from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.sigv4 import verify
from tests.helpers.signed_requests import aws_request, lookup, signed, stream


@pytest.mark.parametrize(
    ("signing_name", "code"),
    [("s3", "XAmzContentSHA256Mismatch"), ("sagemaker", "InvalidSignatureException")],
)
def test_a_stream_that_is_not_what_was_signed_is_never_seen_whole(
    signing_name: str, code: str
) -> None:
    request = signed(aws_request("POST", "/data/key", b"abcdef"), signing_name)
    body = verify(request, lookup, time.time()).body
    seen: list[bytes] = []

    async def read() -> None:
        async for piece in body.wrap(stream([b"ab", b"cd", b"eX"])):
            seen.append(piece)  # noqa: PERF401 - what was seen before the error counts

    with pytest.raises(ServiceError, match=code):
        asyncio.run(read())
    assert seen == [b"ab", b"cd"]


def test_a_stream_is_handed_on_without_copying() -> None:
    request = signed(aws_request("PUT", "/data/key", b"abcdef"), "s3")
    pieces = [b"ab", b"", b"cdef"]

    async def read() -> list[bytes]:
        body = verify(request, lookup, time.time()).body
        return [piece async for piece in body.wrap(stream(pieces))]

    got = asyncio.run(read())
    assert [id(piece) for piece in got] == [id(pieces[0]), id(pieces[2])]
