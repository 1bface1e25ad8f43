"""The way of one invocation through a loaded model: decode, predict, encode.

Steps that are plain run on the model's thread (see `runner`), one invocation after the other or
many as one batch (see `batching`). A model with an `async` step is driven on the event loop.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from intermodal_serving import codecs, handlers, models
from intermodal_serving.batching import Batcher
from intermodal_serving.context import Context
from intermodal_serving.handlers import Handler, Handlers
from intermodal_serving.invocation import Invocation
from intermodal_serving.messages import Answer, Body
from intermodal_serving.settings import Settings

logger = logging.getLogger("serve")

# The vendor's toolkit gives these to input_fn as text and everything else as bytes.
_TEXT_TYPES = frozenset({codecs.JSON, codecs.CSV})


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
        self._predict = found.predict_fn or _default_predict_fn(model, found)
        self._output = found.output_fn or Handler("output_fn", _encode)
        self._batcher = _batcher(settings, found, self._predict, model)

    @property
    def batch_limit(self) -> int:
        """How many invocations `run` may get at once."""
        return self._batcher.limit if self._batcher else 1

    def run(self, invocations: Sequence[Invocation]) -> None:
        """Give each invocation its outcome, whatever the handlers raise; on the model's thread."""
        if self._batcher is None or len(invocations) == 1:
            for invocation in invocations:
                self._run_one(invocation)
            return
        decoded = [each for each in invocations if self._decode(each)]
        self._batcher.predict(decoded)
        for invocation in decoded:
            if invocation.outcome is None:
                self._finish(invocation)

    async def drive(self, invocation: Invocation, in_thread: "InThread") -> None:
        """The same for a model with `async` steps; on the event loop."""

        async def call(handler: Handler, *arguments: Any) -> Any:
            bound = functools.partial(handler, *arguments, context=invocation.context)
            return await bound() if handler.is_async else await in_thread(bound)

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
                result = await call(self._output, prediction, accept)
                invocation.encode_s = (
                    perf_counter() - started - invocation.decode_s - invocation.predict_s
                )
            invocation.outcome = _to_answer(result, accept, invocation.context, name)
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
            result = self._output(invocation.prediction, accept, context=context)
            invocation.outcome = _to_answer(result, accept, context, self._output.name)
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
            invocation.outcome = _to_answer(
                result, invocation.accepted[0], invocation.context, self._transform.name
            )
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
            invocation.outcome = error
        invocation.predict_s = perf_counter() - started

    def _accept(self, invocation: Invocation) -> str:
        if self._owns_output:
            return invocation.accepted[0]
        return codecs.choose_encoder(invocation.accepted)

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


def _default_predict_fn(model: Any, found: Handlers) -> Handler:
    if found.transform_fn is not None:
        return found.transform_fn  # never called as predict_fn
    predict = models.default_predictor(model)
    return Handler("predict_fn", lambda data, _: predict(data))


def _encode(prediction: Any, media_type: str) -> tuple[bytes, str]:
    return codecs.encode(prediction, media_type), media_type


def _users_body(body: Body, content_type: codecs.ContentType) -> str | bytes:
    if content_type.media_type in _TEXT_TYPES:
        return codecs.decode_text(body, content_type.charset)
    return bytes(body)


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
        if content_type in codecs.ENCODED:
            context.response_headers["content-type"] = content_type
        else:
            context.set_header("content-type", content_type)
    return Answer(context.status, bytes(body), context.response_headers)
