"""SageMaker Runtime: invocations, streamed both ways between the client and an instance.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from collections.abc import AsyncIterator
from typing import Any

from intermodal_engine.lifecycle.fleet_kind import COMPONENT, ENDPOINT
from intermodal_engine.router.errors import (
    ContainerMissingError,
    ContainerNotSupportedError,
    InvalidTargetError,
    ModelLoadError,
    ModelNotReadyError,
    TargetMissingError,
    TargetNotSupportedError,
    UnknownContainerError,
)
from intermodal_engine.router.heads import headers_of
from intermodal_engine.router.instance import target_of
from intermodal_engine.router.router import (
    AnswerTimeoutError,
    AsynchronousError,
    ComponentRequiredError,
    ConnectFailedError,
    InvalidAnswerError,
    Invocation,
    InvocationResult,
    NoCapacityError,
    NoHealthyInstanceError,
    OverloadedError,
    RouterError,
    ThrottledError,
    UnknownEndpointError,
    UnknownSessionError,
    UnknownVariantError,
)
from intermodal_engine.services.async_invocations import invoke_endpoint_async
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.wire.errors import ServiceError

BODY_LIMIT_BYTES = 25 << 20
STREAM_TIMEOUT_S = 480.0
"""How long an answer may take that is streamed: AWS allows 8 minutes."""

# A body up to this size is read before it is sent, so that it can be sent to another instance.
REPLAYABLE_BYTES = 1 << 20
_ERROR_TEXT_LIMIT_BYTES = 64 << 10
_ONLY = "primary"
_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container {container}. Review the "
    "latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)

# AWS strips every other header on both ways.
_ANSWER_HEADERS = {
    "ContentType": "content-type",
    "CustomAttributes": "x-amzn-sagemaker-custom-attributes",
    "NewSessionId": "x-amzn-sagemaker-new-session-id",
    "ClosedSessionId": "x-amzn-sagemaker-closed-session-id",
}

# AWS's own words.
_COMPONENT_REQUIRED = (
    "Inference Component Name header is required for endpoints to which you plan to deploy "
    "inference components. Please include Inference Component Name header or consider using "
    "SageMaker models."
)
_COMPONENT_NOT_ALLOWED = (
    "Inference Component Name header is not allowed for endpoints to which you dont plan to deploy "
    "inference components. Please remove the Inference Component Name header and try again."
)
_NO_CAPACITY = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be "
    "in-progress (if configured) or try to increase the capacity by invoking "
    "UpdateInferenceComponentRuntimeConfig API."
)

NOT_SERVED = {
    "EnableExplanations": "Endpoint {endpoint} has no explainer.",
    "PrefixAwareId": "Endpoint {endpoint} does not route by prefix.",
}
"""Members of a request whose meaning this engine cannot give yet."""


async def invoke_endpoint(call: Call, parameters: Parameters) -> Parameters:
    """Sends a request to one of the endpoint's instances and hands its answer back."""
    result = await _invoke(call, parameters)
    return {
        "Body": result.body,
        "InvokedProductionVariant": result.variant,
        **_answer_headers(result),
    }


async def invoke_endpoint_with_response_stream(call: Call, parameters: Parameters) -> Parameters:
    """Sends a request to one of the endpoint's instances and hands its answer on as it comes."""
    result = await _invoke(call, parameters, STREAM_TIMEOUT_S)
    members = {
        "ContentType": result.headers.get("content-type"),
        "CustomAttributes": result.headers.get("x-amzn-sagemaker-custom-attributes"),
    }
    return {
        "Body": _payload_parts(result.body),
        "InvokedProductionVariant": result.variant,
        **{name: value for name, value in members.items() if value is not None},
    }


OPERATIONS: dict[str, Operation] = {
    "InvokeEndpoint": invoke_endpoint,
    "InvokeEndpointAsync": invoke_endpoint_async,
    "InvokeEndpointWithResponseStream": invoke_endpoint_with_response_stream,
}


async def _invoke(
    call: Call, parameters: Parameters, timeout_s: float | None = None
) -> InvocationResult:
    """One invocation whose instance answered well.

    Raises:
        ServiceError: nobody did, or the model refused.
    """
    endpoint = parameters["EndpointName"]
    _check_served(endpoint, parameters)
    invocation = Invocation(
        path="/invocations",
        headers=headers_of(parameters),
        body=await _body(call, parameters["Body"]),
        content_length=_content_length(call),
        target_variant=parameters.get("TargetVariant"),
        target_model=_unicode(parameters.get("TargetModel")),
        target_container=parameters.get("TargetContainerHostname"),
        session_id=parameters.get("SessionId"),
        timeout_s=timeout_s,
    )
    try:
        target = target_of(endpoint, parameters.get("InferenceComponentName", ""))
        result = await call.backends.router.invoke(target, invocation)
    except RouterError as error:
        raise _failure(call, parameters, error) from None
    if result.status >= 400:
        raise _model_error(call, parameters, result.status, await _text(result), result.container)
    return result


async def _payload_parts(body: bytes | AsyncIterator[bytes]) -> AsyncIterator[Parameters]:
    """The answer as events; one that breaks off ends with AWS's exception for it."""
    if isinstance(body, bytes):
        if body:
            yield {"PayloadPart": {"Bytes": body}}
        return
    try:
        async for chunk in body:
            yield {"PayloadPart": {"Bytes": chunk}}
    except RouterError as error:
        code = (
            "ModelInvocationTimeExceeded"
            if isinstance(error, AnswerTimeoutError)
            else ("StreamBroken")
        )
        raise ServiceError(
            "ModelStreamError", f"the answer broke off: {error}", fields={"ErrorCode": code}
        ) from error
    finally:
        aclose = getattr(body, "aclose", None)
        if aclose is not None:
            await aclose()


def _check_served(endpoint: str, parameters: Parameters) -> None:
    """Refuses what would else be ignored in silence.

    Raises:
        ServiceError: with the member's name.
    """
    for member, why in NOT_SERVED.items():
        if parameters.get(member) is not None:
            raise ServiceError(
                "ValidationError",
                f"{why.format(endpoint=endpoint)} (intermodal's engine does not serve `{member}` "
                "yet)",
            )


def _unicode(header: str | None) -> str | None:
    """A header's text; HTTP takes it for Latin-1, and clients write UTF-8."""
    if header is None or header.isascii():
        return header
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def _answer_headers(result: InvocationResult) -> dict[str, str]:
    return {
        member: result.headers[header]
        for member, header in _ANSWER_HEADERS.items()
        if header in result.headers
    }


async def _body(call: Call, body: bytes | AsyncIterator[bytes]) -> bytes | AsyncIterator[bytes]:
    """The whole body where it is short, else the stream, which ends with an error past the limit.

    Raises:
        ServiceError: the client says already that it is too long.
    """
    length = _content_length(call)
    if length is not None and length > BODY_LIMIT_BYTES:
        raise _too_long()
    if isinstance(body, bytes):
        return body
    limited = _limited(body)
    if length is not None and length > REPLAYABLE_BYTES:
        return limited
    return b"".join([chunk async for chunk in limited])


async def _limited(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    size_bytes = 0
    async for chunk in body:
        size_bytes += len(chunk)
        if size_bytes > BODY_LIMIT_BYTES:
            raise _too_long()
        yield chunk


def _content_length(call: Call) -> int | None:
    length = call.headers.get("content-length")
    return int(length) if length is not None else None


async def _text(result: InvocationResult) -> str:
    """What a failed answer says, as far as it goes into an error."""
    if isinstance(result.body, bytes):
        return result.body[:_ERROR_TEXT_LIMIT_BYTES].decode("utf-8", "replace")
    text = b""
    async for chunk in result.body:
        text += chunk[: _ERROR_TEXT_LIMIT_BYTES - len(text)]
    return text.decode("utf-8", "replace")


def _failure(call: Call, parameters: Parameters, error: RouterError) -> ServiceError:
    """What AWS answers where an instance did not."""
    endpoint = parameters["EndpointName"]
    if isinstance(error, ComponentRequiredError):
        return ServiceError("ValidationError", _COMPONENT_REQUIRED)
    if isinstance(error, AsynchronousError):
        return ServiceError(
            "ValidationError",
            f"Endpoint {endpoint} takes asynchronous invocations alone. Call InvokeEndpointAsync.",
        )
    if isinstance(error, NoCapacityError):
        return ServiceError("ValidationError", _NO_CAPACITY)
    if isinstance(error, ThrottledError):
        # As AWS has it for a serverless endpoint; its clients try again.
        return ServiceError("ThrottlingException", f"Rate exceeded: {error}", status=429)
    if isinstance(error, UnknownEndpointError) and "InferenceComponentName" in parameters:
        return _no_such_component(call, endpoint, parameters["InferenceComponentName"])
    if isinstance(error, UnknownEndpointError):
        return ServiceError(
            "ValidationError", f"Endpoint {endpoint} of account {call.account_id} not found."
        )
    if isinstance(error, UnknownVariantError):
        return ServiceError(
            "ValidationError", f"Variant {error} not found for endpoint {endpoint}."
        )
    if isinstance(error, UnknownSessionError):
        return ServiceError(
            "ValidationError",
            f"Session {error} of endpoint {endpoint} does not exist, has expired, or its instance "
            "is gone. Open another one with `SessionId` NEW_SESSION.",
        )
    if isinstance(error, TargetNotSupportedError):
        return ServiceError(
            "ValidationError",
            f"Endpoint {endpoint} is not a multi-model endpoint and does not support target model "
            "header.",
        )
    if isinstance(error, TargetMissingError):
        return ServiceError(
            "ValidationError", f"Request {call.request_id} is missing a target model header."
        )
    if isinstance(error, InvalidTargetError):
        return ServiceError("ValidationError", str(error))
    if isinstance(error, ContainerNotSupportedError):
        return ServiceError(
            "ValidationError",
            f"Endpoint {endpoint} is not configured for direct invocation and does not support "
            "target container hostname header.",
        )
    if isinstance(error, ContainerMissingError):
        return ServiceError(
            "ValidationError",
            f"Request {call.request_id} is missing a target container hostname header.",
        )
    if isinstance(error, UnknownContainerError):
        return ServiceError(
            "ValidationError", f"Container {error} not found for endpoint {endpoint}."
        )
    if isinstance(error, ModelNotReadyError):
        return ServiceError(
            "ModelNotReadyException",
            f"Model {error} is not ready for inference: it is still being downloaded or loaded. "
            "Wait and try your request again.",
        )
    if isinstance(error, ModelLoadError):
        return _model_error(call, parameters, error.status, str(error), error.container)
    if isinstance(error, AnswerTimeoutError):
        text = _TIMED_OUT.format(container=error.container or _ONLY)
        return _model_error(call, parameters, 0, text, error.container)
    if isinstance(error, InvalidAnswerError):
        return _model_error(call, parameters, 0, str(error), error.container)
    return _unavailable(endpoint, error)


def _no_such_component(call: Call, endpoint: str, component: str) -> ServiceError:
    if not call.backends.router.is_known(endpoint):
        message = f"Endpoint {endpoint} of account {call.account_id} not found."
    elif call.backends.router.has_components(endpoint):
        message = (
            f"Inference Component {component} of endpoint {endpoint} of account {call.account_id} "
            "not found."
        )
    else:
        message = _COMPONENT_NOT_ALLOWED
    return ServiceError("ValidationError", message)


def _too_long() -> ServiceError:
    return ServiceError(
        "ValidationError",
        "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must "
        f"have length less than or equal to {BODY_LIMIT_BYTES}",
    )


def _unavailable(endpoint: str, error: RouterError) -> ServiceError:
    """AWS's clients send a request again after this one."""
    if isinstance(error, NoHealthyInstanceError):
        why = "none of its instances is healthy"
    elif isinstance(error, OverloadedError):
        why = str(error)
    elif isinstance(error, ConnectFailedError):
        why = f"its instances cannot be connected to ({error})"
    else:
        container = f"{error.container}: " if error.container else ""
        why = f"the instance that had the request is gone ({container}{error})"
    return ServiceError(
        "ServiceUnavailable",
        f"The service is unavailable. Try your call again. Endpoint `{endpoint}`: {why}.",
    )


def _model_error(
    call: Call, parameters: Parameters, status: int, text: str, container: str
) -> ServiceError:
    """The container's own failure, in AWS's words up to where its log is."""
    side = "client" if 400 <= status < 500 else "server"
    who = container or _ONLY
    component = parameters.get("InferenceComponentName")
    kind, name = (COMPONENT, component) if component else (ENDPOINT, parameters["EndpointName"])
    group = f"{kind.log_group_prefix}{name}"
    fields: dict[str, Any] = {
        "OriginalStatusCode": status,
        "OriginalMessage": text,
        "LogStreamArn": f"arn:aws:logs:{call.region}:{call.account_id}:log-group:{group}",
    }
    return ServiceError(
        "ModelError",
        f'Received {side} error ({status}) from {who} with message "{text}". See the log group '
        f"{group} in account {call.account_id} (`intermodal logs {name}`) for more "
        "information.",
        fields=fields,
    )
