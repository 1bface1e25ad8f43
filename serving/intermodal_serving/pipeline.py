"""The way of one invocation through the model: decode, predict, encode, and on which thread.

The model is loaded and run by a few threads of its own (one by default), so that the event loop
always answers `/ping`. Steps that are `async` run on the event loop instead.
"""

import asyncio
import functools
import gc
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias, TypeVar

from intermodal_serving import codecs, handlers, models, requirements
from intermodal_serving.context import Context
from intermodal_serving.errors import ModelLoadError, ModelTimeoutError, NotReadyError, RequestError
from intermodal_serving.handlers import Handler, Handlers
from intermodal_serving.settings import Settings
from intermodal_serving.tracebacks import describe

logger = logging.getLogger("serve")

T = TypeVar("T")

# The vendor's toolkit gives these to input_fn as text and everything else as bytes.
_TEXT_TYPES = frozenset({codecs.JSON, codecs.CSV})


class State(Enum):
    """Whether the model can be asked."""

    LOADING = "Loading"
    READY = "Healthy"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response to be: everything but the connection's own headers."""

    status: int
    body: bytes
    headers: dict[str, str]


class HandlerError(Exception):
    """A handler or the model raised something that is no answer for a client."""


@dataclass(frozen=True, slots=True)
class _Request:
    """What the steps need of a request; `accepted` has at least one media type, dearest first."""

    body: bytes | bytearray
    content_type: codecs.ContentType
    accepted: list[str]


# The steps of one request: each yields what to call and is sent the result. So the same steps run
# whole on a model thread, or one by one around handlers that are async.
Steps: TypeAlias = Generator[tuple[Handler, tuple[Any, ...]], Any, Answer]
StepsOf: TypeAlias = Callable[[Context, _Request], Steps]


class Pipeline:
    """The model of this process, from its loading to its answers.

    Args:
        settings: where the model is and how it is run.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.predict_threads, "model")
        self._running_since: dict[int, float] = {}
        self._steps_of: StepsOf | None = None
        self._is_async = False
        self._system_properties: dict[str, Any] = {
            "model_dir": str(settings.model_dir),
            "gpu_id": None,
            "batch_size": 1,
        }
        self.state = State.LOADING

    def new_context(self, headers: list[tuple[bytes, bytes]]) -> Context:
        """A context for one request."""
        return Context(self._system_properties, headers)

    async def load(self) -> None:
        """Import the user's code and load the model, off the event loop.

        Raises:
            ModelLoadError: it cannot be served; its cause is the user's own error, if there is one.
        """
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        failure = await loop.run_in_executor(self._threads, self._load_safely, loop)
        if failure is not None:
            self.state = State.FAILED
            raise failure
        # What is loaded stays: the collector need not walk over it again and again.
        gc.collect()
        gc.freeze()
        self.state = State.READY
        logger.info("the model is ready after %.2f s", time.monotonic() - started)

    async def answer(self, context: Context, body: bytes | bytearray, accept: str | None) -> Answer:
        """What the model says to one request.

        Raises:
            RequestError: an answer other than success, for the client to read.
            HandlerError: its cause is what a handler or the model raised.
        """
        if self._steps_of is None:
            raise NotReadyError("the model is still loading", hint="ask /ping first")
        content_type = codecs.parse_content_type(context.headers.get("content-type"))
        accepted = codecs.negotiate(accept, self._settings.default_accept)
        steps = self._steps_of(context, _Request(body, content_type, accepted))
        limit_s = self._settings.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                if self._is_async:
                    return await self._drive(steps, context)
                return await self._in_thread(functools.partial(_drive_here, steps, context))
        except TimeoutError:
            raise ModelTimeoutError(
                f"the model gave no answer within {limit_s:g} s",
                hint="SAGEMAKER_MODEL_SERVER_TIMEOUT sets how long it may take",
            ) from None

    @property
    def is_stuck(self) -> bool:
        """Whether every thread is busy with a request that ran out of time."""
        if self.state is not State.READY:
            return False
        late = time.monotonic() - self._settings.timeout_s
        running = list(self._running_since.values())
        stuck = sum(since < late for since in running)
        return stuck >= self._settings.predict_threads

    @property
    def is_running(self) -> bool:
        """Whether a thread still loads or predicts, so that the interpreter could not end."""
        return bool(self._running_since)

    def _load_safely(self, loop: asyncio.AbstractEventLoop) -> ModelLoadError | None:
        self._running_since[threading.get_ident()] = time.monotonic()
        try:
            self._load(loop)
        except ModelLoadError as error:
            return error
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
            failure = ModelLoadError(describe(error))
            failure.__cause__ = error
            return failure
        finally:
            del self._running_since[threading.get_ident()]
        return None

    def _load(self, loop: asyncio.AbstractEventLoop) -> None:
        settings = self._settings
        models.set_thread_count(settings.cpus)
        requirements.install_requirements(handlers.code_folder(settings), settings.base_dir)
        found = Handlers()
        if (program := handlers.find_program(settings)) is not None:
            logger.info("importing %s", program)
            found = handlers.read_handlers(handlers.import_program(program))
        model = self._load_model(found, loop)
        self._is_async = found.is_async
        if found.transform_fn is not None:
            self._steps_of = _transform_steps(found.transform_fn, model)
        else:
            self._steps_of = _staged_steps(found, model)

    def _load_model(self, found: Handlers, loop: asyncio.AbstractEventLoop) -> Any:
        if found.model_fn is None:
            return models.load_default_model(self._settings)
        context = self.new_context([])
        model = found.model_fn(str(self._settings.model_dir), context=context)
        return _await_on(loop, model) if found.model_fn.is_async else model

    async def _in_thread(self, function: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(self._threads, self._timed, function)
        if isinstance(outcome, RequestError | HandlerError):
            raise outcome
        return outcome

    def _timed(self, function: Callable[[], T]) -> T | RequestError | HandlerError:
        thread = threading.get_ident()
        self._running_since[thread] = time.monotonic()
        try:
            return function()
        except BaseException as error:  # noqa: BLE001 - sys.exit in a handler must not end the loop
            return _for_client_or_log(error)
        finally:
            del self._running_since[thread]

    async def _drive(self, steps: Steps, context: Context) -> Answer:
        result = None
        while True:
            try:
                handler, arguments = steps.send(result)
                call = functools.partial(handler, *arguments, context=context)
                result = await call() if handler.is_async else await self._in_thread(call)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # what the steps return
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 - as in _timed
                failure = _for_client_or_log(error)
                break
        raise failure


def _transform_steps(handler: Handler, model: Any) -> StepsOf:
    def steps(context: Context, request: _Request) -> Steps:
        kind, accept = request.content_type, request.accepted[0]
        arguments = (model, _users_body(request), kind.media_type, accept)
        result = yield handler, arguments
        return _to_answer(result, accept, context, handler.name)

    return steps


def _staged_steps(found: Handlers, model: Any) -> StepsOf:
    own_input, own_output = found.input_fn, found.output_fn
    input_fn = own_input or _default_input_fn(model, takes_values=found.predict_fn is not None)
    predict_fn = found.predict_fn or _default_predict_fn(model)
    output_fn = own_output or Handler("output_fn", _encode)

    def steps(context: Context, request: _Request) -> Steps:
        kind = request.content_type
        accept = request.accepted[0] if own_output else codecs.choose_encoder(request.accepted)
        if own_input:
            data = yield input_fn, (_users_body(request), kind.media_type)
        else:
            data = yield input_fn, (request.body, kind)
        prediction = yield predict_fn, (data, model)
        result = yield output_fn, (prediction, accept)
        return _to_answer(result, accept, context, output_fn.name)

    return steps


def _drive_here(steps: Steps, context: Context) -> Answer:
    result = None
    while True:
        try:
            handler, arguments = steps.send(result)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # what _steps returns
        result = handler(*arguments, context=context)


def _for_client_or_log(error: BaseException) -> RequestError | HandlerError:
    if isinstance(error, RequestError | HandlerError):
        return error
    wrapped = HandlerError(str(error))
    wrapped.__cause__ = error
    return wrapped


def _default_input_fn(model: Any, *, takes_values: bool) -> Handler:
    return Handler("input_fn", models.default_decoder(model, takes_values=takes_values))


def _default_predict_fn(model: Any) -> Handler:
    predict = models.default_predictor(model)
    return Handler("predict_fn", lambda data, _: predict(data))


def _encode(prediction: Any, media_type: str) -> tuple[bytes, str]:
    return codecs.encode(prediction, media_type), media_type


def _await_on(loop: asyncio.AbstractEventLoop, result: Awaitable[Any]) -> Any:
    async def wait() -> Any:
        return await result

    return asyncio.run_coroutine_threadsafe(wait(), loop).result()


def _users_body(request: _Request) -> str | bytes:
    if request.content_type.media_type in _TEXT_TYPES:
        return codecs.decode_text(request.body, request.content_type.charset)
    return bytes(request.body)


def _to_answer(result: Any, accept: str, context: Context, name: str) -> Answer:
    body, content_type = result, accept
    if isinstance(result, tuple) and len(result) == 2:
        body, content_type = result
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(
            f"{name} returned a {type(body).__name__}; it must return bytes or str, "
            "or (body, content type)"
        )
    if "content-type" not in context.response_headers:
        context.set_header("content-type", content_type)
    return Answer(context.status, bytes(body), context.response_headers)
