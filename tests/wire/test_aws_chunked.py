"""Bodies that S3's clients send in signed or unsigned chunks, whatever way they arrive in."""

import asyncio
import time
from io import BytesIO

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.wire.canonical import signing_key
from intermodal_engine.wire.chunked import ChunkedReader, ChunkSigner
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest
from intermodal_engine.wire.sigv4 import Credentials, Identity, verify
from tests.helpers.signed_requests import (
    aws_request,
    epoch,
    framed,
    lookup,
    pieces_of,
    signed,
    stream,
)

EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
DATE = "20130524T000000Z"
SIGNER = ChunkSigner(
    signing_key(EXAMPLE.secret_access_key, "20130524", "us-east-1", "s3"),
    DATE,
    "20130524/us-east-1/s3/aws4_request",
)
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
CHECKSUM = frozenset(["x-amz-checksum-crc32"])
DATA = b"a" * 66560


def published(signature: str, content_sha256: str, **headers: str) -> Identity:
    """The request of AWS's example, verified."""
    all_headers = {
        "host": "s3.amazonaws.com",
        "x-amz-date": DATE,
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "x-amz-content-sha256": content_sha256,
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": "66560",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    all_headers["authorization"] = (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={';'.join(sorted(all_headers))},Signature={signature}"
    )
    request = HttpRequest("PUT", "/examplebucket/chunkObject.txt", "", all_headers)
    return verify(request, lambda _: EXAMPLE, epoch(DATE))


def test_the_example_of_signed_chunks_that_aws_publishes_is_accepted() -> None:
    identity = published(SEED, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", content_length="66824")
    body = (
        b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
        b"\r\n" + b"a" * 65536 + b"\r\n"
        b"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
        b"\r\n" + b"a" * 1024 + b"\r\n"
        b"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
        b"\r\n\r\n"
    )
    assert len(body) == 66824
    assert body == framed([b"a" * 65536, b"a" * 1024], SIGNER, SEED)
    assert identity.body.is_aws_chunked
    assert identity.body.check(body) == DATA


def test_the_example_of_signed_trailers_that_aws_publishes_is_accepted() -> None:
    identity = published(
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        x_amz_trailer="x-amz-checksum-crc32c",
    )
    body = (
        b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"
        b"\r\n" + b"a" * 65536 + b"\r\n"
        b"400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"
        b"\r\n" + b"a" * 1024 + b"\r\n"
        b"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
        b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
        b"x-amz-trailer-signature:"
        b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
    )
    assert identity.body.check(body) == DATA
    assert identity.body.trailers == {"x-amz-checksum-crc32c": "sOO8/Q=="}


def test_what_boto3_sends_with_a_trailing_checksum_is_taken_apart() -> None:
    data = bytes(range(256)) * 9000
    wrapper = AwsChunkedWrapper(
        BytesIO(data), checksum_cls=Crc32Checksum, checksum_name="x-amz-checksum-crc32"
    )
    request = aws_request("PUT", "/data/key", b"")
    request.headers["X-Amz-Trailer"] = "x-amz-checksum-crc32"
    request.headers["X-Amz-Decoded-Content-Length"] = str(len(data))
    request.headers["Content-Encoding"] = "aws-chunked"
    request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    wire = signed(request, "s3")
    identity = verify(wire, lookup, time.time())
    assert read(identity, pieces_of(wrapper.read(), 65536)) == data
    assert wire.headers.items() >= identity.body.trailers.items()
    checksum = Crc32Checksum()
    assert identity.body.trailers == {"x-amz-checksum-crc32": checksum.handle(BytesIO(data))}


def read(identity: Identity, pieces: list[bytes]) -> bytes:
    async def collect() -> bytes:
        return b"".join([piece async for piece in identity.body.wrap(stream(pieces))])

    return asyncio.run(collect())


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=20),
    is_signed=st.booleans(),
    trailers=st.none() | st.just({"x-amz-checksum-crc32": "AAAAAA=="}),
)
def test_it_does_not_matter_how_a_body_is_cut_on_its_way(
    chunks: list[bytes], sizes: list[int], is_signed: bool, trailers: dict[str, str] | None
) -> None:
    signer = SIGNER if is_signed else None
    data = b"".join(chunks)
    reader = ChunkedReader(
        len(data), signer, SEED, None if trailers is None else frozenset(trailers)
    )
    body = framed(chunks, signer, SEED, trailers)
    got, position, turn = b"", 0, 0
    while position < len(body):
        size = sizes[turn % len(sizes)]
        got += b"".join(reader.feed(body[position : position + size]))
        position, turn = position + size, turn + 1
    reader.finish()
    assert got == data
    assert reader.trailers == (trailers or {})


@given(at=st.integers(0, 367), flip=st.integers(1, 255))
def test_no_changed_byte_of_a_signed_body_changes_what_is_read(at: int, flip: int) -> None:
    trailers = {"x-amz-checksum-crc32": "AA"}
    body = bytearray(framed([b"hello", b"world!"], SIGNER, SEED, trailers))
    body[at % len(body)] ^= flip
    reader = ChunkedReader(11, SIGNER, SEED, CHECKSUM)
    try:
        got = decode(reader, bytes(body))
    except ServiceError:
        return
    # Case and blanks of sizes and names carry no meaning.
    assert (got, reader.trailers) == (b"helloworld!", trailers)


def decode(reader: ChunkedReader, body: bytes) -> bytes:
    data = b"".join(reader.feed(body))
    reader.finish()
    return data


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"5\r\nhello\r\n0\r\n", "IncompleteBody"),
        (b"5\r\nhello\r\n", "IncompleteBody"),
        (b"5\r\nhel", "IncompleteBody"),
        (b"4\r\nhell\r\n0\r\n\r\n", "IncompleteBody"),
        (b"6\r\nhello!\r\n0\r\n\r\n", "IncompleteBody"),
        (b"", "IncompleteBody"),
        (b"5\nhello\r\n0\r\n\r\n", "InvalidRequest"),
        (b"-5\r\nhello\r\n0\r\n\r\n", "InvalidRequest"),
        (b"\r\n", "InvalidRequest"),
        (b"5\r\nhello!\r\n0\r\n\r\n", "InvalidRequest"),
        (b"5\r\nhello\r\n0\r\n\r\nmore\r\n", "InvalidRequest"),
        (b"5" * 9000, "InvalidRequest"),
        (b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n", "MalformedTrailerError"),
        (b"5\r\nhello\r\n0\r\n" + b"a:b\r\n" * 9000 + b"\r\n", "MalformedTrailerError"),
    ],
)
def test_a_broken_frame_is_an_error_that_says_so(body: bytes, code: str) -> None:
    trailers = ["a"] if b"a:b" in body else []
    reader = ChunkedReader(5, None, SEED, frozenset(trailers))
    with pytest.raises(ServiceError, match=code):
        decode(reader, body)


@pytest.mark.parametrize(
    "trailers", [b"", b"x-amz-acl:public-read\r\n", b"x-amz-checksum-crc32:A\r\nx-amz-acl:b\r\n"]
)
def test_trailers_must_be_those_that_were_declared(trailers: bytes) -> None:
    reader = ChunkedReader(5, None, SEED, CHECKSUM)
    with pytest.raises(ServiceError, match="MalformedTrailerError"):
        decode(reader, b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n")


def test_the_decoded_length_must_be_told() -> None:
    request = aws_request("PUT", "/data/key", b"")
    request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    with pytest.raises(ServiceError, match="MissingContentLength"):
        verify(signed(request, "s3"), lookup, time.time())


def test_pieces_that_hold_nothing_but_data_are_not_copied() -> None:
    reader = ChunkedReader(1000, None, SEED, frozenset())
    reader.feed(b"3e8\r\n")
    piece = b"x" * 600
    assert reader.feed(piece)[0] is piece
