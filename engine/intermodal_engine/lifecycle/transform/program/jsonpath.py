"""The part of JSONPath that SageMaker's filters have.

`$`, `.NAME`, `.*`, `['NAME','NAME']`, `[INDEX,INDEX]` and `[START:END]`; negative indices count
from the end. https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform-data-processing.html
"""

import re
from dataclasses import dataclass
from typing import Any

_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]\s'"*]+)
      | (?P<all>\.\*|\[\*\])
      | \[\s*(?P<names>(?:'[^']*'|"[^"]*")(?:\s*,\s*(?:'[^']*'|"[^"]*"))*)\s*\]
      | \[\s*(?P<start>-?\d*)\s*:\s*(?P<end>-?\d*)\s*\]
      | \[\s*(?P<places>(?:-?\d+|-?\d*\s*:\s*-?\d*)(?:\s*,\s*(?:-?\d+|-?\d*\s*:\s*-?\d*))*)\s*\]""",
    re.VERBOSE,
)
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")

Place = int | slice


class InvalidPathError(ValueError):
    """The expression is none that can be used here."""


class NoMatchError(ValueError):
    """The expression names something that the value does not have."""


@dataclass(frozen=True, slots=True)
class _Names:
    """Members of an object; one alone is taken out, several stay an object."""

    names: tuple[str, ...]

    def apply(self, value: Any) -> Any:
        if not isinstance(value, dict):
            raise NoMatchError(f"there is no {_quoted(self.names)} in {_kind(value)}")
        missing = [name for name in self.names if name not in value]
        if missing:
            raise NoMatchError(f"there is no {_quoted(missing)}")
        if len(self.names) == 1:
            return value[self.names[0]]
        return {name: value[name] for name in self.names}


@dataclass(frozen=True, slots=True)
class _Places:
    """Elements of an array; one index alone is taken out, anything else stays an array."""

    places: tuple[Place, ...]

    def apply(self, value: Any) -> Any:
        if not isinstance(value, list):
            raise NoMatchError(f"there are no elements in {_kind(value)}")
        found = [_element(value, place) for place in self.places]
        if len(found) == 1 and isinstance(self.places[0], int):
            return found[0][0]
        return [element for some in found for element in some]


@dataclass(frozen=True, slots=True)
class _All:
    """Every element, or every member's value, as an array."""

    def apply(self, value: Any) -> Any:
        if isinstance(value, dict):
            return list(value.values())
        if isinstance(value, list):
            return value
        raise NoMatchError(f"there is nothing in {_kind(value)}")


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed expression.

    Attributes:
        text: as it was written.
        steps: from the root.
    """

    text: str
    steps: tuple[_Names | _Places | _All, ...]

    @property
    def is_whole(self) -> bool:
        """Whether it takes everything."""
        return not self.steps

    def apply(self, value: Any) -> Any:
        """What the expression takes of a JSON value.

        Raises:
            NoMatchError: something that it names is not there.
        """
        many = False
        for step in self.steps:
            value = [step.apply(one) for one in value] if many else step.apply(value)
            many = many or _is_many(step)
        return value


def parse(text: str) -> Path:
    """Reads an expression.

    Raises:
        InvalidPathError: naming the place from which it is not understood.
    """
    if not text.startswith("$"):
        raise InvalidPathError(f"`{text}` does not begin with `$`")
    steps: list[_Names | _Places | _All] = []
    at = 1
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise InvalidPathError(f"`{text}` is not understood from `{text[at:]}` on")
        steps.append(_step(found))
        at = found.end()
    return Path(text, tuple(steps))


def _step(found: re.Match[str]) -> _Names | _Places | _All:
    parts = found.groupdict()
    if parts["name"] is not None:
        return _Names((parts["name"],))
    if parts["all"] is not None:
        return _All()
    if parts["names"] is not None:
        return _Names(tuple(one or other for one, other in _QUOTED.findall(parts["names"])))
    text = parts["places"] if parts["places"] is not None else f"{parts['start']}:{parts['end']}"
    return _Places(tuple(_place(one.strip()) for one in text.split(",")))


def _place(text: str) -> Place:
    if ":" not in text:
        return int(text)
    start, end = (one.strip() for one in text.split(":"))
    return slice(int(start) if start else None, int(end) if end else None)


def _element(value: list[Any], place: Place) -> list[Any]:
    """As a list, so that slices and indices look the same; an index must be there."""
    if isinstance(place, slice):
        return value[place]
    if not -len(value) <= place < len(value):
        raise NoMatchError(f"there is no element {place}: there are {len(value)}")
    return [value[place]]


def _is_many(step: _Names | _Places | _All) -> bool:
    if isinstance(step, _Places):
        return len(step.places) > 1 or isinstance(step.places[0], slice)
    return isinstance(step, _All)


def _quoted(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", type(None): "null"}
    return kinds.get(type(value), "a number or a truth value")
