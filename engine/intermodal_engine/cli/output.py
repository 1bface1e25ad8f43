"""How messages to people look: errors on stderr, with a hint on a line of its own."""

import os
import sys

from intermodal_contract.errors import IntermodalError

_RED, _CYAN, _BOLD = "31", "36", "1"


def print_error(error: IntermodalError) -> None:
    """Writes `error: …` and `hint: …` to stderr."""
    print(f"{_styled('error', _RED)}: {error.message}", file=sys.stderr)
    if error.hint:
        print_hint(error.hint)


def print_hint(hint: str) -> None:
    """Writes `hint: …` to stderr."""
    print(f"{_styled('hint', _CYAN)}: {hint}", file=sys.stderr)


def print_note(message: str) -> None:
    """Writes a message that is neither data nor an error."""
    print(message, file=sys.stderr)


def _styled(word: str, style: str) -> str:
    """Colours a word where a person reads it (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or not sys.stderr.isatty():
        return word
    return f"\033[{_BOLD};{style}m{word}\033[0m"
