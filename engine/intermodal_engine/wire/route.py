"""Which operation of which service a request asks for.

One port serves every service: the credential scope names the service, then the header
`X-Amz-Target`, the form field `Action`, or the path and query name the operation.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import unquote

from intermodal_engine.wire.dialect import is_form
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest
from intermodal_engine.wire.models import SERVICES, Operation, Service, ServiceName, load_service
from intermodal_engine.wire.query import Query, parse_query

CBOR = "smithy-rpc-v2-cbor"

_LABEL = re.compile(r"\{(\w+)(\+?)\}")
_CBOR_PATH = re.compile(r"/service/([^/]+)/operation/([^/]+)")


@dataclass(frozen=True, slots=True)
class Route:
    """The operation that a request asks for.

    Attributes:
        operation: its model.
        protocol: how this request is written; a service may speak several.
        uri_parameters: the labels of the path, decoded, by their name in the path template.
        query: the query string's parameters, decoded.
    """

    operation: Operation
    protocol: str
    uri_parameters: dict[str, str] = field(default_factory=dict)
    query: Query = field(default_factory=dict)

    @property
    def service(self) -> Service:
        """The service's model."""
        return self.operation.service

    @property
    def service_name(self) -> str:
        """Name in botocore of the service, for example `sagemaker-runtime`."""
        return self.operation.service.name

    @property
    def operation_name(self) -> str:
        """AWS's name, for example `InvokeEndpoint`."""
        return self.operation.name

    @property
    def streams_input(self) -> bool:
        """Whether the request's body is one blob; leave it in `HttpRequest.stream`."""
        return self.operation.streams_input

    @property
    def streams_output(self) -> bool:
        """Whether the response's body is one blob or a stream of events."""
        return self.operation.streams_output


def named(service_name: str, operation_name: str, protocol: str | None = None) -> Route:
    """The route to an operation by name, as for calls that arise inside the engine.

    Raises:
        LookupError: no such service or operation.
    """
    service = load_service(service_name)
    operation = service.operation(operation_name)
    if operation is None:
        raise LookupError(f"`{service_name}` has no operation `{operation_name}`")
    return Route(operation, protocol or service.protocol)


def needs_body(request: HttpRequest, signing_name: str | None) -> bool:
    """Whether `resolve` must see the body, because the operation's name is in it.

    So it is for the query protocol; such bodies are small and never streamed.
    """
    return is_form(request) and signing_name != "s3" and "x-amz-target" not in request.headers


def resolve(request: HttpRequest, signing_name: str | None) -> Route:
    """The operation that a request asks for.

    Args:
        request: with its body, where `needs_body` says so.
        signing_name: the service in the verified credential scope; None for an unsigned request.

    Raises:
        ServiceError: no service of that name, or it has no such operation.
    """
    candidates = _candidates(signing_name)
    query = parse_query(request.query)
    if target := request.headers.get("x-amz-target"):
        return _by_target(target, candidates, query)
    if found := _CBOR_PATH.fullmatch(request.path):
        return _by_service_path(found[1], found[2], candidates, query)
    if is_form(request) or "Action" in query:
        form = parse_query(request.body.decode("utf-8", "replace")) if is_form(request) else {}
        if "Action" in (fields := form | query) and _speaking("query", candidates):
            return _by_action(fields, _speaking("query", candidates))
    return _by_path(request, query, candidates)


@cache
def _candidates(signing_name: str | None) -> tuple[ServiceName, ...]:
    if signing_name is None:
        return SERVICES
    candidates = tuple(entry for entry in SERVICES if entry.signing_name == signing_name)
    if not candidates:
        raise ServiceError(
            "UnknownOperationException",
            f"intermodal's engine does not know a service that signs as `{signing_name}`. "
            f"It knows: {', '.join(sorted({entry.signing_name for entry in SERVICES}))}.",
            status=404,
        )
    return candidates


def _by_target(target: str, candidates: tuple[ServiceName, ...], query: Query) -> Route:
    prefix, _, name = target.rpartition(".")
    for entry in candidates:
        if entry.target_prefix == prefix:
            operation = load_service(entry.name).operation(name)
            if operation is not None:
                return Route(operation, "json", query=query)
    raise ServiceError(
        "UnknownOperationException", f"The operation `{target}` does not exist.", status=400
    )


def _by_service_path(
    target: str, name: str, candidates: tuple[ServiceName, ...], query: Query
) -> Route:
    for entry in candidates:
        if entry.target_prefix == target:
            operation = load_service(entry.name).operation(name)
            if operation is not None:
                return Route(operation, CBOR, query=query)
    raise ServiceError(
        "UnknownOperationException", f"The operation `{target}.{name}` does not exist.", status=404
    )


@cache
def _speaking(protocol: str, candidates: tuple[ServiceName, ...]) -> tuple[Service, ...]:
    if candidates is SERVICES:
        # An unsigned form can only be STS's (AssumeRoleWithWebIdentity and its like).
        candidates = tuple(entry for entry in SERVICES if entry.name == "sts")
    services = tuple(load_service(entry.name) for entry in candidates)
    return tuple(service for service in services if protocol in service.protocols)


def _by_action(fields: Query, services: tuple[Service, ...]) -> Route:
    action = fields["Action"][0]
    version = fields.get("Version", [""])[0]
    for service in services:
        operation = service.operation(action)
        if operation is not None and version in ("", service.metadata["apiVersion"]):
            return Route(operation, "query", query=fields)
    raise ServiceError(
        "InvalidAction",
        f"Could not find operation {action} for version {version or 'NO_VERSION_SPECIFIED'}",
        status=400,
    )


def _by_path(request: HttpRequest, query: Query, candidates: tuple[ServiceName, ...]) -> Route:
    if candidates is SERVICES:
        candidates = _candidates("s3")
    for entry in candidates:
        for place in _places(entry.name, request.method):
            found = place.pattern.fullmatch(request.path)
            if found is None:
                continue
            operation = _choose(place.operations, query, request.headers)
            if operation is not None:
                labels = {name: _decode_label(text) for name, text in found.groupdict().items()}
                return Route(operation, operation.service.protocol, labels, query)
    raise _no_such_path(request, candidates)


def _no_such_path(request: HttpRequest, candidates: tuple[ServiceName, ...]) -> ServiceError:
    if candidates[0].name == "s3":
        return ServiceError(
            "MethodNotAllowed", "The specified method is not allowed against this resource."
        )
    names = ", ".join(entry.name for entry in candidates)
    return ServiceError(
        "UnknownOperationException",
        f"No operation of {names} answers {request.method} {request.path}.",
        status=404,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """The operations of one method and path template."""

    pattern: re.Pattern[str]
    operations: tuple[Operation, ...]


@cache
def _places(service_name: str, method: str) -> tuple[_Place, ...]:
    """Where a service answers a method, the most specific path first."""
    service = load_service(service_name)
    if not service.protocol.startswith("rest"):
        return ()
    grouped: dict[str, list[Operation]] = {}
    for operation in service.operations():
        if operation.method == method:
            grouped.setdefault(operation.path_template, []).append(operation)
    templates = sorted(grouped, key=_specificity)
    return tuple(_Place(_compile(template), tuple(grouped[template])) for template in templates)


def _specificity(template: str) -> tuple[bool, int, int]:
    greedy = "+}" in template
    labels = len(_LABEL.findall(template))
    literal = len(_LABEL.sub("", template).replace("/", ""))
    return (greedy, -literal, labels)


def _compile(template: str) -> re.Pattern[str]:
    pattern, position = "", 0
    for label in _LABEL.finditer(template):
        pattern += re.escape(template[position : label.start()])
        pattern += f"(?P<{label[1]}>{'.+' if label[2] else '[^/]+'})"
        position = label.end()
    pattern += re.escape(template[position:])
    return re.compile(pattern if pattern.endswith(("/", ".+)")) else pattern + "/?", re.DOTALL)


def _choose(
    operations: tuple[Operation, ...], query: Query, headers: Mapping[str, str]
) -> Operation | None:
    """The operation that the query and the headers fit best.

    Literals of the template (`?uploads`) must be there, so must required query parameters
    (`uploadId`); among those, required headers (`x-amz-copy-source`) tell the rest apart. An
    operation that AWS has deprecated gives way to the one that took its place.
    """
    fitting = [
        operation
        for operation in operations
        if _has_literals(operation.literal_query, query)
        and operation.required_query <= query.keys()
    ]
    if not fitting:
        return None
    return max(fitting, key=lambda operation: _fit(operation, query, headers))


def _has_literals(literals: Mapping[str, str | None], query: Query) -> bool:
    return all(
        name in query and (value is None or value in query[name])
        for name, value in literals.items()
    )


def _fit(
    operation: Operation, query: Query, headers: Mapping[str, str]
) -> tuple[int, int, int, bool, int]:
    missing = len(operation.required_headers - headers.keys())
    return (
        len(operation.literal_query),
        len(operation.required_query),
        len(operation.required_headers) if not missing else -missing,
        not operation.traits.get("deprecated", False),
        len(operation.query_names & query.keys()),
    )


def _decode_label(text: str) -> str:
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ServiceError("InvalidURI", "Couldn't parse the specified URI.", status=400) from None
