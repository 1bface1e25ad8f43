"""Values for a shape of botocore's models: right ones, wrong ones, huge ones, nested ones."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from intermodal_engine.wire.models import Shape

DEEPEST = 7
"""Shapes may hold themselves; below this only what is required is there."""

_LARGE_CHARACTERS = 1000
ACCOUNT = "123456789012"
HOSTILE = (
    "",
    " ",
    ".",
    "..",
    "../../../../etc/passwd",
    "/etc/passwd",
    "..\\..\\windows",
    "%2e%2e%2f%2e%2e%2fescape",
    "a/../../../escape",
    "nul\0inside",
    "line\nbreak\r\n",
    "\x1b[31mred\x1b[0m",
    "\u202egnp.exe",
    "\ufeff",
    "e\u0301" * 40,
    "\U0001f4a9" * 70,
    "\ud800",
    "a" * 256,
    "a" * 5000,
    "é" * 70000,
    "${jndi:ldap://x}",
    "{{7*7}}",
    "' OR 1=1; --",
    "<script>alert(1)</script>",
    "$(touch escape)",
    "NaN",
    "-1",
    "1e999",
    "9" * 400,
)
KNOWN = (
    "job-1",
    "model-1",
    "config-1",
    "endpoint-1",
    "group-1",
    "missing-1",
    "a",
    "a" * 63,
    f"arn:aws:iam::{ACCOUNT}:role/trainer",
    f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/job-1",
    f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model/model-1",
    f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/endpoint-1",
    f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model-package-group/group-1",
    "s3://data/train",
    "s3://data/../escape",
    "s3://data/model.tar.gz",
    "s3://missing/a/b",
    "img:1",
    f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.13.0-cpu-py312",
    "/opt/ml/input/data",
    "/opt/ml/processing/in",
    "/aws/sagemaker/TrainingJobs",
    "endpoint/endpoint-1/variant/AllTraffic",
    "sagemaker:variant:DesiredInstanceCount",
    "1",
    "0.5",
    "application/json",
    "AllTraffic",
)
_NUMBERS = (0, 1, -1, 2, 7, 60, 255, 3600, 2**31 - 1, 2**31, -(2**63), 2**63 - 1, 2**63, 10**30)
_MOMENTS = (0, 1.5, 1_700_000_000, -1, 253402300800, 1e18, -1e300, 2**63)

texts: SearchStrategy[str] = st.one_of(
    st.sampled_from(HOSTILE), st.sampled_from(KNOWN), st.text(max_size=20)
)
scalars: SearchStrategy[Any] = st.one_of(
    texts,
    st.sampled_from(_NUMBERS),
    st.sampled_from((None, True, False, 0.1, -0.0, 1e308)),
)
documents: SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
deep: SearchStrategy[Any] = st.sampled_from((10, 100, 400)).map(lambda depth: _nested(depth))
wild: SearchStrategy[Any] = st.one_of(scalars, documents, deep)
"""Anything that JSON can say, where the model says something else."""


def values(shape: Shape, depth: int = 0) -> SearchStrategy[Any]:
    """What the model allows, and once in a while what it does not."""
    return _Builder.of(shape, depth)


class _Builder:
    """Makes one strategy for each shape, depth and place in a structure."""

    _made: dict[tuple[int, int], SearchStrategy[Any]] = {}  # noqa: RUF012 - a cache for all
    _kept: list[Shape] = []  # noqa: RUF012 - their ids stay theirs as long as they live

    @classmethod
    def of(cls, shape: Shape, depth: int) -> SearchStrategy[Any]:
        key = (id(shape), depth)
        if key not in cls._made:
            cls._kept.append(shape)
            make = _MAKERS.get(shape.kind, _string)
            right = st.deferred(lambda: make(shape, depth + 1))
            odds = st.integers(0, 39)
            cls._made[key] = odds.flatmap(lambda number: right if number else wild)
        return cls._made[key]


def _structure(shape: Shape, depth: int) -> SearchStrategy[Any]:
    if shape.is_document:
        return documents
    required = set(shape.required)
    optional = [] if depth > DEEPEST else [one for one in shape.members if one not in required]

    @st.composite
    def build(draw: Callable[[SearchStrategy[Any]], Any]) -> dict[str, Any]:
        chosen = set(draw(st.lists(st.sampled_from(optional), max_size=5))) if optional else set()
        dropped = draw(st.sampled_from(sorted(required))) if required and _rarely(draw) else None
        return {
            member.wire_name or name: draw(values(member, depth))
            for name, member in shape.members.items()
            if (name in required and name != dropped) or name in chosen
        }

    return build()


def _list(shape: Shape, depth: int) -> SearchStrategy[Any]:
    least = min(shape.traits.get("min", 0), 4)
    most = max(least, 1 if depth > DEEPEST else 3)
    usual = st.lists(values(shape.item, depth), min_size=least, max_size=most)
    many = values(shape.item, depth).map(_many)
    return st.integers(0, 49).flatmap(lambda number: usual if number else many)


def _map(shape: Shape, depth: int) -> SearchStrategy[Any]:
    keys = values(shape.key, depth).map(_as_key)
    return st.dictionaries(keys, values(shape.value, depth), max_size=3)


def _string(shape: Shape, depth: int) -> SearchStrategy[Any]:
    if names := shape.traits.get("enum"):
        return st.sampled_from(names)
    pattern = shape.traits.get("pattern")
    least = shape.traits.get("min", 0)
    most = shape.traits.get("max", 1 << 30)
    fitting = [one for one in KNOWN if _fits(pattern, one) and least <= len(one) <= most]
    if fitting:
        return st.sampled_from(fitting)
    written = _by_pattern(pattern)
    return texts if written is None else written


def _number(shape: Shape, depth: int) -> SearchStrategy[Any]:
    least = int(shape.traits.get("min", -5))
    most = int(min(shape.traits.get("max", 1 << 40), 1 << 40))
    small = st.integers(least, min(most, least + 10))
    edges = st.sampled_from((least, most, least - 1, most + 1))
    return st.one_of(small, small, edges, st.sampled_from(_NUMBERS))


def _float(shape: Shape, depth: int) -> SearchStrategy[Any]:
    return st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from((0.0, 0.5, 1.0, 100))


def _moment(shape: Shape, depth: int) -> SearchStrategy[Any]:
    return st.sampled_from(_MOMENTS)


def _blob(shape: Shape, depth: int) -> SearchStrategy[Any]:
    return st.sampled_from(("", "aGk=", "no base64!", "QUJD" * 5000))


def _boolean(shape: Shape, depth: int) -> SearchStrategy[Any]:
    return st.booleans()


_MAKERS: dict[str, Callable[[Shape, int], SearchStrategy[Any]]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "integer": _number,
    "long": _number,
    "float": _float,
    "double": _float,
    "timestamp": _moment,
    "blob": _blob,
    "boolean": _boolean,
}


def _many(one: Any) -> list[Any]:
    # Of something large as well, lists within lists would be larger than the memory.
    return [one] * (300 if len(repr(one)) < _LARGE_CHARACTERS else 1)


def _rarely(draw: Callable[[SearchStrategy[Any]], Any]) -> bool:
    return bool(draw(st.integers(0, 19)) == 0)


def _as_key(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)[:50]


def _nested(depth: int) -> Any:
    value: Any = "deep"
    for number in range(depth):
        value = [value] if number % 2 else {"a": value}
    return value


@cache
def _fits(pattern: str | None, text: str) -> bool:
    if pattern is None:
        return True
    try:
        return re.fullmatch(pattern, text) is not None
    except re.error:  # Java's own: the engine compiles it, the attacker need not
        return False


@cache
def _by_pattern(pattern: str | None) -> SearchStrategy[str] | None:
    try:
        return None if pattern is None else st.from_regex(re.compile(pattern), fullmatch=True)
    except re.error:
        return None
