"""The way of one invocation through a loaded model: decode, predict, encode.

Steps that are plain run on the model's thread (see `runner`), one invocation after the other or
many as one batch (see `batching`). A model with an `async` step is driven on the event loop. A step
whose result is an iterator makes the answer a stream (see `streaming`).
"""

import asyncio
import functools
import importlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from intermodal_serving import decoding, encoding, handlers, models, streaming
from intermodal_serving.batching import Batcher
from intermodal_serving.context import Context
from intermodal_serving.errors import ModelLoadError, NotOfferedError
from intermodal_serving.handlers import Handler, Handlers
from intermodal_serving.invocation import Invocation
from intermodal_serving.media_types import CSV, JSON, ContentType
from intermodal_serving.messages import Answer, Body
from intermodal_serving.settings import Settings
from intermodal_serving.streaming import Stream, is_iterator

logger = logging.getLogger("serve")

# The vendor's toolkit gives these to input_fn as text and everything else as bytes.
_TEXT_TYPES = frozenset({JSON, CSV})


class LoadedModel:
    """A model in memory, and what turns requests into its answers.

    Args:
        settings: how it is run.
        found: the user's handlers.
        model: what `model_fn` or the default loader gave.
    """

    def __init__(self, settings: Settings, found: Handlers, model: Any) -> None:
        self.is_async = found.is_async
        self._model = model
        self._transform = found.transform_fn
        self._owns_output = found.output_fn is not None
        self._owns_input = found.input_fn is not None
        self._input = found.input_fn or Handler(
            "input_fn", models.default_decoder(model, takes_values=found.predict_fn is not None)
        )
        self._predict = found.predict_fn or _default_predict_fn(settings, model, found)
        self._output = found.output_fn or Handler("output_fn", _encode)
        self._batcher = _batcher(settings, found, self._predict, model)
        self._stream = found.stream_fn
        if found.stream_fn is not None:
            # Now, since a WebSocket must be accepted within 250 ms; no other model needs it.
            importlib.import_module("intermodal_serving.websocket")

    @property
    def converses(self) -> bool:
        """Whether it takes WebSockets."""
        return self._stream is not None

    def converse(self, messages: AsyncIterator[str | bytes], context: Context) -> Any:
        """What `stream_fn` gives for the messages of a WebSocket; on the event loop."""
        assert self._stream is not None  # noqa: S101 - the caller has asked
        return self._stream(messages, self._model, context=context)

    @property
    def batch_limit(self) -> int:
        """How many invocations `run` may get at once."""
        return self._batcher.limit if self._batcher else 1

    def run(
        self, invocations: Sequence[Invocation], begin: Callable[[], None] = lambda: None
    ) -> None:
        """Give each invocation its outcome, whatever the handlers raise; on the model's thread.

        Args:
            invocations: as many as `batch_limit` says, at most.
            begin: called before each call of the model.
        """
        if self._batcher is None or len(invocations) == 1:
            for invocation in invocations:
                begin()
                self._run_one(invocation)
            return
        decoded = [each for each in invocations if self._decode(each)]
        try:
            self._batcher.predict(decoded, begin)
        except BaseException as error:  # noqa: BLE001 - whatever the user's predictions are made of
            for invocation in decoded:
                invocation.outcome = invocation.outcome or error
        for invocation in decoded:
            if invocation.outcome is None:
                self._finish(invocation)

    async def drive(self, invocation: Invocation, in_thread: "InThread") -> None:
        """The same for a model with `async` steps; on the event loop."""

        async def call(handler: Handler, *arguments: Any) -> Any:
            bound = functools.partial(handler, *arguments, context=invocation.context)
            if not handler.is_async:
                return await in_thread(bound)
            return bound() if handler.is_generator else await bound()

        async def encode(prediction: Any) -> bytes:
            accept, context = self._accept(invocation), invocation.context
            if not self._output.is_async:
                encode_one = functools.partial(self._encode_item, accept, context, prediction)
                return bytes(await in_thread(encode_one))
            return _whole(await call(self._output, prediction, accept), accept, context)

        try:
            started = perf_counter()
            if self._transform is not None:
                result = await call(self._transform, *self._transform_arguments(invocation))
                invocation.predict_s = perf_counter() - started
                accept, name = invocation.accepted[0], self._transform.name
            else:
                accept, name = self._accept(invocation), self._output.name
                data = await call(self._input, *self._input_arguments(invocation))
                invocation.decode_s = perf_counter() - started
                prediction = await call(self._predict, data, self._model)
                invocation.predict_s = perf_counter() - started - invocation.decode_s
                if is_iterator(prediction) and not self._output.is_generator:
                    if not hasattr(prediction, "__anext__"):
                        prediction = streaming.in_turns(prediction, in_thread)
                    result = streaming.encoded_async(prediction, encode)
                else:
                    result = await call(self._output, prediction, accept)
                invocation.encode_s = (
                    perf_counter() - started - invocation.decode_s - invocation.predict_s
                )
            answer = _to_answer(result, accept, invocation.context, name)
            if isinstance(answer, Stream):
                started = perf_counter()
                answer = await (
                    answer.begin_async() if answer.is_async else in_thread(answer.begin)
                )
                invocation.predict_s += perf_counter() - started
            invocation.outcome = answer
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - sys.exit in a handler must not end the loop
            invocation.outcome = error

    def _run_one(self, invocation: Invocation) -> None:
        if self._transform is not None:
            self._run_transform(invocation)
        elif self._decode(invocation):
            started = perf_counter()
            try:
                invocation.prediction = self._predict(
                    invocation.data, self._model, context=invocation.context
                )
            except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
                invocation.outcome = error
            else:
                invocation.predict_s = perf_counter() - started
                self._finish(invocation)

    def _decode(self, invocation: Invocation) -> bool:
        """Whether there is data to predict from."""
        started = perf_counter()
        try:
            self._accept(invocation)  # refused before any work is done
            invocation.data = self._input(
                *self._input_arguments(invocation), context=invocation.context
            )
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
            invocation.outcome = error
            return False
        invocation.decode_s = perf_counter() - started
        return True

    def _finish(self, invocation: Invocation) -> None:
        started = perf_counter()
        try:
            accept, context = self._accept(invocation), invocation.context
            prediction = invocation.prediction
            # As `is_iterator` has it, but without the call: this is done for every request.
            is_stream = hasattr(prediction, "__next__") or hasattr(prediction, "__anext__")
            if is_stream and not self._output.is_generator:
                result = self._encoded(prediction, accept, context)
            else:
                result = self._output(prediction, accept, context=context)
            outcome = _to_answer(result, accept, context, self._output.name)
            invocation.outcome = outcome if type(outcome) is Answer else _begun(outcome)
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
            invocation.outcome = error
        invocation.encode_s = perf_counter() - started
        invocation.data = invocation.prediction = None

    def _run_transform(self, invocation: Invocation) -> None:
        assert self._transform is not None  # noqa: S101 - asked before
        started = perf_counter()
        try:
            result = self._transform(
                *self._transform_arguments(invocation), context=invocation.context
            )
            invocation.outcome = _begun(
                _to_answer(result, invocation.accepted[0], invocation.context, self._transform.name)
            )
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
            invocation.outcome = error
        invocation.predict_s = perf_counter() - started

    def _encoded(self, predictions: Any, accept: str, context: Context) -> Any:
        """The chunks of predictions that are made one by one."""
        encode = functools.partial(self._encode_item, accept, context)
        if not hasattr(predictions, "__anext__"):
            return streaming.encoded(predictions, encode)

        async def encode_async(prediction: Any) -> bytes:
            return encode(prediction)

        return streaming.encoded_async(predictions, encode_async)

    def _encode_item(self, accept: str, context: Context, prediction: Any) -> bytes:
        if self._owns_output:
            return _whole(self._output(prediction, accept, context=context), accept, context)
        media_type = encoding.stream_type(accept)
        context.response_headers.setdefault("content-type", media_type)
        return encoding.encode_item(prediction, media_type)

    def _accept(self, invocation: Invocation) -> str:
        if self._owns_output:
            return invocation.accepted[0]
        return encoding.choose_encoder(invocation.accepted)

    def _input_arguments(self, invocation: Invocation) -> tuple[Any, ...]:
        kind = invocation.content_type
        if self._owns_input:
            return _users_body(invocation.body, kind), kind.media_type
        return invocation.body, kind

    def _transform_arguments(self, invocation: Invocation) -> tuple[Any, ...]:
        kind = invocation.content_type
        body = _users_body(invocation.body, kind)
        return self._model, body, kind.media_type, invocation.accepted[0]


InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


def read_program(program: Path) -> Handlers:
    """The handlers of the user's file, imported as the only one of this process."""
    return handlers.read_handlers(handlers.import_program(program))


def load_model(
    settings: Settings,
    wait_for: Callable[[Awaitable[Any]], Any],
    read_program: Callable[[Path], Handlers] = read_program,
) -> LoadedModel:
    """Import the user's code and load the model.

    Whatever the user's code raises is passed on.

    Args:
        settings: where the model is and how it is run.
        wait_for: awaits something on the event loop, for an `async` `model_fn`.
        read_program: imports the user's file.

    Raises:
        ModelLoadError: it cannot be served.
    """
    found = Handlers()
    if (program := handlers.find_program(settings)) is not None:
        logger.info("importing %s", program)
        found = read_program(program)
    if found.model_fn is None:
        model = models.load_default_model(settings)
    else:
        context = Context(system_properties(settings))
        model = found.model_fn(str(settings.model_dir), context=context)
        if found.model_fn.is_async:
            model = wait_for(model)
    return LoadedModel(settings, found, model)


def system_properties(settings: Settings) -> dict[str, Any]:
    """What the vendor's `context.system_properties` has."""
    properties = {
        "model_dir": str(settings.model_dir),
        "gpu_id": settings.gpu_id,
        "batch_size": settings.max_batch_size,
    }
    return (
        properties
        if settings.model_name is None
        else {**properties, "model_name": settings.model_name}
    )


def _batcher(settings: Settings, found: Handlers, predict: Handler, model: Any) -> Batcher | None:
    is_asked_for = settings.max_batch_size > 1 and not (found.is_async or found.transform_fn)
    if not is_asked_for:
        return None
    if found.predict_fn is not None and found.predict_fn.is_generator:
        logger.info("predict_fn is a generator, so it gets one request at a time")
        return None
    if found.predict_fn is not None and found.predict_fn.context is not None:
        logger.info(
            "predict_fn takes a context, which is that of one request, so it gets one request at "
            "a time"
        )
        return None
    if found.predict_fn is not None and not found.predict_fn.is_batched:
        logger.info(
            "predict_fn does not say that it takes batches, so it gets one request at a time; "
            "`predict_fn.batched = True` says so"
        )
        return None
    return Batcher(
        lambda data, context: predict(data, model, context=context),
        settings.max_batch_size,
        settings.batch_latency_s,
    )


def _default_predict_fn(settings: Settings, model: Any, found: Handlers) -> Handler:
    if found.transform_fn is not None:
        return found.transform_fn  # never called as predict_fn
    try:
        predict = models.default_predictor(model, has_thread=not settings.multi_model)
    except ModelLoadError:
        if found.stream_fn is None:
            raise
        return Handler("predict_fn", _refuse_invocation)
    return Handler("predict_fn", lambda data, _: predict(data))


def _refuse_invocation(data: Any, model: Any) -> Any:  # noqa: ARG001 - a predict_fn
    raise NotOfferedError(
        "the model takes bidirectional streams only",
        hint="define predict_fn(data, model) in code/inference.py",
    )


def _encode(prediction: Any, media_type: str) -> tuple[bytes, str]:
    return encoding.encode(prediction, media_type), media_type


def _users_body(body: Body, content_type: ContentType) -> str | bytes:
    if content_type.media_type in _TEXT_TYPES:
        return decoding.decode_text(body, content_type.charset)
    return bytes(body)


def _to_answer(result: Any, accept: str, context: Context, name: str) -> Answer | Stream:
    body, content_type = result, accept
    if isinstance(result, tuple) and len(result) == 2:
        body, content_type = result
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, bytes | bytearray | memoryview):
        if is_iterator(body):
            return _to_stream(body, content_type, context, name)
        raise TypeError(
            f"{name} returned a {type(body).__name__}; it must return bytes or str, "
            "an iterator of them, or (body, content type)"
        )
    _set_content_type(content_type, context)
    return Answer(context.status, bytes(body), context.response_headers)


def _to_stream(body: Any, content_type: str, context: Context, name: str) -> Stream:
    """A stream that has not begun."""

    def encode(item: Any) -> bytes:
        chunk = streaming.as_chunk(item, name)
        _set_content_type(content_type, context)  # the handler may have, before it yielded
        return chunk

    async def encode_async(item: Any) -> bytes:
        return encode(item)

    if hasattr(body, "__anext__"):
        return Stream(streaming.encoded_async(body, encode_async), context)
    return Stream(streaming.encoded(body, encode), context)


def _begun(answer: Answer | Stream) -> Answer | Stream:
    """On the model's thread: with its first chunk, unless that comes from the event loop."""
    if isinstance(answer, Stream) and not answer.is_async:
        return answer.begin()
    return answer


def _whole(result: Any, accept: str, context: Context) -> bytes:
    """What output_fn made of one prediction of a stream."""
    answer = _to_answer(result, accept, context, "output_fn")
    if isinstance(answer, Stream):
        raise TypeError("output_fn returned an iterator for one prediction of a stream")
    return bytes(answer.body)


def _set_content_type(content_type: str, context: Context) -> None:
    if "content-type" not in context.response_headers:
        if content_type in encoding.ENCODED:
            context.response_headers["content-type"] = content_type
        else:
            context.set_header("content-type", content_type)
