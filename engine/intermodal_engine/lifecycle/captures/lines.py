"""A captured call as AWS writes it: one JSON object a line, in a file of its hour.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

import random
import time
import uuid
from binascii import b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from json.encoder import encode_basestring

from intermodal_engine.router.captures import Captured, CaptureRule

# Lines are put together by hand: a JSON encoder takes three times as long, for every call.
_quoted = encode_basestring
_UNNAMED_TYPE = "application/octet-stream"
_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"


def line_of(captured: Captured) -> bytes:
    """The line, with its line feed."""
    rule, data = captured.rule, []
    if rule.has_input:
        observed = captured.request_headers.get("Content-Type")
        data.append(_part("endpointInput", "INPUT", observed, captured.request, rule))
    if rule.has_output:
        observed = captured.answer_headers.get("content-type")
        data.append(_part("endpointOutput", "OUTPUT", observed, captured.answer, rule))
    return (
        f'{{"captureData":{{{",".join(data)}}},'
        f'"eventMetadata":{{{_metadata(captured)}}},"eventVersion":"0"}}\n'
    ).encode()


def folder_of(captured: Captured) -> str:
    """The part of the key that all calls of an hour to a variant share."""
    backend, prefix = captured.backend, captured.rule.prefix
    return _folder(prefix, backend.endpoint, backend.variant, _hour_of(int(captured.at)))


def file_name(at: float) -> str:
    """The name of a file whose first call came at that time."""
    minutes, thousandths = time.strftime("%M-%S", time.gmtime(at)), int(at * 1000) % 1000
    return f"{minutes}-{thousandths:03d}-{uuid.uuid4()}.jsonl"


def _part(
    name: str, mode: str, observed: str | None, body: Sequence[bytes], rule: CaptureRule
) -> str:
    whole = body[0] if len(body) == 1 else b"".join(body)
    data, encoding = _encoded(whole, observed or "", rule)
    return (
        f'"{name}":{{"observedContentType":{_quoted(observed or _UNNAMED_TYPE)},'
        f'"mode":"{mode}","data":{data},"encoding":"{encoding}"}}'
    )


def _encoded(body: bytes, observed: str, rule: CaptureRule) -> tuple[str, str]:
    """A JSON string: text as it is where the configuration names its type; else in base64."""
    media_type = _media_type(observed)
    for types, encoding in ((rule.csv_types, "CSV"), (rule.json_types, "JSON")):
        if media_type in types:
            try:
                return _quoted(body.decode()), encoding
            except UnicodeDecodeError:
                break
    return f'"{b2a_base64(body, newline=False).decode("ascii")}"', "BASE64"


def _metadata(captured: Captured) -> str:
    headers = captured.request_headers
    members = [f'"eventId":"{_event_id()}"']
    if _CUSTOM_ATTRIBUTES in headers:
        members.append(f'"customAttributes":[{_quoted(headers[_CUSTOM_ATTRIBUTES])}]')
    if _INFERENCE_ID in headers:
        members.append(f'"inferenceId":{_quoted(headers[_INFERENCE_ID])}')
    members.append(f'"inferenceTime":"{_second_of(int(captured.at))}"')
    return ",".join(members)


def _event_id() -> str:
    """A random UUID; not of the kernel's numbers, which cost as much as the rest of a line."""
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


@lru_cache(64)
def _media_type(observed: str) -> str:
    return observed.partition(";")[0].strip().lower()


@lru_cache(64)
def _folder(*parts: str) -> str:
    return "/".join(part for part in parts if part)


@lru_cache(8)
def _hour_of(at: int) -> str:
    return time.strftime("%Y/%m/%d/%H", time.gmtime(at))


@lru_cache(8)
def _second_of(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
