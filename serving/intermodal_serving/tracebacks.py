"""Which part of a traceback is the user's, and how a failure is told in one line."""

import traceback
from pathlib import Path
from types import TracebackType

_OWN_FOLDER = str(Path(__file__).parent)
_MESSAGE_LIMIT = 1000
_PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})


def user_traceback(error: BaseException) -> str:
    """The traceback from the user's first line on, without the server's own frames."""
    return "".join(traceback.format_exception(type(error), error, _users_part(error))).rstrip()


def describe(error: BaseException) -> str:
    """`ValueError: boom (inference.py:12)`: the type, the message and the user's line."""
    message = _without_traceback(str(error))[:_MESSAGE_LIMIT]
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    place = _place(error)
    return f"{text} ({place})" if place else text


def _users_part(error: BaseException) -> TracebackType | None:
    """The traceback without our frames, before the user's first one and between them."""
    parts = []
    part = error.__traceback__
    while part is not None:
        if not _is_ours(part):
            parts.append(part)
        part = part.tb_next
    left: TracebackType | None = None
    for part in reversed(parts):
        left = TracebackType(left, part.tb_frame, part.tb_lasti, part.tb_lineno)
    return left


def _is_ours(part: TracebackType) -> bool:
    name = part.tb_frame.f_code.co_filename
    return name.startswith((_OWN_FOLDER, "<frozen importlib"))


def _place(error: BaseException) -> str | None:
    first = _users_part(error)
    if first is None:
        return None
    folder = Path(first.tb_frame.f_code.co_filename).parent
    if _PACKAGE_FOLDERS & set(folder.parts):
        return None
    place = None
    # The deepest line in the user's own folder says more than one in a library.
    for frame, line in traceback.walk_tb(first):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(folder):
            place = f"{path.name}:{line}"
    return place


def _without_traceback(message: str) -> str:
    """TorchScript puts its own traceback into the message; its last line is the error itself."""
    lines = message.strip().splitlines()
    if any(line.startswith("Traceback") for line in lines):
        return lines[-1].partition(": ")[2] or lines[-1]
    return message
