"""What a person wants measured, where that is not everything."""

import os
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def chosen(variable: str, known: Mapping[str, T]) -> list[T]:
    """What an environment variable names, in the order of all there are; all if it is not set.

    Raises:
        SystemExit: it names something else, which would otherwise go unmeasured in silence.
    """
    text = os.environ.get(variable)
    if text is None:
        return list(known.values())
    names = {name.casefold() for name in text.replace(",", " ").split()}
    unknown = names - {name.casefold() for name in known}
    if unknown:
        raise SystemExit(f"`{variable}` names `{min(unknown)}`; there are {', '.join(known)}")
    return [value for name, value in known.items() if name.casefold() in names]
