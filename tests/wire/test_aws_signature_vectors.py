"""The requests that AWS publishes with their signatures, to check an implementation against.

Paths are as they are on the wire, a character a byte.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest
from intermodal_engine.wire.sigv4 import Credentials, verify
from tests.helpers.signed_requests import epoch

SUITE: dict[str, Any] = json.loads(
    Path(__file__).with_name("aws_signature_vectors.json").read_bytes()
)


def suite_request(vector: dict[str, Any]) -> HttpRequest:
    headers = {"host": SUITE["host"], "x-amz-date": SUITE["amz_date"], **vector.get("headers", {})}
    day = SUITE["amz_date"][:8]
    scope = f"{SUITE['access_key_id']}/{day}/{SUITE['region']}/{SUITE['signing_name']}/aws4_request"
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={';'.join(sorted(headers))}, "
        f"Signature={vector['signature']}"
    )
    body = vector.get("body", "").encode()
    headers |= {"authorization": authorization, "content-length": str(len(body))}
    path, _, query = vector["target"].partition("?")
    return HttpRequest(vector.get("method", "GET"), path, query, headers, body)


def accept(request: HttpRequest) -> None:
    token = request.headers.get("x-amz-security-token")
    credentials = Credentials(SUITE["access_key_id"], SUITE["secret_access_key"], token)
    identity = verify(request, lambda _: credentials, epoch(SUITE["amz_date"]))
    assert identity.body.check(request.body) == request.body


@pytest.mark.parametrize("vector", SUITE["vectors"], ids=lambda vector: vector["name"])
def test_what_aws_says_is_signed_right_is_accepted(vector: dict[str, Any]) -> None:
    accept(suite_request(vector))


@pytest.mark.parametrize("vector", SUITE["vectors"], ids=lambda vector: vector["name"])
def test_with_one_digit_of_the_signature_changed_it_is_refused(vector: dict[str, Any]) -> None:
    last = "0" if vector["signature"][-1] != "0" else "1"
    with pytest.raises(ServiceError) as caught:
        accept(suite_request(vector | {"signature": vector["signature"][:-1] + last}))
    assert caught.value.status in (400, 403)


def test_the_suite_is_whole() -> None:
    assert len(SUITE["vectors"]) == 32
