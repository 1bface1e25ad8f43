"""Result to response, as the model of the operation says; errors too."""

from collections.abc import Mapping
from typing import Any

from intermodal_engine.wire import (
    cbor_body,
    event_stream,
    json_body,
    s3_customs,
    timestamps,
    xml_body,
)
from intermodal_engine.wire.dialect import Dialect, dialect_of
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import Body, FileSlice, HttpRequest, HttpResponse
from intermodal_engine.wire.models import Operation, Shape
from intermodal_engine.wire.route import CBOR, Route
from intermodal_engine.wire.scalars import write_text

Result = Mapping[str, Any]
Headers = list[tuple[str, str]]


def serialize(route: Route, result: Result, request_id: str) -> HttpResponse:
    """The response that carries a result.

    None stands for a member that is not there.

    Raises:
        TypeError: the result does not fit the model; a fault of the operation.
    """
    operation = route.operation
    if route.protocol == "json" and operation.event_stream is not None:
        return _serialize_json_events(operation, operation.event_stream, result, request_id)
    if route.protocol == "json":
        return _serialize_json(operation, result, request_id)
    if route.protocol == "query":
        return _serialize_query(operation, result, request_id)
    if route.protocol == CBOR:
        headers = [*_cbor_headers(), ("x-amzn-RequestId", request_id)]
        return HttpResponse(200, headers, cbor_body.dump(operation.output, result))
    return _serialize_rest(operation, result, request_id)


def _serialize_json(operation: Operation, result: Result, request_id: str) -> HttpResponse:
    _refuse_unexpected(operation, result)
    shape = operation.output
    body = json_body.dump(json_body.write_members(shape, result)) if shape is not None else b""
    headers = [("Content-Type", _json_type(operation)), ("x-amzn-RequestId", request_id)]
    return HttpResponse(operation.status, headers, body)


def _serialize_json_events(
    operation: Operation, name: str, result: Result, request_id: str
) -> HttpResponse:
    """JSON's streams begin with the members that are no events."""
    _refuse_unexpected(operation, result)
    shape = operation.service.resolve(operation.traits["output"])
    rest = {key: value for key, value in result.items() if key != name}
    first = json_body.dump(json_body.write_members(shape, rest))
    body = event_stream.encode(shape.members[name], result[name], "json", first)
    headers = [("Content-Type", event_stream.CONTENT_TYPE), ("x-amzn-RequestId", request_id)]
    return HttpResponse(operation.status, headers, body)


def _serialize_query(operation: Operation, result: Result, request_id: str) -> HttpResponse:
    _refuse_unexpected(operation, result)
    shape = operation.output
    inner = ""
    if shape is not None:
        inner = xml_body.write_members(shape, result)
        wrapper = shape.traits.get("resultWrapper")
        inner = f"<{wrapper}>{inner}</{wrapper}>" if wrapper else inner
    root = f"{operation.name}Response"
    namespace = operation.service.xml_namespace
    attribute = f' xmlns="{namespace}"' if namespace else ""
    metadata = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
    body = f"<{root}{attribute}>{inner}{metadata}</{root}>"
    headers = [("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id)]
    return HttpResponse(operation.status, headers, body.encode())


def _serialize_rest(operation: Operation, result: Result, request_id: str) -> HttpResponse:
    _refuse_unexpected(operation, result)
    shape = operation.output
    response = HttpResponse(operation.status, _request_id_headers(operation, request_id))
    if shape is None:
        return response
    response.body = _rest_body(operation, shape, result, response.headers)
    for name, member in shape.located_members:
        if result.get(name) is not None:
            _write_located(response, member, name, result[name])
    if operation.service.name == "s3" and result.get("ContentRange") is not None:
        response.status = 206
    _settle_length(operation, response)
    return response


def _rest_body(operation: Operation, shape: Shape, result: Result, headers: Headers) -> Body:
    if shape.payload is not None:
        return _payload(operation, shape.members[shape.payload], result.get(shape.payload), headers)
    if operation.method == "HEAD":
        return b""
    if operation.service.protocol == "rest-json":
        headers.append(("Content-Type", "application/json"))
        return json_body.dump(json_body.write_members(shape, result))
    if not shape.body_members:
        return b""
    return _rest_xml(operation, shape, result, headers)


def _payload(operation: Operation, shape: Shape, value: Any, headers: Headers) -> Body:
    if value is None:
        return b""
    if shape.traits.get("eventstream"):
        headers.append(("Content-Type", event_stream.CONTENT_TYPE))
        return event_stream.encode(shape, value, operation.service.protocol)
    if shape.kind == "blob":
        body: Body = value
        return body
    if shape.kind == "string":
        return str(value).encode()
    if operation.service.protocol == "rest-json":
        headers.append(("Content-Type", "application/json"))
        return json_body.dump(json_body.write(shape, value))
    return _rest_xml(operation, shape, value, headers)


def _rest_xml(operation: Operation, shape: Shape, value: Result, headers: Headers) -> bytes:
    headers.append(("Content-Type", "application/xml"))
    root = s3_customs.ROOTS.get(operation.name) or shape.wire_name or shape.name
    namespace = operation.service.xml_namespace or s3_customs.NAMESPACE
    inner = xml_body.write_members(shape, value)
    if operation.name == "GetBucketLocation":
        inner = xml_body.escape(value.get("LocationConstraint") or "")
    return f'{xml_body.DECLARATION}<{root} xmlns="{namespace}">{inner}</{root}>'.encode()


def _write_located(response: HttpResponse, member: Shape, name: str, value: Any) -> None:
    wire_name = member.wire_name or name
    if member.location == "statusCode":
        response.status = int(value)
    elif member.location == "headers":
        response.headers += [(f"{wire_name}{key}", _clean(text)) for key, text in value.items()]
    elif member.kind == "list":
        texts = (write_text(member.item, one, timestamps.RFC822) for one in value)
        response.headers.append((wire_name, _clean(",".join(texts))))
    elif member.location == "header":
        if wire_name.lower() == "content-type":
            response.headers[:] = [
                pair for pair in response.headers if pair[0].lower() != "content-type"
            ]
        response.headers.append((wire_name, _clean(write_text(member, value, timestamps.RFC822))))


def _clean(text: str) -> str:
    """A header's value on one line, so that no value can end the header."""
    return text.replace("\r", " ").replace("\n", " ")


def _settle_length(operation: Operation, response: HttpResponse) -> None:
    """Leave the length to the sender, unless only the operation knows it."""
    body = response.body
    if operation.method != "HEAD" and isinstance(body, bytes | FileSlice):
        response.headers[:] = [
            pair for pair in response.headers if pair[0].lower() != "content-length"
        ]


def _refuse_unexpected(operation: Operation, result: Result) -> None:
    known = operation.output.members.keys() if operation.output else ()
    unknown = [name for name in result if name not in known and result[name] is not None]
    if unknown:
        raise TypeError(f"the result of {operation.name} has no member `{unknown[0]}`")


def _request_id_headers(operation: Operation, request_id: str) -> Headers:
    if operation.service.name == "s3":
        return s3_customs.request_id_headers(request_id)
    return [("x-amzn-RequestId", request_id)]


def _json_type(operation: Operation) -> str:
    return f"application/x-amz-json-{operation.service.metadata.get('jsonVersion', '1.0')}"


def _cbor_headers() -> Headers:
    return [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")]


def serialize_error(
    route: Route | None, error: ServiceError, request_id: str, request: HttpRequest
) -> HttpResponse:
    """The response that carries an error, in the manner that the client understands.

    Args:
        route: None where the request failed before it was routed.
        error: what to say.
        request_id: goes into the response.
        request: what was asked; for HEAD the response has no body.
    """
    dialect = _dialect(route, request)
    shape = route.service.error(error.code) if route is not None else None
    status = error.status or _modelled_status(shape) or _usual_status(dialect, error.code)
    if dialect is Dialect.S3:
        response = s3_customs.error(error, status, request_id, request)
    elif dialect is Dialect.QUERY:
        response = _query_error(route, error, shape, status, request_id)
    elif dialect is Dialect.CBOR:
        response = _cbor_error(error, shape, status, request_id)
    else:
        response = _json_error(route, dialect, error, shape, status, request_id)
    if route is not None and "awsQueryCompatible" in route.service.metadata:
        fault = "Receiver" if status >= 500 else "Sender"
        response.headers.append(("x-amzn-query-error", f"{_code(error, shape)};{fault}"))
    if request.method == "HEAD":
        response.body = b""
    return response


def _dialect(route: Route | None, request: HttpRequest) -> Dialect:
    if route is None:
        return dialect_of(request)
    return Dialect.S3 if route.protocol == "rest-xml" else Dialect(route.protocol)


def _modelled_status(shape: Shape | None) -> int | None:
    if shape is None:
        return None
    status: int | None = shape.traits.get("error", {}).get("httpStatusCode")
    return status or (500 if shape.traits.get("fault") else None)


def _usual_status(dialect: Dialect, code: str) -> int:
    if dialect is Dialect.S3:
        return s3_customs.STATUSES.get(code, 400)
    return (
        500
        if code in ("InternalFailure", "InternalServerError", "InternalServerException")
        else 400
    )


def _code(error: ServiceError, shape: Shape | None) -> str:
    """The code on the wire; an error may have been raised by its shape's name."""
    code: str = shape.traits.get("error", {}).get("code", error.code) if shape else error.code
    return code


def _error_fields(error: ServiceError, shape: Shape | None) -> dict[str, Any]:
    """The error's body members; fields that the model lacks are left out."""
    if shape is None:
        return {"message": error.message}
    known = {name: value for name, value in error.fields.items() if name in shape.members}
    return {**json_body.write_members(shape, known), shape.message_name: error.message}


def _json_error(
    route: Route | None,
    dialect: Dialect,
    error: ServiceError,
    shape: Shape | None,
    status: int,
    request_id: str,
) -> HttpResponse:
    fields = _error_fields(error, shape)
    content_type = "application/json"
    if dialect is Dialect.JSON:
        content_type = _json_type(route.operation) if route else "application/x-amz-json-1.1"
        fields = {"__type": error.code, **fields}
    headers = [
        ("Content-Type", content_type),
        ("x-amzn-RequestId", request_id),
        ("x-amzn-ErrorType", error.code),
    ]
    response = HttpResponse(status, headers, json_body.dump(fields))
    for name, member in shape.located_members if shape is not None else ():
        if member.location == "header" and error.fields.get(name) is not None:
            _write_located(response, member, name, error.fields[name])
    return response


def _cbor_error(
    error: ServiceError, shape: Shape | None, status: int, request_id: str
) -> HttpResponse:
    name = shape.name if shape is not None else error.code
    fields = {"__type": name, **_error_fields(error, shape)}
    headers = [*_cbor_headers(), ("x-amzn-RequestId", request_id)]
    return HttpResponse(status, headers, cbor_body.encode(fields))


def _query_error(
    route: Route | None, error: ServiceError, shape: Shape | None, status: int, request_id: str
) -> HttpResponse:
    namespace = route.service.xml_namespace if route is not None else None
    attribute = f' xmlns="{namespace}"' if namespace else ""
    code, message = xml_body.escape(_code(error, shape)), xml_body.escape(error.message)
    fault = "Receiver" if status >= 500 else "Sender"
    body = (
        f"<ErrorResponse{attribute}><Error><Type>{fault}</Type><Code>{code}</Code>"
        f"<Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    headers = [("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id)]
    return HttpResponse(status, headers, body.encode())
