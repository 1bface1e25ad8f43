"""SageMaker Runtime: asynchronous invocations, accepted here and worked on later.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from intermodal_contract.channel import InvalidS3UriError, parse_s3_uri
from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.lifecycle.async_inference.accepted import accepted, config_of
from intermodal_engine.lifecycle.fleet_kind import ENDPOINT
from intermodal_engine.lifecycle.fleet_state import deployment_of
from intermodal_engine.services.call import Call, Parameters
from intermodal_engine.store.async_requests import AsyncRequest
from intermodal_engine.store.objects.errors import InvalidKeyError
from intermodal_engine.store.objects.keys import check_key
from intermodal_engine.store.records import Record
from intermodal_engine.wire.errors import ServiceError

INLINE_LIMIT_BYTES = 128_000
"""Of a body that comes with the request."""


async def invoke_endpoint_async(call: Call, parameters: Parameters) -> Parameters:
    """Accepts a request; from here on it is not lost. Its result will lie at `OutputLocation`."""
    body = await _body(parameters.pop("Body", b""))
    _check_input(parameters, body)
    request = await asyncio.to_thread(_accept, call, parameters, body or None)
    answer = {
        "InferenceId": request.parameters["InferenceId"],
        "OutputLocation": request.places["output"],
    }
    if "failure" in request.places:
        answer["FailureLocation"] = request.places["failure"]
    return answer


def _accept(call: Call, parameters: Parameters, body: bytes | None) -> AsyncRequest:
    record = _endpoint(call, parameters["EndpointName"])
    variant, config = _asynchronous(record)
    request = accepted(
        config,
        parameters,
        body,
        endpoint_since=record.created_at,
        variant=variant,
        region=call.region,
        now=call.backends.clock.now(),
    )
    try:
        check_key(parse_s3_uri(request.places["output"]).key)
    except InvalidKeyError as error:
        raise ServiceError("ValidationError", f"the result cannot be stored: {error}") from error
    call.backends.async_inference.accept(request)
    return request


def _endpoint(call: Call, name: str) -> Record:
    """An endpoint that has been in service.

    Raises:
        ServiceError: there is none.
    """
    record = call.backends.records.find(ENDPOINT.name, name)
    if record is None or record.state["current"] is None or record.status in _GONE:
        raise ServiceError(
            "ValidationError", f"Endpoint {name} of account {call.account_id} not found."
        )
    return record


_GONE = (EndpointStatus.DELETING, EndpointStatus.FAILED)


def _asynchronous(record: Record) -> tuple[str, Mapping[str, Any]]:
    """The variant, and `AsyncInferenceConfig`.

    Raises:
        ServiceError: the endpoint has none.
    """
    variants = deployment_of(record.state, record.state["current"])["variants"]
    for name, variant in variants.items():
        config = config_of(variant)
        if config is not None:
            return name, config
    raise ServiceError(
        "ValidationError",
        f"Endpoint {record.name} has no AsyncInferenceConfig and does not support asynchronous "
        "invocations. Call InvokeEndpoint.",
    )


async def _body(body: bytes | AsyncIterator[bytes]) -> bytes:
    if isinstance(body, bytes):
        return body
    whole = b""
    async for chunk in body:
        whole += chunk
        if len(whole) > INLINE_LIMIT_BYTES:
            raise ServiceError(
                "ValidationError",
                "1 validation error detected: Value at 'body' failed to satisfy constraint: Member "
                f"must have length less than or equal to {INLINE_LIMIT_BYTES}. Upload the input to "
                "S3 and name it in InputLocation.",
            )
    return whole


def _check_input(parameters: Parameters, body: bytes) -> None:
    """Exactly one input.

    Raises:
        ServiceError: none, two, or one that cannot be read.
    """
    location = parameters.get("InputLocation")
    if bool(location) == bool(body):
        raise ServiceError("ValidationError", "Provide exactly one of Body and InputLocation.")
    if location:
        try:
            uri = parse_s3_uri(location)
        except InvalidS3UriError as error:
            raise ServiceError(
                "ValidationError", f"InputLocation: {error.message}; {error.hint}"
            ) from error
        if not uri.key:
            raise ServiceError(
                "ValidationError", f"InputLocation: `{location}` names a bucket and no object in it"
            )
