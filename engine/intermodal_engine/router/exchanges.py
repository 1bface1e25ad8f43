"""How a request goes to an instance: to its model, or to the one of many that it names."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from intermodal_engine.router.connection import Answer, request_head
from intermodal_engine.router.errors import (
    ModelNotReadyError,
    TargetMissingError,
    TargetNotSupportedError,
)
from intermodal_engine.router.instance import Watched
from intermodal_engine.router.invocation import Invocation
from intermodal_engine.router.model import Model
from intermodal_engine.router.multi_model import InstanceModels


@dataclass(frozen=True, slots=True)
class Exchanged:
    """An answer whose body may still be coming.

    Attributes:
        answer: the instance's.
        sent: when the request went to it, by `time.perf_counter`.
        finish: to be called when the answer has ended.
    """

    answer: Answer
    sent: float
    finish: Callable[[], None]


async def exchange(watched: Watched, invocation: Invocation, timeout_s: float) -> Exchanged:
    """Sends a request to an instance.

    Args:
        watched: the instance.
        invocation: the request.
        timeout_s: for the whole answer, and for the load of the model that it needs.

    Raises:
        RouterError: as `Connection.exchange` and `InstanceModels.take` do.
        TargetMissingError, TargetNotSupportedError: the request does not suit the instance.
        ModelNotReadyError: its model is loading still.
    """
    target = invocation.target_model
    if watched.models is None:
        if target is not None:
            raise TargetNotSupportedError(target)
        return await _send(watched, invocation, invocation.path, timeout_s, _nothing)
    if target is None:
        raise TargetMissingError(invocation.path)
    return await _exchange_with_model(watched, watched.models, invocation, target, timeout_s)


async def _exchange_with_model(
    watched: Watched, models: InstanceModels, invocation: Invocation, target: str, timeout_s: float
) -> Exchanged:
    while True:
        model = await _take(models, target, timeout_s)
        finish = partial(models.give_back, model)
        path = f"{model.path}/invoke"
        exchanged = await _send(watched, invocation, path, timeout_s, finish)
        is_whole = isinstance(exchanged.answer.body, bytes) and isinstance(invocation.body, bytes)
        if exchanged.answer.status != HTTPStatus.NOT_FOUND or not is_whole:
            return exchanged
        if not await models.has_lost(model):
            return exchanged
        finish()


async def _take(models: InstanceModels, target: str, timeout_s: float) -> Model:
    try:
        async with asyncio.timeout(timeout_s):
            return await models.take(target)
    except TimeoutError:
        raise ModelNotReadyError(target) from None


async def _send(
    watched: Watched,
    invocation: Invocation,
    path: str,
    timeout_s: float,
    finish: Callable[[], None],
) -> Exchanged:
    body = invocation.body
    is_stream = not isinstance(body, bytes)
    sent = time.perf_counter()
    try:
        # A stream cannot be sent twice, so it never goes over a connection that may be dead.
        connection = await watched.pool.acquire(fresh=is_stream)
        head = _head(watched, invocation, path)
        return Exchanged(await connection.exchange(head, body, timeout_s), sent, finish)
    except BaseException:
        finish()
        raise


def _head(watched: Watched, invocation: Invocation, path: str) -> bytes:
    body = invocation.body
    length = len(body) if isinstance(body, bytes) else invocation.content_length or 0
    host = f"{watched.backend.host}:{watched.backend.port}"
    return request_head("POST", path, host, invocation.headers, length)


def _nothing() -> None:
    pass
