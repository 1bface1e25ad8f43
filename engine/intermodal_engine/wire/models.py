"""AWS's own description of its services, read from the data files that botocore ships.

Only the data is used, never botocore's code: importing that costs 80 ms and 18 MB, while the four
models that the main job needs take 40 ms and 10 MB without their documentation. Everything is
loaded when it is first asked for and kept.
"""

import importlib.util
import json
import zlib
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple


class ServiceName(NamedTuple):
    """How a request names a service before its model is loaded."""

    name: str
    signing_name: str
    target_prefix: str | None = None


# One signing name may stand for several services; a test holds this table against the models.
SERVICES = (
    ServiceName("sagemaker", "sagemaker", "SageMaker"),
    ServiceName("sagemaker-runtime", "sagemaker"),
    ServiceName("sagemaker-metrics", "sagemaker"),
    ServiceName("s3", "s3"),
    ServiceName("logs", "logs", "Logs_20140328"),
    ServiceName("sts", "sts"),
    ServiceName("iam", "iam"),
    ServiceName("cloudwatch", "monitoring", "GraniteServiceVersion20100801"),
    ServiceName("application-autoscaling", "application-autoscaling", "AnyScaleFrontendService"),
    ServiceName("batch", "batch"),
    ServiceName("stepfunctions", "states", "AWSStepFunctions"),
    ServiceName("ecs", "ecs", "AmazonEC2ContainerServiceV20141113"),
    ServiceName("ecr", "ecr", "AmazonEC2ContainerRegistry_V20150921"),
    ServiceName("events", "events", "AWSEvents"),
    ServiceName("dynamodb", "dynamodb", "DynamoDB_20120810"),
    ServiceName("sqs", "sqs", "AmazonSQS"),
    ServiceName("sns", "sns"),
    ServiceName("lambda", "lambda"),
)

Traits = dict[str, Any]


class Shape:
    """One type of a model, with the traits that its place in a structure adds.

    Attributes:
        name: the shape's name in the model.
        kind: `structure`, `list`, `map`, `string`, `integer`, `long`, `float`, `double`,
            `boolean`, `blob` or `timestamp`.
        traits: everything else that the model says, for example `min` or `payload`.
        wire_name: its name on the wire where that differs from the member's name.
        location: `header`, `headers`, `querystring`, `uri`, `statusCode`, or None for the body.
    """

    def __init__(self, service: "Service", name: str, traits: Traits) -> None:
        self._service = service
        self.name = name
        self.kind: str = traits["type"]
        self.traits = traits
        self.wire_name: str | None = traits.get("locationName")
        self.location: str | None = traits.get("location")
        self.is_flattened: bool = bool(traits.get("flattened"))
        self.is_sensitive: bool = bool(traits.get("sensitive"))
        self.is_xml_attribute: bool = bool(traits.get("xmlAttribute"))

    def __repr__(self) -> str:
        return f"<Shape {self.name} {self.kind}>"

    @cached_property
    def members(self) -> dict[str, "Shape"]:
        """A structure's members."""
        return {
            name: self._service.resolve(reference)
            for name, reference in self.traits.get("members", {}).items()
        }

    @cached_property
    def body_members(self) -> dict[str, "Shape"]:
        """The members that travel in the body, by name on the wire (JSON and CBOR)."""
        return {
            shape.wire_name or name: shape
            for name, shape in self.members.items()
            if shape.location is None
        }

    @cached_property
    def body_names(self) -> dict[str, str]:
        """Name on the wire to member name, for the members that travel in the body."""
        return {
            shape.wire_name or name: name
            for name, shape in self.members.items()
            if shape.location is None
        }

    @cached_property
    def located_members(self) -> tuple[tuple[str, "Shape"], ...]:
        """The members that travel outside the body."""
        return tuple(
            (name, shape) for name, shape in self.members.items() if shape.location is not None
        )

    @cached_property
    def xml_attributes(self) -> tuple[tuple[str, "Shape"], ...]:
        """The members of a structure that are attributes of its element."""
        return tuple(
            (name, shape) for name, shape in self.members.items() if shape.is_xml_attribute
        )

    @cached_property
    def xml_part_name(self) -> str:
        """The name of the elements inside a list or a map that is not flattened."""
        return "entry" if self.kind == "map" else self.item.wire_name or "member"

    @cached_property
    def item(self) -> "Shape":
        """A list's element."""
        return self._service.resolve(self.traits["member"])

    @cached_property
    def key(self) -> "Shape":
        """A map's key."""
        return self._service.resolve(self.traits["key"])

    @cached_property
    def value(self) -> "Shape":
        """A map's value."""
        return self._service.resolve(self.traits["value"])

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Members that a structure must have."""
        return tuple(self.traits.get("required", ()))

    @cached_property
    def payload(self) -> str | None:
        """The member that is the whole HTTP body, if one is."""
        return self.traits.get("payload")

    @property
    def message_name(self) -> str:
        """The member of an error that holds its message; AWS writes it both ways."""
        return next((name for name in self.members if name.lower() == "message"), "message")

    @property
    def is_document(self) -> bool:
        """Whether it holds free-form JSON."""
        return bool(self.traits.get("document"))


class Operation:
    """One operation of a service."""

    def __init__(self, service: "Service", name: str, traits: Traits) -> None:
        self._service = service
        self.service = service
        self.name = name
        self.traits = traits
        http = traits.get("http", {})
        self.method: str = http.get("method", "POST")
        self.path_template, _, query = http.get("requestUri", "/").partition("?")
        self.literal_query = _literal_query(query)
        self.status: int = http.get("responseCode", 200)

    def __repr__(self) -> str:
        return f"<Operation {self._service.name}.{self.name}>"

    @cached_property
    def input(self) -> Shape | None:
        """The parameters' shape."""
        return self._resolve("input")

    @cached_property
    def output(self) -> Shape | None:
        """The result's shape."""
        return self._resolve("output")

    @cached_property
    def error_names(self) -> frozenset[str]:
        """The shapes of the errors that AWS documents for it."""
        return frozenset(reference["shape"] for reference in self.traits.get("errors", ()))

    @cached_property
    def streams_input(self) -> bool:
        """Whether the request's body is one blob, handed on without being read."""
        return _is_stream(self.input)

    @cached_property
    def streams_output(self) -> bool:
        """Whether the response's body is one blob or a stream of events."""
        return _is_stream(self.output) or self.event_stream is not None

    @cached_property
    def event_stream(self) -> str | None:
        """The member of the output that is a stream of events, if one is."""
        members = self.output.members if self.output else {}
        return next((name for name in members if members[name].traits.get("eventstream")), None)

    @cached_property
    def required_query(self) -> frozenset[str]:
        """Query parameters without which the operation makes no sense."""
        return self._required("querystring")

    @cached_property
    def required_headers(self) -> frozenset[str]:
        """Headers, in lower case, without which the operation makes no sense."""
        return frozenset(name.lower() for name in self._required("header"))

    @cached_property
    def query_names(self) -> frozenset[str]:
        """Query parameters that it knows."""
        members = self.input.located_members if self.input else ()
        return frozenset(
            shape.wire_name or name for name, shape in members if shape.location == "querystring"
        )

    def _resolve(self, side: str) -> Shape | None:
        reference = self.traits.get(side)
        return self._service.resolve(reference) if reference else None

    def _required(self, location: str) -> frozenset[str]:
        if self.input is None:
            return frozenset()
        required = self.input.required
        return frozenset(
            shape.wire_name or name
            for name, shape in self.input.located_members
            if shape.location == location and name in required
        )


class Service:
    """One service's model.

    Attributes:
        name: botocore's name, for example `sagemaker-runtime`.
        metadata: protocol, API version, target prefix and the like.
        protocol: the protocol that the model puts first.
        protocols: every protocol that the service speaks.
    """

    def __init__(self, name: str, model: dict[str, Any]) -> None:
        self.name = name
        self.metadata: dict[str, Any] = model["metadata"]
        self.protocol: str = self.metadata["protocol"]
        self.protocols: tuple[str, ...] = tuple(self.metadata.get("protocols") or [self.protocol])
        self._operations: dict[str, Traits] = model["operations"]
        self._shapes: dict[str, Traits] = model["shapes"]
        self._made_operations: dict[str, Operation] = {}
        self._made_shapes: dict[str, Shape] = {}

    def __repr__(self) -> str:
        return f"<Service {self.name}>"

    @property
    def operation_names(self) -> tuple[str, ...]:
        """Every operation that AWS has, served here or not."""
        return tuple(self._operations)

    @property
    def shape_names(self) -> tuple[str, ...]:
        """Every shape."""
        return tuple(self._shapes)

    @property
    def xml_namespace(self) -> str | None:
        """The namespace of the root element of its XML."""
        namespace = self.metadata.get("xmlNamespace")
        return namespace["uri"] if isinstance(namespace, dict) else namespace

    def operation(self, name: str) -> Operation | None:
        """The operation of that name, if there is one."""
        made = self._made_operations.get(name)
        if made is None and name in self._operations:
            made = self._made_operations[name] = Operation(self, name, self._operations[name])
        return made

    def operations(self) -> Iterator[Operation]:
        """All operations."""
        for name in self._operations:
            operation = self.operation(name)
            if operation is not None:
                yield operation

    def shape(self, name: str) -> Shape:
        """The shape of that name."""
        made = self._made_shapes.get(name)
        if made is None:
            made = self._made_shapes[name] = Shape(self, name, self._shapes[name])
        return made

    def resolve(self, reference: Traits) -> Shape:
        """The shape that a member, an input or an output refers to, with that place's traits."""
        name = reference["shape"]
        if len(reference) == 1:
            return self.shape(name)
        return Shape(self, name, {**self._shapes[name], **reference})

    def error(self, code: str) -> Shape | None:
        """The modelled error of that code or shape name."""
        name = self._error_names.get(code)
        return self.shape(name) if name else None

    @cached_property
    def _error_names(self) -> dict[str, str]:
        exceptions = [name for name, traits in self._shapes.items() if traits.get("exception")]
        names = {self._shapes[name].get("error", {}).get("code", name): name for name in exceptions}
        return names | {name: name for name in exceptions}


@cache
def load_service(name: str) -> Service:
    """The model of one service.

    Raises:
        LookupError: there is no such service in the installed botocore.
    """
    return Service(name, _without_documentation(_read_model(name)))


def _read_model(name: str) -> dict[str, Any]:
    versions = sorted((_data_folder() / name).glob("*/service-2.json*"))
    if not versions:
        raise LookupError(f"the installed botocore has no model of a service `{name}`")
    raw = versions[-1].read_bytes()
    if versions[-1].suffix == ".gz":
        raw = zlib.decompress(raw, wbits=31)
    model: dict[str, Any] = json.loads(raw)
    extras = versions[-1].with_name("service-2.sdk-extras.json")
    if extras.exists():
        _merge(model, json.loads(extras.read_bytes())["merge"])
    return model


def _merge(model: dict[str, Any], changes: dict[str, Any]) -> None:
    """Botocore's own corrections to what AWS publishes."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(model.get(key), dict):
            _merge(model[key], value)
        else:
            model[key] = value


@cache
def _data_folder() -> Path:
    spec = importlib.util.find_spec("botocore")
    if spec is None or not spec.submodule_search_locations:
        raise LookupError("botocore is not installed; its service models are needed")
    return Path(spec.submodule_search_locations[0]) / "data"


def _without_documentation(model: dict[str, Any]) -> dict[str, Any]:
    for operation in model["operations"].values():
        operation.pop("documentation", None)
    for shape in model["shapes"].values():
        shape.pop("documentation", None)
        for reference in shape.get("members", {}).values():
            reference.pop("documentation", None)
        for part in ("member", "key", "value"):
            if part in shape:
                shape[part].pop("documentation", None)
    return {key: model[key] for key in ("metadata", "operations", "shapes")}


def _literal_query(query: str) -> dict[str, str | None]:
    literals: dict[str, str | None] = {}
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        literals[name] = value if equals else None
    return literals


def _is_stream(shape: Shape | None) -> bool:
    if shape is None or shape.payload is None:
        return False
    return shape.members[shape.payload].kind == "blob"
