"""What an accepted request says: where its result goes, who is told, how long it may take."""

import uuid
from collections.abc import Mapping
from typing import Any

from intermodal_contract.channel import parse_s3_uri
from intermodal_engine.store.async_requests import AsyncRequest

CONCURRENCY = 4
"""Requests that an instance works on at once, where nobody has said; AWS chooses it unseen."""

TTL_S = 21_600
"""How long a request may wait, by AWS's default."""

TIMEOUT_S = 900
"""How long an instance may work on one, by AWS's default."""


def config_of(variant: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """`AsyncInferenceConfig` of a deployment's variant; None for one that answers its callers."""
    found: Mapping[str, Any] | None = variant.get("asynchronous")
    return found


def is_async(variant: Mapping[str, Any]) -> bool:
    """Whether nobody waits for a variant's answers."""
    return config_of(variant) is not None


def concurrency_of(variant: Mapping[str, Any]) -> int | None:
    """Requests that each instance of a variant works on at once; None as for `config_of`."""
    config = config_of(variant)
    if config is None:
        return None
    client = config.get("ClientConfig", {})
    return int(client.get("MaxConcurrentInvocationsPerInstance", CONCURRENCY))


def accepted(
    config: Mapping[str, Any],
    parameters: Mapping[str, Any],
    body: bytes | None,
    *,
    endpoint_since: float,
    variant: str,
    region: str,
    now: float,
) -> AsyncRequest:
    """A request as it is kept: nothing that is changed of the endpoint later changes it.

    Args:
        config: `AsyncInferenceConfig` of the endpoint in service.
        parameters: of InvokeEndpointAsync, without `Body`.
        body: the request's own, where it has no `InputLocation`.
        endpoint_since: epoch seconds at which the endpoint was created; a later one of the same
            name is another.
        variant: in whose log it is told of.
        region: told in notifications.
        now: epoch seconds.

    Raises:
        InvalidS3UriError: a place in the configuration is none.
    """
    request_id = str(uuid.uuid4())
    output = config["OutputConfig"]
    folder = _below(output["S3OutputPath"], parameters.get("S3OutputPathExtension", ""))
    places = {
        "output": _below(folder, parameters.get("Filename", f"{request_id}.out")),
        "notifications": output.get("NotificationConfig", {}),
        "region": region,
        "variant": variant,
        "endpoint_since": endpoint_since,
        "ttl_s": parameters.get("RequestTTLSeconds", TTL_S),
        "timeout_s": parameters.get("InvocationTimeoutSeconds", TIMEOUT_S),
    }
    if output.get("S3FailurePath"):
        places["failure"] = _below(output["S3FailurePath"], f"{request_id}-error.out")
    kept = {"InferenceId": str(uuid.uuid4()), **parameters}
    return AsyncRequest(request_id, parameters["EndpointName"], now, 0, kept, places, body)


def _below(folder: str, name: str) -> str:
    return str(parse_s3_uri(folder).joined(name))
