"""Request to parameters, as the model of the operation says."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from intermodal_engine.wire import cbor_body, form_body, json_body, s3_customs, timestamps, xml_body
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest
from intermodal_engine.wire.models import Shape
from intermodal_engine.wire.query import parse_query
from intermodal_engine.wire.route import CBOR, Route
from intermodal_engine.wire.scalars import JAVA_NAMES, read_text

Headers = Mapping[str, str]
Parameters = dict[str, Any]


def parse(route: Route, request: HttpRequest) -> Parameters:
    """The parameters of a request.

    Members that the model does not know are left out, as AWS does. A payload that is a blob is
    `request.stream` if that is set, else `request.body`.

    Raises:
        ServiceError: SerializationException, MalformedXML or MalformedInput, as the protocol has.
    """
    shape = route.operation.input
    if shape is None:
        return {}
    if route.protocol == "json":
        return json_body.read_members(shape, json_body.load_object(request.body))
    if route.protocol == "query":
        form = parse_query(request.body.decode("utf-8", "replace"))
        return form_body.read_form(shape, {**route.query, **form})
    if route.protocol == CBOR:
        return cbor_body.read_members(shape, cbor_body.load_map(request.body))
    return _parse_rest(route, shape, request)


def _parse_rest(route: Route, shape: Shape, request: HttpRequest) -> Parameters:
    parameters: Parameters = {}
    headers = request.headers
    if route.service_name == "s3":
        headers = s3_customs.effective_headers(headers, route.query)
    for name, member in shape.located_members:
        value = _read_located(route, headers, member, name)
        if value is not None:
            parameters[name] = value
    if shape.payload is not None:
        _read_payload(route, request, shape, parameters)
    elif shape.body_members and request.body:
        parameters |= _read_body(route, shape, request.body)
    return parameters


def _read_payload(route: Route, request: HttpRequest, shape: Shape, parameters: Parameters) -> None:
    name = shape.payload or ""
    member = shape.members[name]
    if member.kind == "blob" or member.traits.get("eventstream"):
        parameters[name] = request.body if request.stream is None else request.stream
    elif request.body:
        if member.kind == "string":
            parameters[name] = request.body.decode("utf-8", "replace")
        else:
            parameters[name] = _read_body(route, member, request.body)


def _read_body(route: Route, shape: Shape, body: bytes) -> Any:
    if route.protocol == "rest-json":
        if shape.is_document:
            return json.loads(body)
        return json_body.read_members(shape, json_body.load_object(body))
    try:
        return xml_body.read(shape, xml_body.load(body))
    except xml_body.MalformedXmlError:
        raise ServiceError(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published "
            "schema",
            status=400,
        ) from None


def _read_located(route: Route, headers: Headers, member: Shape, name: str) -> Any:
    wire_name = member.wire_name or name
    if member.location == "header":
        return _read_header(route, headers, member, wire_name)
    if member.location == "uri":
        return _convert(route, member, wire_name, route.uri_parameters[wire_name])
    if member.location == "querystring":
        return _read_query(route, member, wire_name)
    if member.location == "headers":
        return _read_prefixed(headers, wire_name.lower()) or None
    raise ValueError(f"`{name}`: no request has members located in `{member.location}`")


def _read_header(route: Route, headers: Headers, member: Shape, wire_name: str) -> Any:
    text = headers.get(wire_name.lower())
    if text is None:
        return None
    if member.kind == "list":
        return [
            _convert(route, member.item, wire_name, one.strip())
            for one in text.split(",")
            if one.strip()
        ]
    if member.traits.get("jsonvalue"):
        return _read_json_header(wire_name, text)
    if member.kind == "timestamp" and route.service_name == "s3":
        # HTTP's own rule for If-Modified-Since and its like: a date that is none is not there.
        try:
            return timestamps.parse(text, timestamps.RFC822)
        except ValueError:
            return None
    return _convert(route, member, wire_name, text)


def _read_json_header(wire_name: str, text: str) -> Any:
    try:
        return json.loads(base64.b64decode(text))
    except ValueError:
        raise ServiceError(
            "SerializationException", f"The header `{wire_name}` holds no JSON", status=400
        ) from None


def _read_prefixed(headers: Headers, prefix: str) -> dict[str, str]:
    return {
        header[len(prefix) :]: value
        for header, value in headers.items()
        if header.startswith(prefix)
    }


def _read_query(route: Route, member: Shape, wire_name: str) -> Any:
    if member.kind == "map":
        known = route.operation.query_names - {wire_name}
        many = member.value.kind == "list"
        return {
            key: values if many else values[0]
            for key, values in route.query.items()
            if key not in known
        }
    values = route.query.get(wire_name)
    if values is None:
        return None
    if member.kind == "list":
        return [_convert(route, member.item, wire_name, value) for value in values]
    return _convert(route, member, wire_name, values[0])


def _convert(route: Route, member: Shape, wire_name: str, text: str) -> Any:
    form = timestamps.RFC822 if member.location == "header" else timestamps.ISO8601
    try:
        return read_text(member, text, form)
    except ValueError:
        pass
    if route.service_name != "s3":
        wanted = JAVA_NAMES[member.kind]
        raise ServiceError(
            "SerializationException", f"STRING_VALUE can not be converted to {wanted}", status=400
        )
    kind = {"integer": "an integer or within integer range"}.get(member.kind, f"a {member.kind}")
    raise ServiceError(
        "InvalidArgument",
        f"Provided {wire_name} not {kind}",
        status=400,
        fields={"ArgumentName": wire_name, "ArgumentValue": text},
    )
