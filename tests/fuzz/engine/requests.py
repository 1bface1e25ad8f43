"""Requests of every operation that the engine serves, not signed yet."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from intermodal_engine.services.table import TABLE
from intermodal_engine.wire.models import SERVICES, load_service
from intermodal_engine.wire.route import named
from tests.fuzz.engine.values import HOSTILE, KNOWN, documents, texts, values

Draw = Callable[[SearchStrategy[Any]], Any]

_PREFIXES = {one.name: one.target_prefix for one in SERVICES}
_SIGNING_NAMES = {one.name: one.signing_name for one in SERVICES}
_BUCKETS = ("data", "results", "missing", "..", "%2e%2e", "a", "xn--x", "A_B", "data%00")
_KEYS = (*KNOWN, *HOSTILE, "a", "a/", "a/b", "train/one", "a//b", ".intermodal", "~", "a/./b")
_METHODS = ("GET", "PUT", "HEAD", "DELETE", "POST", "PATCH", "OPTIONS")
_NUMBERS = ("0", "1", "-1", "1000", "99999999999999999999", "x", "", "1.5", "10001")
_QUERIES = {
    "list-type": ("2", "1", "x"),
    "uploads": ("",),
    "uploadId": (*KNOWN[:3], "../../x", "", "\0"),
    "partNumber": _NUMBERS,
    "delete": ("",),
    "versions": ("",),
    "acl": ("",),
    "tagging": ("",),
    "location": ("",),
    "versioning": ("",),
    "prefix": _KEYS,
    "delimiter": ("/", "", "//", "é", "\0"),
    "max-keys": _NUMBERS,
    "start-after": _KEYS,
    "continuation-token": ("", "x", "AAAA", "é"),
    "encoding-type": ("url", "x"),
    "versionId": ("null", "x"),
    "x-id": ("GetObject", "x"),
    "response-content-type": ("text/plain", "a\r\nb: c"),
}
_RANGES = (
    "bytes=0-0",
    "bytes=0-",
    "bytes=-1",
    "bytes=-0",
    "bytes=5-1",
    "bytes=0-99999999999999999999999",
    "bytes=9223372036854775807-",
    "bytes=0-0,2-3",
    "bytes=",
    "bytes=a-b",
    "bits=0-1",
    "bytes=-99999999999999999999",
    "bytes=" + "0-1," * 200,
)
_HEADERS = {
    "range": _RANGES,
    "if-match": ("*", '"x"', "x", ""),
    "if-none-match": ("*", '"x"', "x"),
    "if-modified-since": ("Fri, 24 May 2013 00:00:00 GMT", "x", "99999"),
    "x-amz-copy-source": (
        *(quote(f"data/{key}".encode("utf-8", "replace"))[:900] for key in _KEYS),
        *("/", "data", "..", "%"),
    ),
    "x-amz-copy-source-range": _RANGES,
    "content-md5": ("x", "1B2M2Y8AsgTpgAmY7PhCfg=="),
    "x-amz-checksum-crc32": ("AAAAAA==", "x"),
    "x-amz-sdk-checksum-algorithm": ("CRC32", "SHA256", "CRC64NVME", "x"),
    "x-amz-meta-a": ("b", "\xe9", "x" * 3000),
    "x-amz-tagging": ("a=b", "a=b&a=c", "&&=", "%zz"),
    "x-amz-storage-class": ("STANDARD", "GLACIER", "x"),
    "content-type": ("text/plain", "application/xml", "\xe9", "multipart/form-data"),
    "x-amz-acl": ("private", "x"),
    "expect": ("100-continue",),
}
_BODIES = (
    b"",
    b"body",
    b"\0" * 70000,
    b"<Delete><Object><Key>a</Key></Object></Delete>",
    b"<Delete>" + b"<Object><Key>../x</Key></Object>" * 1001 + b"</Delete>",
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>"
    b"</CompleteMultipartUpload>",
    b"<CompleteMultipartUpload/>",
    b"<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint>"
    b"</CreateBucketConfiguration>",
    b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><Delete>&b;</Delete>',
    b"<a>" * 3000,
    b"<Delete><Object>",
    b"\xff\xfe<",
)


@dataclass(frozen=True, slots=True)
class Attack:
    """A request before it is signed."""

    signing_name: str
    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def operations() -> Iterator[tuple[str, str]]:
    """Every operation that is served, by service and name; those of S3 go by their requests."""
    for service, functions in TABLE.items():
        yield from ((service, name) for name in functions if service != "s3")


def attacks(service: str, name: str) -> SearchStrategy[Attack]:
    """Requests of an operation."""
    if service == "s3":
        return _s3()
    route = named(service, name)
    if route.operation.service.name == "sagemaker-runtime":
        return invocations(texts)
    shape = route.operation.input
    parameters = st.just({}) if shape is None else values(shape)
    signing_name = _SIGNING_NAMES[service]
    if prefix := _PREFIXES[service]:
        return parameters.map(lambda value: _json(signing_name, f"{prefix}.{name}", value))
    version = load_service(service).metadata["apiVersion"]
    return parameters.map(lambda value: _form(signing_name, name, version, value))


def _json(signing_name: str, target: str, value: Any) -> Attack:
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
    return Attack(signing_name, "POST", "/", headers=headers, body=json.dumps(value).encode())


def _form(signing_name: str, name: str, version: str, value: Any) -> Attack:
    pairs = [("Action", name), ("Version", version), *_flat("", value)]
    body = urlencode(pairs, errors="replace").encode()
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    return Attack(signing_name, "POST", "/", headers=headers, body=body)


def _flat(prefix: str, value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    if depth > 40:
        return
    dot = f"{prefix}." if prefix else ""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _flat(f"{dot}{name}", one, depth + 1)
    elif isinstance(value, list):
        for number, one in enumerate(value, 1):
            yield from _flat(f"{dot}member.{number}", one, depth + 1)
    else:
        yield prefix, str(value)


@st.composite
def _s3(draw: Draw) -> Attack:
    bucket = draw(st.sampled_from(_BUCKETS))
    key = draw(st.sampled_from(_KEYS) | st.text(max_size=12))
    raw = draw(st.integers(0, 9)) == 0
    encoded = key if raw and key.isascii() and key.isprintable() else _quoted(key)
    path = draw(st.sampled_from((f"/{bucket}/{encoded}", f"/{bucket}", f"/{bucket}/", "/")))
    names = draw(st.lists(st.sampled_from(sorted(_QUERIES)), max_size=3, unique=True))
    query = "&".join(f"{name}={_quoted(draw(st.sampled_from(_QUERIES[name])))}" for name in names)
    chosen = draw(st.lists(st.sampled_from(sorted(_HEADERS)), max_size=3, unique=True))
    headers = {name: draw(st.sampled_from(_HEADERS[name])) for name in chosen}
    method = draw(st.sampled_from(_METHODS))
    body = draw(st.sampled_from(_BODIES) | st.binary(max_size=50))
    return Attack("s3", method, path.replace(" ", "%20").replace("?", "%3F"), query, headers, body)


@st.composite
def invocations(draw: Draw, names: SearchStrategy[str]) -> Attack:
    """Requests of an endpoint that has one of these names."""
    name = _quoted(draw(names))[:3000]
    tail = draw(
        st.sampled_from(
            ("invocations", "async-invocations", "invocations-response-stream", "x", "")
        )
    )
    headers = {
        header: draw(st.sampled_from(("x", "a b", "../../x", "\xe9", "9" * 300, "AllTraffic")))
        for header in draw(st.lists(st.sampled_from(_INVOCATION_HEADERS), max_size=4, unique=True))
    }
    body = draw(st.binary(max_size=40) | documents.map(lambda one: json.dumps(one).encode()))
    return Attack("sagemaker", "POST", f"/endpoints/{name}/{tail}", headers=headers, body=body)


_INVOCATION_HEADERS = (
    "accept",
    "content-type",
    "x-amzn-sagemaker-custom-attributes",
    "x-amzn-sagemaker-target-model",
    "x-amzn-sagemaker-target-variant",
    "x-amzn-sagemaker-target-container-hostname",
    "x-amzn-sagemaker-inference-id",
    "x-amzn-sagemaker-inference-component",
    "x-amzn-sagemaker-session-id",
    "x-amzn-sagemaker-inputlocation",
    "x-amzn-sagemaker-enable-explanations",
)


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="/")
