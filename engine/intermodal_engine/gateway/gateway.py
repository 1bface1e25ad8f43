"""The life of a request, from the socket to the operation and back; `Gateway._answer` lists it."""

import asyncio
import inspect
import json
import logging
import os
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

from intermodal_contract.local_engine import HEALTH_PATH, METRICS_PATH
from intermodal_engine.gateway import internal
from intermodal_engine.gateway.exchange import Exchange, Receive, Scope, Send
from intermodal_engine.gateway.origin import Origins
from intermodal_engine.identity import Caller, KeyRing
from intermodal_engine.lifecycle.job_sessions import is_current
from intermodal_engine.services.call import (
    Backends,
    Call,
    Operation,
    PlainOperation,
    StreamingOperation,
)
from intermodal_engine.services.throttling import throttled
from intermodal_engine.store.space import is_disk_full
from intermodal_engine.wire import refusals, sigv4
from intermodal_engine.wire.dialect import dialect_of
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest, HttpResponse
from intermodal_engine.wire.parse import parse
from intermodal_engine.wire.query import parse_query
from intermodal_engine.wire.route import Route, needs_body, resolve
from intermodal_engine.wire.serialize import serialize, serialize_error
from intermodal_engine.wire.validate import validate

# The largest request of the control plane that AWS takes is far smaller; what is larger than this
# has its body streamed.
BODY_LIMIT_BYTES = 16 << 20
WORKERS = 16

_log = logging.getLogger(__name__)

Operations = Callable[[str, str], Operation]
"""Service name and operation name to the operation. Raises ServiceError where there is none."""


@dataclass(frozen=True, slots=True)
class _Signer:
    caller: Caller
    proof: sigv4.Identity


SMALL_BODY_BYTES = 64 << 10
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
_TAKE_WHOLE_BODIES = frozenset({"sagemaker-runtime"})


class Gateway:
    """The ASGI application.

    Args:
        keys: who may call.
        operations: finds operations.
        backends: what operations work on.
        origins: the names under which the engine may be spoken to.
        health: what the health answer tells besides status and pid.
        metrics: makes the text that Prometheus reads, of how many requests are under way.
    """

    def __init__(
        self,
        keys: KeyRing,
        operations: Operations,
        backends: Backends,
        origins: Origins,
        health: Mapping[str, object],
        metrics: Callable[[int], bytes],
    ) -> None:
        self._origins = origins
        self._keys = keys
        self._operations = operations
        self._backends = backends
        self._health = health
        self._metrics = metrics
        self._under_way = 0
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="operation")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        self._under_way += 1
        try:
            await self._serve(scope, receive, send)
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """Lets go of the worker threads; the operations under way end first."""
        self._workers.shutdown()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        request_id = str(uuid.uuid4())
        response = await self._answer(exchange, request_id)
        try:
            await exchange.answer(response)
        except Exception:  # noqa: BLE001 - too late for an error answer; the server cuts the line
            _log.exception("request %s: the answer broke off", request_id)

    async def _answer(self, exchange: Exchange, request_id: str) -> HttpResponse:
        request = exchange.request
        route: Route | None = None
        try:
            self._origins.check(request)
            if request.path == HEALTH_PATH:
                return self._answer_health(request_id)
            if _asks_for_metrics(request):
                return await self._answer_metrics(request_id)
            if _confirms(request):
                return await self._confirm(request, request_id)
            if internal.is_internal(request):
                return await self._answer_owner(exchange, request_id)
            signer = self._verify(request)
            body_check = signer.proof.body
            if needs_body(request, signer.proof.signing_name):
                request.body = body_check.check(await exchange.read(BODY_LIMIT_BYTES))
            route = resolve(request, signer.proof.signing_name)
            operation = self._operations(route.service_name, route.operation_name)
            self._check_rate(route.service_name)
            call = self._call(request, request_id, signer)
            if _is_worth_streaming(operation, route, request):
                request.stream = body_check.wrap(exchange.stream())
            elif not request.body:
                request.body = body_check.check(await exchange.read(BODY_LIMIT_BYTES))
            if inspect.iscoroutinefunction(operation):
                return await _perform_on_loop(operation, call, route, request)
            work = _Work(cast("PlainOperation", operation), call, route, request)
            return await asyncio.get_running_loop().run_in_executor(self._workers, work.perform)
        except ServiceError as error:
            return serialize_error(route, error, request_id, request)
        except Exception as error:  # noqa: BLE001 - the request boundary
            _log.exception("request %s: %s %s", request_id, request.method, request.path)
            failure = _internal_failure(request_id, error)
            return serialize_error(route, failure, request_id, request)

    async def _answer_owner(self, exchange: Exchange, request_id: str) -> HttpResponse:
        """What the command line asks; see `gateway/internal.py`."""
        request = exchange.request
        try:
            internal.authorize(self._keys, request)
            request.body = await exchange.read(internal.BODY_LIMIT_BYTES)
            return await asyncio.get_running_loop().run_in_executor(
                self._workers, internal.perform, self._backends, request, request_id
            )
        except ServiceError as error:
            return internal.refuse(error, request_id)

    async def _confirm(self, request: HttpRequest, request_id: str) -> HttpResponse:
        """Subscribers fetch SNS's `SubscribeURL` as it is: the token in it says who they are."""
        route = resolve(request, "sns")
        operation = self._operations("sns", route.operation_name)
        settings = self._backends.settings
        call = Call(
            *(self._backends, request_id, settings.region, settings.account_id, ""),
            headers=request.headers,
        )
        work = _Work(cast("PlainOperation", operation), call, route, request)
        return await asyncio.get_running_loop().run_in_executor(self._workers, work.perform)

    def _answer_health(self, request_id: str) -> HttpResponse:
        body = json.dumps({"status": "ok", "pid": os.getpid(), **self._health}).encode()
        headers = [("Content-Type", "application/json"), ("x-amzn-RequestId", request_id)]
        return HttpResponse(200, headers, body)

    async def _answer_metrics(self, request_id: str) -> HttpResponse:
        body = await asyncio.get_running_loop().run_in_executor(
            self._workers, self._metrics, self._under_way
        )
        headers = [("Content-Type", _EXPOSITION), ("x-amzn-RequestId", request_id)]
        return HttpResponse(200, headers, body)

    def _verify(self, request: HttpRequest) -> _Signer:
        """Checks the signature of all but the body; the result checks that as it is read."""
        found: list[Caller] = []

        def lookup(access_key_id: str) -> sigv4.Credentials | None:
            caller = self._keys.caller(access_key_id, request.headers, request.query)
            if caller is None:
                return None
            found.append(caller)
            return caller.credentials

        proof = sigv4.verify(request, lookup, self._backends.clock.now())
        job = found[-1].job
        if job is not None and not is_current(self._backends.records, job):
            raise refusals.expired_session(dialect_of(request))
        return _Signer(found[-1], proof)

    def _check_rate(self, service_name: str) -> None:
        if self._backends.throttle.hits(service_name):
            raise throttled(service_name)

    def _call(self, request: HttpRequest, request_id: str, signer: _Signer) -> Call:
        return Call(
            backends=self._backends,
            request_id=request_id,
            region=signer.proof.region,
            account_id=self._backends.settings.account_id,
            access_key_id=signer.proof.access_key_id,
            headers=request.headers,
            role=signer.caller.role,
            session=signer.caller.session,
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """What a worker thread does, so that neither large documents nor the disk hold others up."""

    operation: PlainOperation
    call: Call
    route: Route
    request: HttpRequest

    def perform(self) -> HttpResponse:
        parameters = parse(self.route, self.request)
        validate(self.route, parameters)
        return serialize(self.route, self.operation(self.call, parameters), self.call.request_id)


async def _perform_on_loop(
    operation: StreamingOperation, call: Call, route: Route, request: HttpRequest
) -> HttpResponse:
    parameters = parse(route, request)
    validate(route, parameters)
    return serialize(route, await operation(call, parameters), call.request_id)


def _asks_for_metrics(request: HttpRequest) -> bool:
    """Prometheus signs nothing; whoever does means a bucket of that name."""
    is_bare = not request.query and "authorization" not in request.headers
    return request.path == METRICS_PATH and request.method == "GET" and is_bare


def _confirms(request: HttpRequest) -> bool:
    """Whether it is the one operation that needs no signature."""
    if request.method != "GET" or request.path != "/" or "authorization" in request.headers:
        return False
    query = parse_query(request.query)
    return query.get("Action") == ["ConfirmSubscription"] and "X-Amz-Signature" not in query


def _is_worth_streaming(operation: Operation, route: Route, request: HttpRequest) -> bool:
    """Whether an operation gets its body as it comes; one that takes either gets small ones whole.

    A small body is there already, and a stream of it costs more than the rest of an invocation.
    """
    if not (inspect.iscoroutinefunction(operation) and route.streams_input):
        return False
    length = request.headers.get("content-length", "")
    is_small = length.isdigit() and int(length) <= SMALL_BODY_BYTES
    return not (is_small and route.service_name in _TAKE_WHOLE_BODIES)


def _internal_failure(request_id: str, error: Exception) -> ServiceError:
    if is_disk_full(error):
        return ServiceError(
            "InternalFailure",
            "no space is left on the file system of the engine's home; nothing was stored. Free "
            "some space, for example with `intermodal prune`",
            status=500,
        )
    return ServiceError(
        "InternalFailure",
        f"the engine failed on this request; its log says why under `{request_id}`",
        status=500,
    )
