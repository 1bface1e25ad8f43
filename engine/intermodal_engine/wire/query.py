"""Query strings and forms, decoded."""

from urllib.parse import unquote_plus

Query = dict[str, list[str]]


def parse_query(text: str) -> Query:
    """The parameters of a query string or form, decoded, in order."""
    query: Query = {}
    for pair in text.split("&") if text else ():
        name, _, value = pair.partition("=")
        if pair:
            query.setdefault(_decode(name), []).append(_decode(value))
    return query


def _decode(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text
