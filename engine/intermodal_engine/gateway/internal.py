"""Requests of the engine's owner, outside AWS's protocols: JSON in, JSON out, under one path.

Who sends the token that is derived from the home's secret can read the home, and so is its owner. A
job's credentials are of no use here, and nothing that a browser sends for a page comes in.
"""

import json
from typing import Any
from urllib.parse import unquote

from intermodal_engine.identity import KeyRing
from intermodal_engine.services.call import Backends
from intermodal_engine.services.internal import find_task
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest, HttpResponse

PREFIX = "/_intermodal/"
BODY_LIMIT_BYTES = 64 << 10
_SCHEME = "Bearer "


def is_internal(request: HttpRequest) -> bool:
    """Whether a request is none of AWS's; no bucket can have such a name."""
    return request.path.startswith(PREFIX)


def authorize(keys: KeyRing, request: HttpRequest) -> None:
    """Lets the owner in.

    Raises:
        ServiceError: `AccessDenied`.
    """
    if "origin" in request.headers:
        raise ServiceError("AccessDenied", "this path is not for web pages", status=403)
    sent = request.headers.get("authorization", "")
    if not (sent.startswith(_SCHEME) and keys.is_owner(sent.removeprefix(_SCHEME))):
        raise ServiceError(
            "AccessDenied",
            "this path takes the token of the engine's owner only; use the command `intermodal`, "
            "as the user whose home folder it is",
            status=403,
        )


def perform(backends: Backends, request: HttpRequest, request_id: str) -> HttpResponse:
    """Does what was asked.

    Raises:
        ServiceError: it cannot be done.
    """
    if request.method != "POST":
        raise ServiceError("MethodNotAllowed", "this path takes POST only", status=405)
    task = find_task(unquote(request.path).removeprefix(PREFIX))
    try:
        parameters = json.loads(request.body)
    except ValueError as error:
        raise ServiceError("ValidationException", f"the body is not JSON: {error}") from error
    if not isinstance(parameters, dict):
        raise ServiceError("ValidationException", "the body is not a JSON object")
    return _answer(200, task(backends, parameters), request_id)


def refuse(error: ServiceError, request_id: str) -> HttpResponse:
    """The answer that says why not."""
    document = {"code": error.code, "message": error.message, **error.fields}
    return _answer(error.status or 400, document, request_id)


def _answer(status: int, document: dict[str, Any], request_id: str) -> HttpResponse:
    headers = [("Content-Type", "application/json"), ("x-amzn-RequestId", request_id)]
    return HttpResponse(status, headers, json.dumps(document).encode())
