"""How a request goes to an instance, and through it.

It goes to the model, or to the one of many that it names; to the containers one after the other, or
to the one of them that it names.

https://docs.aws.amazon.com/sagemaker/latest/dg/inference-pipelines.html
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus

from intermodal_engine.router.connection import Answer, AnswerStream
from intermodal_engine.router.errors import (
    ConnectFailedError,
    ConnectionLostError,
    ContainerMissingError,
    ContainerNotSupportedError,
    ModelNotReadyError,
    RouterError,
    Step,
    TargetMissingError,
    TargetNotSupportedError,
    UnknownContainerError,
    status_of,
)
from intermodal_engine.router.heads import request_head
from intermodal_engine.router.instance import Link, Watched
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
        container: which of several containers answered.
        steps: what each of several containers did.
    """

    answer: Answer
    sent: float
    finish: Callable[[], None]
    container: str = ""
    steps: tuple[Step, ...] = ()


async def exchange(watched: Watched, invocation: Invocation, timeout_s: float) -> Exchanged:
    """Sends a request to an instance.

    Args:
        watched: the instance.
        invocation: the request.
        timeout_s: for the whole answer, and for the load of the model that it needs.

    Raises:
        RouterError: as `Connection.exchange` and `InstanceModels.take` do.
        TargetMissingError, TargetNotSupportedError, ContainerMissingError,
        ContainerNotSupportedError, UnknownContainerError: the request does not suit the instance.
        ModelNotReadyError: its model is loading still.
    """
    links = _links_for(watched, invocation)
    _check_target(links, invocation)
    if not watched.backend.containers:
        return await _exchange_with(links[0], invocation, timeout_s)
    return await _exchange_in_turn(links, invocation, timeout_s)


def _links_for(watched: Watched, invocation: Invocation) -> Sequence[Link]:
    """The containers that work on a request."""
    wanted = invocation.target_container
    if not watched.backend.is_direct:
        if wanted is not None:
            raise ContainerNotSupportedError(wanted)
        return watched.links
    if wanted is None:
        raise ContainerMissingError(invocation.path)
    found = [link for link in watched.links if link.container.name == wanted]
    if not found:
        raise UnknownContainerError(wanted)
    return found


def _check_target(links: Sequence[Link], invocation: Invocation) -> None:
    serves_many = any(link.models is not None for link in links)
    if serves_many and invocation.target_model is None:
        raise TargetMissingError(invocation.path)
    if not serves_many and invocation.target_model is not None:
        raise TargetNotSupportedError(invocation.target_model)


# Several containers.


async def _exchange_in_turn(
    links: Sequence[Link], invocation: Invocation, timeout_s: float
) -> Exchanged:
    """Each container gets what the one before it has answered, with its content type.

    An answer of 400 and more is the last one.
    """
    ends_at = time.perf_counter() + timeout_s
    began = time.perf_counter()
    steps: list[Step] = []
    for number, link in enumerate(links):
        is_first, is_last = number == 0, number == len(links) - 1
        sent = time.perf_counter()
        asked = invocation if is_last else _without_accept(invocation)
        try:
            exchanged = await _ask(link, asked, max(0.0, ends_at - sent), is_first=is_first)
        except RouterError as error:
            error.container = error.container or link.container.name
            failed = Step(link.container.name, status_of(error), time.perf_counter() - sent)
            error.steps = (*steps, failed)
            raise
        status = exchanged.answer.status
        steps.append(Step(link.container.name, status, time.perf_counter() - sent))
        if is_last or status >= HTTPStatus.BAD_REQUEST:
            break
        invocation = await _next(invocation, exchanged, link.container.name)
    return replace(exchanged, sent=began, container=link.container.name, steps=tuple(steps))


async def _ask(
    link: Link, invocation: Invocation, timeout_s: float, *, is_first: bool
) -> Exchanged:
    """One container's answer; what a later one cannot do, no other instance shall do anew."""
    body = invocation.body
    try:
        return await _exchange_with(link, invocation, timeout_s)
    except ConnectFailedError as error:
        if is_first:
            raise
        raise ConnectionLostError(str(error)) from error
    except ConnectionLostError as error:
        if is_first or not error.is_stale or not isinstance(body, bytes):
            raise
        link.pool.flush()
        return await _exchange_with(link, invocation, timeout_s)
    finally:
        if isinstance(body, _Relayed):
            await body.aclose()


class _Relayed:
    """A long answer on its way to the next container.

    Args:
        stream: from the container before.
        container: its name.
    """

    def __init__(self, stream: AnswerStream, container: str) -> None:
        self._stream = stream
        self._container = container
        self._is_over = False

    def __aiter__(self) -> "_Relayed":
        return self

    async def __anext__(self) -> bytes:
        """The next chunk. See `AnswerStream`."""
        try:
            return await self._stream.__anext__()
        except BaseException as error:
            self._is_over = True
            if isinstance(error, RouterError):
                error.container = self._container
            raise

    async def aclose(self) -> None:
        """Lets go of what has not been read; once it was, others use the connection."""
        if not self._is_over:
            self._is_over = True
            await self._stream.aclose()


def _without_accept(invocation: Invocation) -> Invocation:
    """What the client wants to get is the last container's business."""
    headers = {name: one for name, one in invocation.headers.items() if name != "Accept"}
    return replace(invocation, headers=headers)


async def _next(invocation: Invocation, exchanged: Exchanged, container: str) -> Invocation:
    """The request for the container after the one that has answered."""
    answer = exchanged.answer
    headers = {name: one for name, one in invocation.headers.items() if name != "Content-Type"}
    if "content-type" in answer.headers:
        headers["Content-Type"] = answer.headers["content-type"]
    if isinstance(answer.body, bytes):
        exchanged.finish()
        return replace(invocation, headers=headers, body=answer.body, content_length=None)
    answer.body.on_end(exchanged.finish)
    relayed = _Relayed(answer.body, container)
    length = answer.headers.get("content-length")
    if length is not None:
        return replace(invocation, headers=headers, body=relayed, content_length=int(length))
    whole = b"".join([chunk async for chunk in relayed])
    return replace(invocation, headers=headers, body=whole, content_length=None)


# One container.


async def _exchange_with(link: Link, invocation: Invocation, timeout_s: float) -> Exchanged:
    target = invocation.target_model
    if link.models is None or target is None:
        return await _send(link, invocation, invocation.path, timeout_s, nothing)
    return await _exchange_with_model(link, link.models, invocation, target, timeout_s)


async def _exchange_with_model(
    link: Link, models: InstanceModels, invocation: Invocation, target: str, timeout_s: float
) -> Exchanged:
    while True:
        model = await _take(models, target, timeout_s)
        finish = partial(models.give_back, model)
        path = f"{model.path}/invoke"
        exchanged = await _send(link, invocation, path, timeout_s, finish)
        is_whole = isinstance(exchanged.answer.body, bytes) and isinstance(invocation.body, bytes)
        if exchanged.answer.status != HTTPStatus.NOT_FOUND or not is_whole:
            return exchanged
        try:
            has_lost = await models.has_lost(model)
        except BaseException:
            finish()
            raise
        if not has_lost:
            return exchanged
        finish()


async def _take(models: InstanceModels, target: str, timeout_s: float) -> Model:
    try:
        async with asyncio.timeout(timeout_s):
            return await models.take(target)
    except TimeoutError:
        raise ModelNotReadyError(target) from None


async def _send(
    link: Link,
    invocation: Invocation,
    path: str,
    timeout_s: float,
    finish: Callable[[], None],
) -> Exchanged:
    body = invocation.body
    is_stream = not isinstance(body, bytes)
    sent = time.perf_counter()
    try:
        # A stream cannot be sent twice, so it never goes over a connection that has ended.
        connection = await link.pool.acquire(sound=is_stream)
        head = _head(link, invocation, path)
        return Exchanged(await connection.exchange(head, body, timeout_s), sent, finish)
    except BaseException:
        finish()
        raise


def _head(link: Link, invocation: Invocation, path: str) -> bytes:
    body = invocation.body
    length = len(body) if isinstance(body, bytes) else invocation.content_length or 0
    return request_head("POST", path, link.host, invocation.headers, length)


def nothing() -> None:
    """What a request needs at its end that has taken nothing."""
