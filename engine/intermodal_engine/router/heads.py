"""How the head of a request to an instance is written."""

from collections.abc import Mapping
from typing import Any

from intermodal_contract.serving_http import TARGET_MODEL_HEADER

REQUEST_HEADERS = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
    "SessionId": "X-Amzn-SageMaker-Session-Id",
    "TargetModel": TARGET_MODEL_HEADER,
}
"""What an instance gets to see of a request to the runtime, by the members that carry it."""


def request_head(
    method: str, path: str, host: str, headers: Mapping[str, str], content_length: int
) -> bytes:
    """A request's first line and headers.

    Args:
        method: upper case.
        path: as it shall be sent.
        host: for the `Host` header.
        headers: names and values without line breaks.
        content_length: of the body, in bytes.
    """
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {content_length}\r\n\r\n")
    return "\r\n".join(lines).encode("latin-1")


def headers_of(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The headers of a request to an instance, from the parameters of a call to the runtime."""
    return {
        header: parameters[member]
        for member, header in REQUEST_HEADERS.items()
        if parameters.get(member) is not None
    }
