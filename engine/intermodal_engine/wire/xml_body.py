"""XML bodies, read and written as a shape says, namespaces aside."""

import re
from collections.abc import Mapping
from typing import Any
from xml.parsers import expat

from intermodal_engine.wire import timestamps
from intermodal_engine.wire.models import Shape
from intermodal_engine.wire.scalars import read_text, write_text

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

_DEPTH_LIMIT = 64
_SPECIAL = re.compile('[&<>"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\ufffe\uffff]')
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


class MalformedXmlError(ValueError):
    """The body is not XML, or not what the shape says."""


class Element:
    """One element: its name and attributes without namespaces."""

    __slots__ = ("attributes", "children", "name", "pieces")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[Element] = []
        self.pieces: list[str] = []

    @property
    def text(self) -> str:
        """Its own text."""
        return "".join(self.pieces)


def load(body: bytes) -> Element:
    """The root element.

    A document type is refused, and with it every declaration of an entity, so nothing can expand.

    Raises:
        MalformedXmlError: it is not well-formed, has a document type, or is nested too deep.
    """
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    root = Element("", {})
    open_elements = [root]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(open_elements) > _DEPTH_LIMIT:
            raise MalformedXmlError("nested too deep")
        local = {key.rpartition("}")[2]: value for key, value in attributes.items()}
        element = Element(name.rpartition("}")[2], local)
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_name: str) -> None:
        open_elements.pop()

    def text(data: str) -> None:
        open_elements[-1].pieces.append(data)

    def refuse(*_declaration: object) -> None:
        raise MalformedXmlError("a document type is not allowed")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise MalformedXmlError(str(error)) from None
    return root.children[0]


def read(shape: Shape, element: Element) -> Any:
    """The value that an element stands for.

    Raises:
        MalformedXmlError: it does not fit the shape.
    """
    if shape.kind == "structure":
        return read_members(shape, element)
    if shape.kind == "list":
        name = shape.item.wire_name or "member"
        return [read(shape.item, child) for child in element.children if child.name == name]
    if shape.kind == "map":
        return dict(_entry(shape, child) for child in element.children if child.name == "entry")
    text = element.text if shape.kind == "string" else element.text.strip()
    try:
        return read_text(shape, text, timestamps.ISO8601)
    except ValueError:
        raise MalformedXmlError(f"`{text}` in <{element.name}>") from None


def read_members(shape: Shape, element: Element) -> dict[str, Any]:
    """A structure's members that travel in the body; unknown elements are left out."""
    found: dict[str, Any] = {}
    by_name: dict[str, list[Element]] = {}
    for child in element.children:
        by_name.setdefault(child.name, []).append(child)
    for name, member in shape.members.items():
        if member.is_xml_attribute:
            local = (member.wire_name or name).rpartition(":")[2]
            if local in element.attributes:
                found[name] = element.attributes[local]
        elif member.location is None and (children := by_name.get(_member_name(name, member))):
            found[name] = _read_member(member, children)
    return found


def _read_member(member: Shape, children: list[Element]) -> Any:
    if not member.is_flattened:
        return read(member, children[0])
    if member.kind == "list":
        return [read(member.item, child) for child in children]
    return dict(_entry(member, child) for child in children)


def _entry(shape: Shape, element: Element) -> tuple[Any, Any]:
    parts = {child.name: child for child in element.children}
    try:
        return (
            read(shape.key, parts[shape.key.wire_name or "key"]),
            read(shape.value, parts[shape.value.wire_name or "value"]),
        )
    except KeyError as missing:
        raise MalformedXmlError(f"<{element.name}> lacks {missing}") from None


def _member_name(name: str, member: Shape) -> str:
    """The element's name; a flattened list's elements carry the item's own name if it has one."""
    if member.is_flattened and member.kind == "list" and member.item.wire_name:
        return member.item.wire_name
    return member.wire_name or name


def write_members(shape: Shape, value: Mapping[str, Any]) -> str:
    """A structure's members that travel in the body, one element after the other.

    Raises:
        TypeError: the value does not fit the model; a fault of the operation.
    """
    pieces: list[str] = []
    _write_members(shape, value, pieces)
    return "".join(pieces)


def escape(text: str) -> str:
    """Text as the content of an element; control characters become references, as S3 does."""
    return _SPECIAL.sub(_escape_one, text)


def _escape_one(found: re.Match[str]) -> str:
    return _NAMED.get(found[0]) or f"&#x{ord(found[0]):x};"


def _write(name: str, shape: Shape, value: Any, pieces: list[str]) -> None:
    kind = shape.kind
    if kind == "string" and isinstance(value, str):
        pieces.append(f"<{name}>{escape(value)}</{name}>")
    elif kind not in ("structure", "list", "map"):
        text = escape(write_text(shape, value, timestamps.ISO8601))
        pieces.append(f"<{name}>{text}</{name}>")
    elif not value:
        pieces.append(f"<{name}/>")
    else:
        _write_container(name, shape, value, pieces)


def _write_container(name: str, shape: Shape, value: Any, pieces: list[str]) -> None:
    if shape.kind == "structure":
        pieces.append(f"<{name}{_attributes(shape, value)}>")
        _write_members(shape, value, pieces)
    else:
        pieces.append(f"<{name}>")
        _write_parts(shape, value, pieces, shape.xml_part_name)
    pieces.append(f"</{name}>")


def _write_members(shape: Shape, value: Mapping[str, Any], pieces: list[str]) -> None:
    members = shape.members
    for name, item in value.items():
        member = members.get(name)
        if member is None:
            raise TypeError(f"{shape.name} has no member `{name}`")
        if item is None or member.location is not None or member.is_xml_attribute:
            continue
        tag = _member_name(name, member)
        if member.is_flattened:
            _write_parts(member, item, pieces, tag)
        else:
            _write(tag, member, item, pieces)


def _write_parts(shape: Shape, value: Any, pieces: list[str], tag: str) -> None:
    """A list's or a map's elements, under one name."""
    if shape.kind == "list":
        item = shape.item
        for one in value:
            _write(tag, item, one, pieces)
        return
    key_tag, value_tag = shape.key.wire_name or "key", shape.value.wire_name or "value"
    for key, one in value.items():
        pieces.append(f"<{tag}>")
        _write(key_tag, shape.key, key, pieces)
        _write(value_tag, shape.value, one, pieces)
        pieces.append(f"</{tag}>")


def _attributes(shape: Shape, value: Mapping[str, Any]) -> str:
    """Attributes of a structure, with the namespace that their prefix needs."""
    written = ""
    for name, member in shape.xml_attributes:
        if value.get(name) is not None:
            qualified = member.wire_name or name
            written += f' {qualified}="{escape(value[name])}"'
    namespace = shape.traits.get("xmlNamespace")
    if written and isinstance(namespace, dict) and "prefix" in namespace:
        written = f' xmlns:{namespace["prefix"]}="{namespace["uri"]}"' + written
    return written
