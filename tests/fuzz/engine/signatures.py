"""Requests whose signature is no signature, by header and by URL, of both versions."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from intermodal_engine.identity import KeyRing
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest
from intermodal_engine.wire.sigv4 import Credentials, verify
from tests.fuzz.engine.values import HOSTILE

Draw = Callable[[SearchStrategy[Any]], Any]

KEYS = KeyRing(Credentials("AKIAFUZZ", "secret"))
NOW = 1_800_000_000.0
_DAY, _DATE = "20270115", "20270115T080000Z"
_SCOPES = tuple(
    f"AKIAFUZZ/{_DAY}/us-east-1/{service}/aws4_request"
    for service in ("s3", "sagemaker", "sts", "")
)
_DATES = (_DATE, "20270115T996199Z", "00000115T080000Z", "2027-01-15", _DAY, "99991231T235959Z")
_MAIL_DATES = (
    "Fri, 15 Jan 2027 08:00:00 GMT",
    "Mon, 01 Jan 0001 00:00:00 +2359",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "Fri, 15 Jan 99999999999999999999 08:00:00 GMT",
    "Fri, 15 Jan 2027 08:00:00 +99999999",
)
_LONG_DIGITS = ("0" * 5000, "9" * 5000, "٣", "-1", "1e3", "3600", "604801", "0")
_odd = st.sampled_from(HOSTILE) | st.text(max_size=30)


def _mostly(right: str, wrong: SearchStrategy[str]) -> SearchStrategy[str]:
    """What is right often enough for the next part to be looked at."""
    return st.integers(0, 4).flatmap(lambda number: st.just(right) if number else wrong)


_credentials = _mostly(_SCOPES[0], st.sampled_from(_SCOPES) | _odd)
_dates = _mostly(_DATE, st.sampled_from((*_DATES, *_MAIL_DATES)) | _odd)
_signatures = st.sampled_from(("0" * 64, "", "é", "zz")) | _odd
_names = st.sampled_from(("host;x-amz-date", "host", ";;;", "HOST", "host;" * 500, "")) | _odd
_hashes = st.sampled_from(
    (
        "0" * 64,
        "UNSIGNED-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    )
)
_algorithms = _mostly("AWS4-HMAC-SHA256", st.sampled_from(("AWS", "Bearer", "")) | _odd)


@st.composite
def signatures(draw: Draw) -> HttpRequest:
    """A request with something where its signature should be."""
    headers = {"host": "127.0.0.1"}
    query = ""
    kind = draw(st.sampled_from(("header", "url", "url of version 2")))
    if kind == "header":
        headers["authorization"] = (
            f"{draw(_algorithms)} Credential={draw(_credentials)}, "
            f"SignedHeaders={draw(_names)}, Signature={draw(_signatures)}"
        )
    elif kind == "url":
        query = _query(draw, "X-Amz-", _PARTS)
    else:
        query = _query(draw, "", _PARTS_OF_VERSION_2)
    for name, values in _HEADERS.items():
        if draw(st.booleans()):
            headers[name] = draw(values)
    method = draw(st.sampled_from(("GET", "PUT", "POST")))
    path = draw(
        st.sampled_from(("/", "/a/b", "/endpoints/e/invocations", "/%zz", "//", "/\xff/.."))
    )
    on_the_wire = {
        name: value.encode("latin-1", "replace").decode("latin-1")
        for name, value in headers.items()
    }
    return HttpRequest(method, path, query, on_the_wire)


def verify_hostile(request: HttpRequest) -> str:
    """The code of the refusal; none of these requests may be let in."""
    found: list[str] = []

    def lookup(access_key_id: str) -> Credentials | None:
        caller = KEYS.caller(access_key_id, request.headers, request.query)
        found.append(access_key_id)
        return caller.credentials if caller else None

    try:
        identity = verify(request, lookup, NOW)
        identity.body.check(b"body")
    except ServiceError as error:
        return error.code
    raise AssertionError(f"a request without a right signature was let in, as {found}")


def _query(draw: Draw, prefix: str, parts: dict[str, SearchStrategy[str]]) -> str:
    return "&".join(
        f"{prefix}{name}={quote(draw(values).encode('utf-8', 'surrogatepass'), safe='')}"
        for name, values in parts.items()
        if draw(st.integers(0, 9))
    )


_PARTS: dict[str, SearchStrategy[str]] = {
    "Algorithm": _algorithms,
    "Credential": _credentials,
    "Date": _dates,
    "Expires": st.sampled_from(_LONG_DIGITS) | _odd,
    "SignedHeaders": _names,
    "Signature": _signatures,
    "Content-Sha256": _hashes,
    "Security-Token": _odd,
}
_PARTS_OF_VERSION_2: dict[str, SearchStrategy[str]] = {
    "AWSAccessKeyId": st.sampled_from(("AKIAFUZZ", "x")) | _odd,
    "Expires": st.sampled_from(_LONG_DIGITS) | _odd,
    "Signature": _signatures,
}
_HEADERS: dict[str, SearchStrategy[str]] = {
    "x-amz-date": _dates,
    "date": _dates,
    "x-amz-content-sha256": _hashes | _odd,
    "x-amz-security-token": _odd | st.sampled_from(("W10=.x", "e30=.x", "WzEsMl0=.", "." * 5000)),
    "x-amz-decoded-content-length": st.sampled_from(_LONG_DIGITS),
    "x-amz-trailer": st.sampled_from((",,,", "x-amz-checksum-crc32", "é")),
    "content-length": st.sampled_from(("0", "4")),
    "x-amz-target": st.sampled_from(("SageMaker.ListModels", "", ".")),
}
