"""The HTTP surface of a serving container: which path and method answer what.

The way of a request is `App.handle`. Every error answer has one form:
`{"error": message, "type": name, "hint": ..., "request_id": ...}`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

import orjson

from intermodal_contract.serving_http import (
    BIDIRECTIONAL_STREAM_PATH,
    EXECUTION_PARAMETERS_PATH,
    INVOCATIONS_PATH,
    METRICS_PATH,
    PING_PATH,
    REQUEST_ID_HEADER,
)
from intermodal_serving import metrics
from intermodal_serving.access_log import access_line, slow_line
from intermodal_serving.board import Board, Row
from intermodal_serving.context import Container, Context
from intermodal_serving.errors import (
    BadRequestError,
    ModelTimeoutError,
    NotOfferedError,
    NotReadyError,
    PayloadTooLargeError,
    RequestError,
    UnsupportedMediaTypeError,
)
from intermodal_serving.invocation import Invocation
from intermodal_serving.media_types import negotiate, parse_content_type
from intermodal_serving.messages import Answer, Request
from intermodal_serving.pipeline import LoadedModel, system_properties
from intermodal_serving.runner import Runner
from intermodal_serving.sessions import Sessions
from intermodal_serving.settings import MAX_REQUEST_SIZE, MIB, TIMEOUT, Settings
from intermodal_serving.streaming import WHOLE, Outgoing, Stream
from intermodal_serving.tracebacks import describe, user_traceback

if TYPE_CHECKING:
    from intermodal_serving.websocket import Conversation

logger = logging.getLogger("serve")

Route = Callable[[Request], None]

JSON_HEADERS = {"content-type": "application/json"}
_UPGRADE_HEADERS = {
    "upgrade": "websocket",
    "connection": "upgrade",
    "sec-websocket-version": "13",
}


class App:
    """The application of one worker.

    Args:
        settings: the limits.
        runner: runs the model.
        board: what all workers say.
        row: what this one says.
    """

    def __init__(self, settings: Settings, runner: Runner, board: Board, row: Row) -> None:
        self._settings = settings
        self._runner = runner
        self._board = board
        self._row = row
        self._system_properties = system_properties(settings)
        self._in_flight: dict[Invocation, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: dict[Outgoing, None] = {}
        sessions_dir = settings.sessions_dir or settings.base_dir / "sessions"
        self._container = Container(Sessions(sessions_dir, settings.session_s), runner.in_turn)
        self._routes: dict[str, dict[str, Route]] = {
            PING_PATH: {"GET": self._ping, "HEAD": self._ping},
            INVOCATIONS_PATH: {"POST": self._invoke},
            BIDIRECTIONAL_STREAM_PATH: {"GET": self._converse, "POST": self._converse},
            EXECUTION_PARAMETERS_PATH: {
                "GET": self._execution_parameters,
                "HEAD": self._execution_parameters,
            },
            METRICS_PATH: {"GET": self._metrics, "HEAD": self._metrics},
        }
        self.model: LoadedModel | None = None
        """Set once the model can be asked."""

        self.is_draining = False
        """Set once the end has come: `/ping` says so."""

    @property
    def routes(self) -> Mapping[str, frozenset[str]]:
        """The methods that each path takes."""
        return {path: frozenset(methods) for path, methods in self._routes.items()}

    def handle(self, request: Request) -> None:
        """Answer one request, now or later."""
        try:
            if request.refusal is not None:
                self._refuse(request)
            else:
                self._route(request)
        except RequestError as error:
            headers = _UPGRADE_HEADERS if error.status == 426 else None
            self._reply_error(request, error, headers=headers)
        except Exception:
            logger.exception("an error of the server itself")
            self._reply_error(request, RequestError("the server failed; its log tells why"), 500)

    def watch(self) -> None:
        """End what ran out of time; called again and again."""
        late = self._settings.timeout_s
        now = monotonic()
        for invocation in list(self._in_flight):
            if now - invocation.submitted_at >= late:
                self._give_up(invocation)
        for stream in list(self._streams):
            stream.judge(now, late, self._settings.stream_timeout_s)

    def _route(self, request: Request) -> None:
        methods = self._routes.get(request.path) or self._find_route(request.path)
        if methods is None and (request.method, request.path) == ("OPTIONS", "*"):
            methods = dict.fromkeys(["GET", "HEAD", "POST"], self._ping)  # of the server as a whole
        if methods is None:
            raise _NotFoundError(f"there is no path `{request.path[:200]}`")
        route = methods.get(request.method)
        if route is not None:
            route(request)
            return
        allowed = ", ".join([*methods, "OPTIONS"])
        if request.method == "OPTIONS":
            self._reply(request, Answer(204, b"", {"allow": allowed}))
            return
        error = _MethodNotAllowedError(f"`{request.path}` takes {allowed}, not {request.method}")
        self._reply_error(request, error, headers={"allow": allowed})

    def _find_route(self, path: str) -> dict[str, Route] | None:  # noqa: ARG002 - for subclasses
        """The methods of a path that is none of the fixed ones."""
        return None

    def _refuse(self, request: Request) -> None:
        status, message = request.refusal or (400, "")
        hint = f"{MAX_REQUEST_SIZE} sets the limit, in bytes" if status == 413 else None
        if status == 413:
            message += f" ({self._settings.max_request_bytes / MIB:g} MB)"
        kind = PayloadTooLargeError if status == PayloadTooLargeError.status else BadRequestError
        self._reply_error(request, kind(message, hint=hint), status)

    def _ping(self, request: Request) -> None:
        status = 503
        if self._board.is_stuck(self._settings.timeout_s):
            state = "Stuck"
        elif self.is_draining:
            state = "Draining"
        elif self._board.is_ready or self._settings.multi_model:
            state, status = "Healthy", 200
        else:
            state = "Loading"
        self._reply(request, Answer(status, orjson.dumps({"status": state}), JSON_HEADERS))

    def _execution_parameters(self, request: Request) -> None:
        parameters = {
            "MaxConcurrentTransforms": self._board.wanted * self._settings.max_batch_size,
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": max(1, self._settings.max_request_bytes // MIB),
        }
        self._reply(request, Answer(200, orjson.dumps(parameters), JSON_HEADERS))

    def _metrics(self, request: Request) -> None:
        text = metrics.exposition(self._board)
        self._reply(request, Answer(200, text.encode(), {"content-type": metrics.CONTENT_TYPE}))

    def _invoke(self, request: Request) -> None:
        if self.model is None:
            raise NotReadyError("the model is still loading", hint="ask /ping first")
        self._submit(request, self.model, self._system_properties)

    def _submit(self, request: Request, model: LoadedModel, properties: dict[str, Any]) -> None:
        content_type = accept = None
        for name, value in request.headers:
            if name == b"content-type":
                content_type = value.decode("latin-1")
            elif name == b"accept":
                accept = value.decode("latin-1")
            elif name == b"content-encoding" and value.strip().lower() != b"identity":
                raise UnsupportedMediaTypeError(
                    f"the content encoding `{value.decode('latin-1')[:40]}` is not read here",
                    hint="send it as it is",
                )
        invocation = Invocation(
            model,
            request,
            Context(properties, request.headers, self._container),
            parse_content_type(content_type),
            negotiate(accept, self._settings.default_accept),
            self._deliver,
        )
        self._in_flight[invocation] = None
        request.on_gone = invocation.abandon
        if model.is_async:
            self._start(invocation, self._drive(model, invocation))
        else:
            self._runner.submit(invocation)

    def _start(self, invocation: Invocation, steps: Coroutine[Any, Any, None]) -> None:
        invocation.task = self._keep(asyncio.ensure_future(steps))

    def _keep(self, task: "asyncio.Task[None]") -> "asyncio.Task[None]":
        """The event loop itself would forget it."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _drive(self, model: LoadedModel, invocation: Invocation) -> None:
        await model.drive(invocation, self._runner.in_turn)
        self._deliver(invocation)

    def _deliver(self, invocation: Invocation) -> None:
        """The model has spoken."""
        self._in_flight.pop(invocation, None)
        invocation.request.on_gone = None  # the two would keep each other in memory
        request, outcome = invocation.request, invocation.outcome
        if invocation.is_abandoned:
            if isinstance(outcome, Stream):
                self._keep(asyncio.ensure_future(outcome.close(self._runner.in_turn)))
            return
        if isinstance(outcome, Answer):
            self._reply(request, outcome)
        elif isinstance(outcome, Stream):
            self._deliver_stream(invocation, outcome)
            return
        elif isinstance(outcome, RequestError):
            self._reply_error(request, outcome, context=invocation.context)
        else:
            assert outcome is not None  # noqa: S101 - whoever delivers has set it
            identity = invocation.context.request_id
            logger.error("request %s failed\n%s", identity, user_traceback(outcome))
            self._reply(request, _error_answer(500, describe(outcome), outcome, identity))
        self._observe(invocation)

    def _deliver_stream(self, invocation: Invocation, stream: Stream) -> None:
        if stream.first is None:
            # A plain handler gave what only the event loop can advance.
            self._in_flight[invocation] = None
            invocation.request.on_gone = invocation.abandon
            self._start(invocation, self._begin_stream(invocation, stream))
            return
        self._row.count_status(stream.context.status)
        outgoing = Outgoing(invocation, stream, self._runner.in_turn, self._stream_ended)
        self._streams[outgoing] = None

    async def _begin_stream(self, invocation: Invocation, stream: Stream) -> None:
        try:
            invocation.outcome = await stream.begin_async()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
            invocation.outcome = error
        self._deliver(invocation)

    def _stream_ended(self, stream: Outgoing) -> None:
        del self._streams[stream]
        invocation = stream.invocation
        if self._settings.access_log:
            line = access_line(
                invocation.request,
                stream.status,
                stream.size_bytes,
                request_id=invocation.context.request_id,
                stream=stream.end,
            )
            logger.info("access %s", line)
        if stream.end == WHOLE:
            self._observe(invocation)

    def _converse(self, request: Request) -> None:
        """Answer with a WebSocket."""
        asked = request.header(b"upgrade"), request.header(b"sec-websocket-version")
        if (asked[0] or b"").lower() != b"websocket" or asked[1] != b"13":
            raise _UpgradeRequiredError(f"`{request.path}` takes WebSockets of version 13 only")
        if self._settings.multi_model:
            raise NotOfferedError("a multi-model container takes no bidirectional streams")
        if self.model is None:
            raise NotReadyError("the model is still loading", hint="ask /ping first")
        context = Context(self._system_properties, request.headers, self._container)
        if not self.model.converses:
            raise NotOfferedError(
                "the model takes no bidirectional streams",
                hint="define `async def stream_fn(messages, model, context)` in code/inference.py",
            )
        from intermodal_serving.websocket import Conversation

        limit = self._settings.max_request_bytes
        conversation = Conversation(request, context, limit, self._conversation_ended)
        self._row.count_status(101)
        conversation.start(self.model.converse)

    def _conversation_ended(self, conversation: "Conversation") -> None:
        if self._settings.access_log:
            line = access_line(
                conversation.request,
                101,
                conversation.bytes_out,
                request_id=conversation.request_id,
                bytes_in=conversation.bytes_in,
                messages_in=conversation.messages_in,
                messages_out=conversation.messages_out,
                close=conversation.close_code,
            )
            logger.info("access %s", line)

    def _give_up(self, invocation: Invocation) -> None:
        del self._in_flight[invocation]
        if invocation.is_abandoned:
            return  # its client left
        invocation.abandon()
        if invocation.task is not None:
            invocation.task.cancel()
        error = ModelTimeoutError(
            f"the model gave no answer within {self._settings.timeout_s:g} s",
            hint=f"{TIMEOUT} sets how long it may take",
        )
        self._reply_error(invocation.request, error, context=invocation.context)

    def _observe(self, invocation: Invocation) -> None:
        total_s = monotonic() - invocation.request.began_at
        phases = self._row.phases
        phases["queue"].observe(invocation.queue_s)
        phases["decode"].observe(invocation.decode_s)
        phases["predict"].observe(invocation.predict_s)
        phases["encode"].observe(invocation.encode_s)
        phases["total"].observe(total_s)
        slow_s = self._settings.slow_request_s
        if slow_s is not None and total_s > slow_s:
            logger.warning("slow request %s", slow_line(invocation, total_s))

    def _reply_error(
        self,
        request: Request,
        error: RequestError,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        context: Context | None = None,
    ) -> None:
        identity = (context or Context({}, request.headers)).request_id
        status = status or error.status
        # One line without control characters, whatever the client sent.
        reason = " ".join(error.message.split())
        reason = reason if reason.isprintable() else ascii(reason)
        logger.info("request %s: %d %s", identity, status, reason)
        answer = _error_answer(status, error.message, error, identity)
        self._reply(request, Answer(status, answer.body, {**answer.headers, **(headers or {})}))

    def _reply(self, request: Request, answer: Answer) -> None:
        self._row.count_status(answer.status)
        if self._settings.access_log:
            logger.info("access %s", access_line(request, answer.status, len(answer.body)))
        request.connection.answer(request, answer)


class _NotFoundError(RequestError):
    status = 404


class _MethodNotAllowedError(RequestError):
    status = 405


class _UpgradeRequiredError(RequestError):
    status = 426


def _error_answer(status: int, message: str, error: BaseException, identity: str) -> Answer:
    name = "BadRequestError" if type(error).__name__.startswith("_") else type(error).__name__
    content = {"error": message, "type": name, "request_id": identity}
    if isinstance(error, RequestError) and error.hint:
        content["hint"] = error.hint
    body = (
        orjson.dumps(content)
        if _is_utf8(message)
        else orjson.dumps({**content, "error": ascii(message)})
    )
    return Answer(status, body, {**JSON_HEADERS, REQUEST_ID_HEADER.lower(): identity})


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
