"""The query protocol's forms: `Tags.member.1.Key=owner` and the like."""

from collections.abc import Mapping
from typing import Any

from intermodal_engine.wire import timestamps
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.models import Shape
from intermodal_engine.wire.scalars import JAVA_NAMES, read_text

_DEPTH_LIMIT = 64
_TEXT = ""

# A node's parts by name; its own text, if it has one, under the empty name.
_Node = dict[str, Any]


def read_form(shape: Shape, fields: Mapping[str, list[str]]) -> dict[str, Any]:
    """The parameters in a form.

    Raises:
        ServiceError: MalformedInput; a value does not fit the shape.
    """
    return _read_members(shape, _tree(fields))


def _tree(fields: Mapping[str, list[str]]) -> _Node:
    root: _Node = {}
    for name, values in fields.items():
        node = root
        parts = name.split(".")
        if len(parts) > _DEPTH_LIMIT:
            raise ServiceError("MalformedInput", f"`{name[:80]}` is nested too deep.", status=400)
        for part in parts:
            node = node.setdefault(part or " ", {})
        node[_TEXT] = values[0]
    return root


def _read_members(shape: Shape, node: _Node) -> dict[str, Any]:
    found = {}
    for name, member in shape.members.items():
        child = node.get(member.wire_name or name)
        if member.is_flattened and member.kind == "list" and member.item.wire_name:
            child = node.get(member.item.wire_name, child)
        if child is not None:
            found[name] = _read(member, child, name)
    return found


def _read(shape: Shape, node: _Node, name: str) -> Any:
    if shape.kind == "structure":
        return _read_members(shape, node)
    if shape.kind == "list":
        items = node if shape.is_flattened else node.get(shape.item.wire_name or "member", {})
        return [_read(shape.item, item, name) for item in _numbered(items)]
    if shape.kind == "map":
        entries = node if shape.is_flattened else node.get("entry", {})
        return dict(_entry(shape, entry, name) for entry in _numbered(entries))
    text = node.get(_TEXT, "")
    try:
        return read_text(shape, text, timestamps.ISO8601)
    except ValueError:
        wanted = JAVA_NAMES[shape.kind]
        raise ServiceError(
            "MalformedInput", f"The value of `{name}` can not be converted to {wanted}", status=400
        ) from None


def _entry(shape: Shape, node: _Node, name: str) -> tuple[Any, Any]:
    key = node.get(shape.key.wire_name or "key", {})
    value = node.get(shape.value.wire_name or "value", {})
    return _read(shape.key, key, name), _read(shape.value, value, name)


def _numbered(node: _Node) -> list[_Node]:
    numbers = sorted((key for key in node if key.isdecimal() and key.isascii()), key=int)
    return [node[number] for number in numbers]
