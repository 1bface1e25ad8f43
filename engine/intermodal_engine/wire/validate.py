"""What AWS checks before an operation sees its parameters, in AWS's words.

Required members, lengths, ranges, patterns and enums, all faults at once. botocore checks only
some of these on the client's side, and other clients none.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.models import Shape
from intermodal_engine.wire.patterns import compile_pattern
from intermodal_engine.wire.route import Route

_CODES = ("ValidationException", "ValidationError", "InvalidParameterException", "ClientException")
_SHOWN_FAULTS = 10
_SHOWN_CHARACTERS = 1024
# Longer strings fail by their length; matching them would only cost time.
_MATCHED_CHARACTERS = 65536


def validate(route: Route, parameters: Mapping[str, Any]) -> None:
    """Check the parameters against the model.

    S3 has no such check: it answers each fault with a code of its own, so only what it must have
    is checked here.

    Raises:
        ServiceError: ValidationException, or what the service calls it, with every fault.
    """
    shape = route.operation.input
    if shape is None:
        return
    if route.service_name == "s3":
        _require_of_s3(shape, parameters)
        return
    faults = list(_structure_faults(shape, parameters, ""))
    if not faults:
        return
    count = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected: "
    raise ServiceError(_code(route), count + "; ".join(faults[:_SHOWN_FAULTS]), status=400)


def _code(route: Route) -> str:
    """SageMaker does not document its code; CloudWatch Logs, Batch and others have their own."""
    documented = (code for code in _CODES if code in route.operation.error_names)
    usual = "ValidationError" if route.protocol == "query" else "ValidationException"
    return next(documented, usual)


def _require_of_s3(shape: Shape, parameters: Mapping[str, Any]) -> None:
    for name in shape.required:
        if name in parameters:
            continue
        member = shape.members[name]
        if member.location is None:
            raise ServiceError("MissingRequestBodyError", "Request Body is empty", status=400)
        wire_name = member.wire_name or name
        raise ServiceError(
            "InvalidRequest",
            f"Missing required parameter for this request: {wire_name}",
            status=400,
        )
    if any(_lacks(shape.members[name], value) for name, value in parameters.items()):
        raise ServiceError(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published "
            "schema",
            status=400,
        )


def _lacks(shape: Shape, value: Any) -> bool:
    """Whether something within a value of a document has not all that it must have."""
    if shape.kind == "list" and isinstance(value, list):
        return any(_lacks(shape.item, one) for one in value)
    if shape.kind != "structure" or not isinstance(value, Mapping):
        return False
    if any(value.get(name) is None for name in shape.required):
        return True
    return any(_lacks(shape.members[name], one) for name, one in value.items())


def _faults(shape: Shape, value: Any, path: str) -> Iterator[str]:
    for constraint in _broken(shape, value):
        shown = "" if shape.is_sensitive else f" '{_shown(value)}'"
        yield f"Value{shown} at '{path}' failed to satisfy constraint: {constraint}"
    if shape.kind == "structure" and isinstance(value, Mapping):
        yield from _structure_faults(shape, value, path + ".")
    elif shape.kind == "list":
        yield from _list_faults(shape, value, path)
    elif shape.kind == "map":
        yield from _map_faults(shape, value, path)


def _structure_faults(shape: Shape, value: Mapping[str, Any], prefix: str) -> Iterator[str]:
    if shape.is_document:
        return
    for name in shape.required:
        if value.get(name) is None:
            place = prefix + _camel(name)
            yield (f"Value null at '{place}' failed to satisfy constraint: Member must not be null")
    for name, item in value.items():
        if item is not None:
            yield from _faults(shape.members[name], item, prefix + _camel(name))


def _list_faults(shape: Shape, value: list[Any], path: str) -> Iterator[str]:
    item = shape.item
    if item.kind in ("structure", "list", "map"):
        for number, one in enumerate(value, 1):
            yield from _element_faults(item, one, f"{path}.{number}.member")
        return
    if any(one is None or _is_broken(item, one) for one in value):
        yield _elements_fault(shape, value, path, "Member must satisfy constraint", item)


def _map_faults(shape: Shape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    if any(_is_broken(shape.key, key) for key in value):
        yield _elements_fault(shape, value, path, "Map keys must satisfy constraint", shape.key)
    if shape.value.kind in ("structure", "list", "map"):
        for key, one in value.items():
            yield from _element_faults(shape.value, one, f"{path}.{key}.member")
    elif any(one is None or _is_broken(shape.value, one) for one in value.values()):
        yield _elements_fault(shape, value, path, "Map value must satisfy constraint", shape.value)


def _element_faults(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if value is None:
        yield f"Value null at '{path}' failed to satisfy constraint: Member must not be null"
    else:
        yield from _faults(shape, value, path)


def _elements_fault(shape: Shape, value: Any, path: str, words: str, part: Shape) -> str:
    secret = shape.is_sensitive or part.is_sensitive
    secret = secret or (shape.kind == "map" and shape.value.is_sensitive)
    shown = "" if secret else f" '{_shown(value)}'"
    rules = ", ".join(_constraints(part))
    return f"Value{shown} at '{path}' failed to satisfy constraint: {words}: [{rules}]"


def _is_broken(shape: Shape, value: Any) -> bool:
    return next(_broken(shape, value), None) is not None


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    """The constraints of the shape itself that the value breaks."""
    traits = shape.traits
    if "max" in traits or "min" in traits:
        yield from _out_of_bounds(shape, value)
    if isinstance(value, float) and not math.isfinite(value):
        yield "Member must be a finite number"
    if "enum" in traits and value not in traits["enum"]:
        yield _enum_words(traits["enum"])
    if "pattern" in traits and isinstance(value, str) and len(value) <= _MATCHED_CHARACTERS:
        compiled = compile_pattern(traits["pattern"])
        if compiled is not None and compiled.fullmatch(value) is None:
            yield _pattern_words(traits["pattern"])


def _out_of_bounds(shape: Shape, value: Any) -> Iterator[str]:
    size = _size(shape, value)
    if size is None:
        return
    least, most = shape.traits.get("min"), shape.traits.get("max")
    if most is not None and size > most:
        yield _bound_words(shape, "less", most)
    if least is not None and size < least:
        yield _bound_words(shape, "greater", least)


def _size(shape: Shape, value: Any) -> float | None:
    """What the bounds are about: a number's value, else a length; None for a stream."""
    if shape.kind in ("integer", "long", "float", "double"):
        return float(value) if isinstance(value, float) else int(value)
    if isinstance(value, str):
        # Java counts UTF-16 units.
        return len(value) if value.isascii() else len(value.encode("utf-16-le")) // 2
    return len(value) if hasattr(value, "__len__") else None


def _constraints(shape: Shape) -> Iterator[str]:
    """All constraints of a shape, as AWS lists them for the elements of lists and maps."""
    traits = shape.traits
    if "max" in traits:
        yield _bound_words(shape, "less", traits["max"])
    if "min" in traits:
        yield _bound_words(shape, "greater", traits["min"])
    if "enum" in traits:
        yield _enum_words(traits["enum"])
    if "pattern" in traits:
        yield _pattern_words(traits["pattern"])


def _bound_words(shape: Shape, relation: str, bound: float) -> str:
    number = shape.kind in ("integer", "long", "float", "double")
    return f"Member must have {'value' if number else 'length'} {relation} than or equal to {bound}"


def _enum_words(values: list[str]) -> str:
    return f"Member must satisfy enum value set: [{', '.join(values)}]"


def _pattern_words(pattern: str) -> str:
    return f"Member must satisfy regular expression pattern: {pattern}"


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]


def _shown(value: Any) -> str:
    """A value as Java prints it, cut where it is very long."""
    text = _java(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _java(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_java, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_java(key)}={_java(item)}" for key, item in value.items()) + "}"
    return "null" if value is None else str(value)
