"""Bodies and headers of a hostile client, against a real `serve` without code for its model."""

import io
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.fuzz.report import MODEL
from tests.helpers.serving_process import Serving, serving, write_code


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(write_code(tmp_path_factory.mktemp("model"), MODEL)) as server:
        yield server
        assert server.terminate() == 0
    assert "Traceback" not in server.log


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def npy_header(text: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data


NPY = "application/x-npy"
JSON = "application/json"
BODIES = {
    "a pickle in an npy": (NPY, npy(np.array([{"a": 1}], object)), 400),
    "a pickle": (NPY, pickle.dumps([1]), 400),
    "an npy of terabytes": (
        NPY, npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (10**12,), }"), 400),
    "an npy of negative length": (
        NPY, npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }", b"x" * 8),
        400),
    "an npy of nothing many times": (
        NPY, npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 9999999), }"), 200),
    "an npy cut short": (NPY, npy(np.zeros(10))[:-1], 400),
    "an npy with more behind": (NPY, npy(np.zeros(10)) + b"x", 400),
    "an npy with code in its header": (NPY, npy_header("__import__('os').abort()"), 400),
    "an npy of long doubles": (NPY, npy(np.ones(2, np.longdouble)), 200),
    "an npy of another byte order": (NPY, npy(np.ones(2, ">f8")), 200),
    "deep json": (JSON, b"[" * 100_000 + b"]" * 100_000, 400),
    "deep json that is legal": (JSON, b"[" * 1000 + b"]" * 1000, 200),
    "deep json objects": (JSON, b'{"a":' * 100_000, 400),
    "NaN": (JSON, b"[NaN]", 400),
    "Infinity": (JSON, b"[1, Infinity]", 400),
    "a number over all": (JSON, b"[1e999]", 400),
    "a number of many digits": (JSON, b"[" + b"9" * 5000 + b"]", 400),
    "half a surrogate": (JSON, b'"\\ud800"', 400),
    "no utf-8": (JSON, b'"\xff"', 400),
    "a BOM": (JSON, b"\xef\xbb\xbf[1]", 400),
    "nothing as json": (JSON, b"", 400),
    "nothing as csv": ("text/csv", b"", 400),
    "NaN as csv": ("text/csv", b"1,nan", 400),
    "an open quote": ("text/csv", b'"1,2\n3', 400),
    "NUL as csv": ("text/csv", b"1,\0", 400),
    "an unknown type": ("application/x-unknown", b"[1]", 415),
    "an unknown charset": (f"{JSON}; charset=klingon", b"[1]", 415),
    "a charset that is none": (f"{JSON}; charset=base64", b"[1]", 415),
    "another charset": (f"{JSON}; charset=utf-16", "[1]".encode("utf-16"), 200),
    "not in its charset": (f"{JSON}; charset=utf-16", b"[1]", 400),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_gets_a_client_error_or_a_value(server: Serving, name: str) -> None:
    content_type, body, status = BODIES[name]
    reply = server.invoke(body, content_type)
    assert reply.status == status, reply.body
    if status >= 400:
        assert reply.json.keys() >= {"error", "type", "request_id"}


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip", "x"])
def test_an_unknown_content_encoding_is_refused(server: Serving, encoding: str) -> None:
    assert server.invoke(b"[1]", Content_Encoding=encoding).status == 415
    assert server.invoke(b"[1]", Content_Encoding="identity").status == 200


@pytest.mark.parametrize("accept", ["image/png", "text/csv;q=nan", "a", ";", "*/*;q=0", ",,,", "/"])
def test_any_accept_is_served_or_refused(server: Serving, accept: str) -> None:
    assert server.invoke(b"[1]", Accept=accept).status in {200, 406}


def test_a_request_id_that_could_forge_a_header_or_a_log_line_is_replaced(server: Serving) -> None:
    for forged in ("a b", "x" * 129, "a\tb", "<script>", "\xe9"):
        reply = server.invoke(b"[", X_Amzn_RequestId=forged)
        assert reply.status == 400
        assert reply.headers["x-amzn-requestid"] != forged
        assert reply.json["request_id"] == reply.headers["x-amzn-requestid"]


def test_control_characters_of_a_client_never_reach_the_log_as_they_are(server: Serving) -> None:
    assert server.invoke(b"\x1b[31m,2\n", "text/csv").status == 400
    server.wait_for("not CSV of numbers")
    assert "\x1b" not in server.log


def test_handlers_cannot_inject_headers_nor_break_the_connections_framing(
    server: Serving,
    tmp_path: Any,
) -> None:
    write_code(
        tmp_path,
        """
        ATTEMPTS = [
            lambda context: context.set_header("X-A", "1\\r\\nX-B: 2"),
            lambda context: context.set_response_header(0, "X-A\\r\\nX-B", "1"),
            lambda context: context.set_response_content_type(0, "a/b\\r\\n\\r\\nbody"),
            lambda context: context.set_header("Content-Length", "1"),
            lambda context: context.set_header("Transfer-Encoding", "chunked"),
            lambda context: context.set_header("X-A", "\\u20ac"),
            lambda context: context.set_response_status(101),
            lambda context: context.response_headers.update({"x-a": "1\\r\\nX-B: 2"}),
            lambda context: context.response_headers.update({"x-a": "\\u20ac"}),
            lambda context: context.set_response_status(204),
            lambda context: context.set_response_status(304),
        ]
        def model_fn(model_dir):
            return None
        def transform_fn(model, body, content_type, accept, context):
            ATTEMPTS[int(body)](context)
            return "done", "text/plain"
        """,
    )
    with serving(tmp_path) as other:
        statuses = [other.invoke(b"%d" % number).status for number in range(11)]
        assert statuses == [500] * 9 + [204, 304]
        for number in (0, 1, 2, 7):
            assert "x-b" not in other.invoke(b"%d" % number).headers
        assert other.invoke(b"9").body == b""
        assert other.terminate() == 0
