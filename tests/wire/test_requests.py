"""The oracle is the real client: what botocore writes, we read as the same parameters."""

from typing import Any

import pytest
from botocore.model import OperationModel, Shape

from intermodal_engine.wire.models import SERVICES, load_service
from intermodal_engine.wire.parse import parse
from intermodal_engine.wire.route import resolve
from tests.helpers.wire_clients import client_request, on_the_wire, operations, sample

CASES = [
    (entry.name, protocol)
    for entry in SERVICES
    for protocol in load_service(entry.name).protocols
    if protocol == load_service(entry.name).protocol or entry.name in ("cloudwatch", "sqs")
]
# Two names for one request: AWS replaced the first by the second.
REPLACED = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "ListDirectoryBuckets": "ListBuckets",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}
SIGNING_NAMES = {entry.name: entry.signing_name for entry in SERVICES}


@pytest.mark.parametrize(("service", "protocol"), CASES)
def test_every_operation_that_botocore_writes_is_read_as_the_same_parameters(
    service: str, protocol: str
) -> None:
    wrong = []
    seen = 0
    for operation in operations(service):
        if operation.has_event_stream_input or operation.name in REPLACED:
            continue
        for full in (False, True):
            fault = _fault(service, protocol, operation, full=full)
            seen += 1
            if fault:
                wrong.append(fault)
    assert not wrong, "\n".join(wrong[:20])
    assert seen > 0


def _fault(service: str, protocol: str, operation: OperationModel, *, full: bool) -> str | None:
    parameters = sample(operation.input_shape, full=full) if operation.input_shape else {}
    request = on_the_wire(client_request(service, operation.name, parameters, protocol))
    route = resolve(request, SIGNING_NAMES[service])
    if (route.service_name, route.operation_name) != (service, operation.name):
        return f"{operation.name} was routed to {route}"
    expected = _as_sent(protocol, operation.input_shape, parameters)
    got = _drop_unsent(parse(route, request), expected)
    return None if got == expected else f"{operation.name}\n  {expected}\n  {got}"


def _drop_unsent(got: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """HTTP adds a length and a type to any request, and an empty payload is no payload."""
    extra = {"ContentLength", "ContentType"} - expected.keys()
    return {
        name: value
        for name, value in got.items()
        if name not in extra and (name in expected or value not in (b"", {}))
    }


def _as_sent(protocol: str, shape: Shape | None, value: Any) -> Any:
    """What can be seen on the wire: the query protocol does not show empty structures."""
    if shape is None:
        return value
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        sent = {name: _as_sent(protocol, shape.members[name], item) for name, item in value.items()}
        return {
            name: item for name, item in sent.items() if not (protocol == "query" and item == {})
        }
    if shape.type_name == "list":
        return [_as_sent(protocol, shape.member, item) for item in value]
    return value
