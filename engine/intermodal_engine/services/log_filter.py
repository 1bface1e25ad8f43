"""Filter patterns of CloudWatch Logs, as far as they are words.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

import re
from dataclasses import dataclass

from intermodal_engine.wire.errors import ServiceError

_TERM = re.compile(r'([?-]?)(?:"((?:[^"\\]|\\.)*)"|(\S+))\s*')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages a pattern lets through; upper and lower case differ.

    Attributes:
        required: each of them occurs.
        optional: at least one of them occurs, if there are any.
        excluded: none of them occurs.
    """

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def lets_through(self, message: str) -> bool:
        """Whether the pattern matches."""
        return (
            all(term in message for term in self.required)
            and (not self.optional or any(term in message for term in self.optional))
            and not any(term in message for term in self.excluded)
        )


def parse_filter(pattern: str) -> Filter:
    """Reads a pattern: words, `"quoted words"`, `?any ?of`, `-without`.

    Raises:
        ServiceError: a JSON, column or regular-expression pattern, or no pattern at all.
    """
    text = pattern.strip()
    if text[:1] in ("{", "[") or re.search(r"%.*%", text):
        raise ServiceError(
            "InvalidParameterException",
            f"Invalid filter pattern: intermodal's engine matches words, not `{text}`. Use words, "
            '"quoted words", ?any ?of or -without, and filter the rest on your side.',
        )
    found: dict[str, list[str]] = {"": [], "?": [], "-": []}
    position = 0
    while position < len(text):
        term = _TERM.match(text, position)
        if term is None or (term[3] or "").startswith('"'):
            raise ServiceError(
                "InvalidParameterException",
                f"Invalid filter pattern: a quote is left open in `{text}`",
            )
        found[term[1]].append(term[3] or _ESCAPED.sub(r"\1", term[2]))
        position = term.end()
    return Filter(tuple(found[""]), tuple(found["?"]), tuple(found["-"]))
