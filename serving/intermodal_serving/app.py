"""The HTTP surface of a serving container: which path and method answer what.

A raw ASGI application; its way of a request is `__call__`, read top to bottom. Every error answer
has one form: `{"error": message, "type": name, "hint": ..., "request_id": ...}`.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import orjson

from intermodal_contract.serving_http import (
    EXECUTION_PARAMETERS_PATH,
    INVOCATIONS_PATH,
    PING_PATH,
    REQUEST_ID_HEADER,
)
from intermodal_serving.context import Context
from intermodal_serving.errors import (
    BadRequestError,
    PayloadTooLargeError,
    RequestError,
    UnsupportedMediaTypeError,
)
from intermodal_serving.pipeline import Answer, HandlerError, Pipeline, State
from intermodal_serving.settings import MAX_REQUEST_SIZE, MIB, Settings
from intermodal_serving.tracebacks import describe, user_traceback

logger = logging.getLogger("serve")

Scope: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
Route: TypeAlias = Callable[[Context, Receive], Awaitable[Answer | None]]

_JSON_HEADERS = {"content-type": "application/json"}


class App:
    """The application.

    Args:
        settings: the limits.
        pipeline: the model.
    """

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._routes: dict[str, dict[str, Route]] = {
            PING_PATH: {"GET": self._ping, "HEAD": self._ping},
            INVOCATIONS_PATH: {"POST": self._invoke},
            EXECUTION_PARAMETERS_PATH: {
                "GET": self._execution_parameters,
                "HEAD": self._execution_parameters,
            },
        }
        self.is_draining = False
        """Set once SIGTERM came: `/ping` says so, and every connection ends with its response."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (https://asgi.readthedocs.io, HTTP)."""
        context = self._pipeline.new_context(scope["headers"])
        try:
            answer = await self._route(scope, context, receive)
        except RequestError as error:
            answer = _error_answer(error.status, error.message, error, context)
            reason = " ".join(error.message.split())  # one line, whatever the client sent
            logger.info("request %s: %d %s", context.request_id, error.status, reason)
        except HandlerError as error:
            answer = _broken_handler(error.__cause__ or error, context)
        except Exception:
            logger.exception("request %s: an error of the server itself", context.request_id)
            error_answer = RequestError("the server failed; its log tells why")
            answer = _error_answer(500, error_answer.message, error_answer, context)
        if answer is not None:
            # A client that waits for `100 Continue` may never send the body that was not read.
            is_last = self.is_draining or (answer.status >= 400 and "expect" in context.headers)
            await _send(answer, send, is_last=is_last)

    async def _route(self, scope: Scope, context: Context, receive: Receive) -> Answer | None:
        methods = self._routes.get(scope["path"])
        if methods is None:
            return _plain_error(404, f"there is no path `{scope['path'][:200]}`", context)
        route = methods.get(scope["method"])
        if route is not None:
            return await route(context, receive)
        allowed = {"allow": ", ".join([*methods, "OPTIONS"])}
        if scope["method"] == "OPTIONS":
            return Answer(204, b"", allowed)
        message = f"`{scope['path']}` takes {allowed['allow']}, not {scope['method']}"
        return _plain_error(405, message, context, allowed)

    async def _ping(self, context: Context, receive: Receive) -> Answer:  # noqa: ARG002 - a route
        state = self._pipeline.state.value
        if self._pipeline.is_stuck:
            state = "Stuck"
        elif self.is_draining:
            state = "Draining"
        status = 200 if state == State.READY.value else 503
        return Answer(status, orjson.dumps({"status": state}), _JSON_HEADERS)

    async def _execution_parameters(self, context: Context, receive: Receive) -> Answer:  # noqa: ARG002 - a route
        parameters = {
            "MaxConcurrentTransforms": self._settings.predict_threads,
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": max(1, self._settings.max_request_bytes // MIB),
        }
        return Answer(200, orjson.dumps(parameters), _JSON_HEADERS)

    async def _invoke(self, context: Context, receive: Receive) -> Answer | None:
        encoding = context.headers.get("content-encoding", "identity").strip().lower()
        if encoding != "identity":
            raise UnsupportedMediaTypeError(
                f"the content encoding `{encoding[:40]}` is not read here", hint="send it as it is"
            )
        body = await self._read_body(context, receive)
        if body is None:
            return None
        return await self._pipeline.answer(context, body, context.headers.get("accept"))

    async def _read_body(self, context: Context, receive: Receive) -> bytes | bytearray | None:
        """The whole body; None if the client left before its end."""
        limit = self._settings.max_request_bytes
        if _content_length(context) > limit:
            raise self._too_large(limit)
        message = await receive()
        body: bytes | bytearray = message.get("body", b"")
        if message.get("more_body"):
            body = bytearray(body)
        while message.get("more_body"):
            if len(body) > limit:
                raise self._too_large(limit)
            message = await receive()
            body += message.get("body", b"")
        if message["type"] == "http.disconnect":
            return None
        if len(body) > limit:
            raise self._too_large(limit)
        return body

    @staticmethod
    def _too_large(limit: int) -> PayloadTooLargeError:
        return PayloadTooLargeError(
            f"the body is over the limit of {limit} bytes ({limit / MIB:g} MB)",
            hint=f"{MAX_REQUEST_SIZE} sets the limit, in bytes",
        )


async def _send(answer: Answer, send: Send, *, is_last: bool) -> None:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()
    ]
    headers.append((b"content-length", b"%d" % len(answer.body)))
    if is_last:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _content_length(context: Context) -> int:
    text = context.headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise BadRequestError("the Content-Length is not a number")
    return int(text)


def _broken_handler(error: BaseException, context: Context) -> Answer:
    logger.error("request %s failed\n%s", context.request_id, user_traceback(error))
    return _error_answer(500, describe(error), error, context)


def _plain_error(
    status: int, message: str, context: Context, headers: Mapping[str, str] | None = None
) -> Answer:
    answer = _error_answer(status, message, BadRequestError(message), context)
    return Answer(status, answer.body, {**answer.headers, **(headers or {})})


def _error_answer(status: int, message: str, error: BaseException, context: Context) -> Answer:
    content = {"error": message, "type": type(error).__name__, "request_id": context.request_id}
    if isinstance(error, RequestError) and error.hint:
        content["hint"] = error.hint
    body = (
        orjson.dumps(content)
        if _is_utf8(message)
        else orjson.dumps({**content, "error": ascii(message)})
    )
    return Answer(status, body, {**_JSON_HEADERS, REQUEST_ID_HEADER.lower(): context.request_id})


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
