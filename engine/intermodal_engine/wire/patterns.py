"""The models' regular expressions, which are Java's, as Python's."""

import re
import unicodedata
from functools import cache

_POSIX = {
    "Alnum": "a-zA-Z0-9",
    "Alpha": "a-zA-Z",
    "ASCII": "\\x00-\\x7f",
    "Digit": "0-9",
    "Graph": "!-~",
    "Lower": "a-z",
    "Print": "\\x20-~",
    "Punct": "!-/:-@\\[-`{-~",
    "Space": "\\x09-\\x0d\\x20",
    "Upper": "A-Z",
}
_SURROGATES = re.compile(r"\\uD800\\uDC00-\\uDBFF\\uDFFF", re.IGNORECASE)
_ANCHORED_REPEAT = re.compile(r"\$\{\d+(?:,\d*)?\}")
# Planes beyond the third hold private use and tags only.
_LAST_CODE_POINT = 0x3FFFF


@cache
def compile_pattern(pattern: str) -> re.Pattern[str] | None:
    """The pattern for `fullmatch`; None if Python cannot express it, so that it is not checked."""
    try:
        return re.compile(_translate(pattern))
    except (re.error, RecursionError, OverflowError):
        return None


def _translate(pattern: str) -> str:
    pattern = _SURROGATES.sub(r"\\U00010000-\\U0010ffff", pattern)
    pattern = _ANCHORED_REPEAT.sub("$", pattern)
    pieces: list[str] = []
    depth = position = 0
    while position < len(pattern):
        piece, width = _next(pattern, position, depth)
        if piece == "[" and pattern[position] == "[":
            depth += 1
            piece, width = _open(pattern, position, depth)
        elif pattern[position] == "]" and depth:
            depth -= 1
            piece = "]" if depth == 0 else ""
        pieces.append(piece)
        position += width
    return "".join(pieces)


def _next(pattern: str, position: int, depth: int) -> tuple[str, int]:
    """One token in Python's words, and how many characters of the pattern it took."""
    char = pattern[position]
    if char == "\\":
        return _escape(pattern, position, depth)
    if depth and char == "-" and position and _follows_class(pattern, position):
        return "\\-", 1
    if depth and pattern.startswith("&&", position):
        raise re.error("an intersection of classes")
    if depth and char in "|~":
        return f"\\{char}", 1
    return char, 1


def _open(pattern: str, position: int, depth: int) -> tuple[str, int]:
    """The start of a character class; one inside another adds to it, as in Java."""
    if depth > 1:
        return "", 1
    # A bracket right after the opening one is a literal in both.
    for literal in ("[^]", "[]"):
        if pattern.startswith(literal, position):
            return literal[:-1] + "\\]", len(literal)
    return "[", 1


def _escape(pattern: str, position: int, depth: int) -> tuple[str, int]:
    letter = pattern[position + 1 : position + 2]
    if letter in ("p", "P"):
        return _property(pattern, position, depth)
    if letter == "z":
        return "\\Z", 2
    if letter == "Z":
        return "(?=\\n?\\Z)", 2
    if letter == "h":
        return (" \\t" if depth else "[ \\t]"), 2
    return pattern[position : position + 2], 2


def _property(pattern: str, position: int, depth: int) -> tuple[str, int]:
    r"""`\p{L}` and its like: as ranges, since Python has no such escape."""
    if pattern[position + 2 : position + 3] == "{":
        end = pattern.index("}", position)
        name, width = pattern[position + 3 : end], end + 1 - position
    else:
        name, width = pattern[position + 2], 3
    ranges = _POSIX.get(name) or _category_ranges(name.removeprefix("Is"))
    if pattern[position + 1] == "P":
        if depth:
            raise re.error("a negated property inside a class")
        return f"[^{ranges}]", width
    return (ranges if depth else f"[{ranges}]"), width


def _follows_class(pattern: str, position: int) -> bool:
    r"""Whether the hyphen comes right after `\w` or its like, where it cannot be a range."""
    return pattern[position - 2 : position] in ("\\w", "\\d", "\\s", "\\W", "\\D", "\\S")


@cache
def _category_ranges(name: str) -> str:
    """The characters of a Unicode general category, as the inside of a character class."""
    written: list[str] = []
    for first, last, category in _categories():
        if category.startswith(name):
            written.append(_code(first) if first == last else f"{_code(first)}-{_code(last)}")
    if not written:
        raise re.error(f"no such category: {name}")
    return "".join(written)


@cache
def _categories() -> tuple[tuple[int, int, str], ...]:
    """Runs of code points of one category each."""
    runs: list[tuple[int, int, str]] = []
    first, current = 0, unicodedata.category("\0")
    for point, category in enumerate(map(unicodedata.category, map(chr, range(_LAST_CODE_POINT)))):
        if category != current:
            runs.append((first, point - 1, current))
            first, current = point, category
    runs.append((first, _LAST_CODE_POINT - 1, current))
    return tuple(runs)


def _code(point: int) -> str:
    return f"\\U{point:08x}"
