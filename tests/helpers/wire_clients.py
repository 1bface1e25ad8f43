"""What a real client puts on the wire and reads from it: botocore's own serializers and parsers."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSRequest, prepare_request_dict
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from intermodal_engine.wire.http import HttpRequest, HttpResponse

ENDPOINT = "http://127.0.0.1:8765"
MOMENT = datetime(2026, 1, 31, 12, 30, 15, 250000, tzinfo=UTC)


@cache
def service_model(service_name: str) -> ServiceModel:
    """botocore's model of a service."""
    return ServiceModel(Loader().load_service_model(service_name, "service-2"), service_name)


def client_request(
    service_name: str, operation_name: str, parameters: dict[str, Any], protocol: str | None = None
) -> AWSRequest:
    """The request that boto3 would send, not signed yet."""
    model = service_model(service_name)
    serializer = create_serializer(
        protocol or model.resolved_protocol,
        include_validation=False,
        timestamp_precision="millisecond",
    )
    request = serializer.serialize_to_request(parameters, model.operation_model(operation_name))
    if service_name == "s3" and request["body"].startswith(b"<"):
        # A hook of boto3's does this, since XML would otherwise change the ends of lines.
        request["body"] = request["body"].replace(b"\r", b"&#xD;").replace(b"\n", b"&#xA;")
    prepare_request_dict(request, endpoint_url=ENDPOINT, context={}, user_agent="Boto3/1")
    return AWSRequest(
        method=request["method"],
        url=request["url"],
        data=request["body"],
        headers=request["headers"],
        auth_path=request.get("auth_path"),
    )


def on_the_wire(request: AWSRequest) -> HttpRequest:
    """That request as it comes off the engine's socket."""
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    headers = {name.lower(): _text(value) for name, value in prepared.headers.items()}
    headers.setdefault("host", parts.netloc)
    body = prepared.body if prepared.body is not None else b""
    body = body.encode() if isinstance(body, str) else body
    if not isinstance(body, bytes):
        body = body.read()
    headers.setdefault("content-length", str(len(body)))
    return HttpRequest(prepared.method, parts.path or "/", parts.query, headers, body)


def client_result(
    service_name: str, operation_name: str, response: HttpResponse, protocol: str | None = None
) -> dict[str, Any]:
    """What boto3 would hand to its caller; errors under `Error`."""
    model = service_model(service_name)
    operation = model.operation_model(operation_name)
    parser = create_parser(protocol or model.resolved_protocol)
    shape = operation.output_shape
    assert isinstance(response.body, bytes)
    raw: dict[str, Any] = {
        "status_code": response.status,
        "headers": _Headers(response.headers),
        "body": response.body,
        "context": {"operation_name": operation_name},
    }
    if operation.has_streaming_output and response.status < 300:
        raw["body"] = BytesIO(response.body)
    parsed: dict[str, Any] = parser.parse(raw, shape)
    return {
        name: value.read() if isinstance(value, BytesIO) else value
        for name, value in parsed.items()
    }


class _Headers(dict[str, str]):
    """Headers whose names have no case."""

    def __init__(self, headers: list[tuple[str, str]]) -> None:
        super().__init__({name.lower(): value for name, value in headers})

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def sample(shape: Shape, *, full: bool, seed: int = 0) -> Any:
    """A value of a shape, always the same for a seed; `full` gives optional members too."""
    return _sample(shape, full, seed, ())


def _sample(shape: Shape, full: bool, seed: int, above: tuple[str, ...]) -> Any:
    below = (*above, shape.name)
    count = 2 if full else 1
    if shape.type_name == "structure":
        return _sample_structure(shape, full, seed, below)
    if shape.type_name == "list":
        return [_sample(shape.member, full, seed + index, below) for index in range(count)]
    if shape.serialization.get("location") == "headers":
        return {f"name-{index}": f"text-{seed} (plain)" for index in range(count)}
    if shape.type_name == "map":
        keys = [_sample(shape.key, full, seed + index, below) for index in range(count)]
        return {key: _sample(shape.value, full, seed + 3, below) for key in keys}
    return _sample_scalar(shape, seed)


def _sample_structure(
    shape: Shape, full: bool, seed: int, above: tuple[str, ...]
) -> dict[str, Any]:
    if getattr(shape, "is_document_type", False):
        return {"free": ["form", 1]}
    names = [name for name, member in shape.members.items() if not _recurses(member, above)]
    if shape.metadata.get("union"):
        names = names[seed % len(names) :][:1]
    elif not full:
        names = [name for name in names if name in shape.required_members]
    return {
        name: _sample(shape.members[name], full, seed + index, above)
        for index, name in enumerate(names)
    }


def _recurses(shape: Shape, above: tuple[str, ...]) -> bool:
    """Whether a member leads back to a shape that it is in, itself or by its elements."""
    while shape.type_name in ("list", "map"):
        if shape.name in above:
            return True
        shape = shape.member if shape.type_name == "list" else shape.value
    return shape.name in above


def _sample_scalar(shape: Shape, seed: int) -> Any:
    kind = shape.type_name
    if kind == "string":
        values = shape.metadata.get("enum")
        if shape.serialization.get("hostLabel"):
            return "label"
        return values[seed % len(values)] if values else _sample_text(shape, seed)
    if kind == "boolean":
        return seed % 2 == 0
    if kind in ("integer", "long"):
        return int(shape.metadata.get("min") or 0) + seed
    if kind in ("float", "double"):
        return float(shape.metadata.get("min") or 0) + seed + 0.25
    if kind == "timestamp":
        form = shape.serialization.get("timestampFormat", "").lower()
        is_coarse = form == "rfc822" or shape.serialization.get("location") == "header"
        return MOMENT.replace(minute=seed % 60, microsecond=0 if is_coarse else 250000)
    return bytes([seed % 256, 0, 255]) + b"blob"


def _sample_text(shape: Shape, seed: int) -> str:
    if shape.serialization.get("location") in ("header", "headers"):
        return f"text-{seed} (plain)"
    return f" Text-{seed}.\u00e9/\u4e2d&<\"'>+%2F=?;\r\n x"


def operations(service_name: str) -> Iterator[OperationModel]:
    """All operations of a service."""
    model = service_model(service_name)
    for name in model.operation_names:
        yield model.operation_model(name)
