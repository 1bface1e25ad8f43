"""How jobs, estimators, models and endpoints show themselves: a line of text, a card of HTML."""

from collections.abc import Mapping
from html import escape
from typing import Any


def line(kind: str, facts: Mapping[str, Any]) -> str:
    """As in `Model(name='m')`; facts that are `None` are left out."""
    told = ", ".join(f"{name}={value!r}" for name, value in facts.items() if value is not None)
    return f"{kind}({told})"


def card(kind: str, facts: Mapping[str, Any], url: str | None) -> str:
    """A small table, all of it escaped, with a link where AWS's console shows the same."""
    rows = "".join(
        f'<tr style="background:none"><td style="text-align:left;opacity:.65">{escape(name)}</td>'
        f'<td style="text-align:left">{escape(str(value))}</td></tr>'
        for name, value in facts.items()
        if value is not None
    )
    link = f' <a href="{escape(url)}" target="_blank" rel="noopener">AWS console</a>' if url else ""
    return (
        f'<div style="font-family:monospace;font-size:13px"><b>{escape(kind)}</b>{link}'
        f'<table style="margin:4px 0">{rows}</table></div>'
    )


def status_of(describe: Any, *names: str) -> dict[str, Any]:
    """What a description says under these names; nothing where it cannot be had."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        description = describe()
    except (BotoCoreError, ClientError, ValueError):
        # Whoever looks at a thing may not be allowed to describe it, or be off line.
        return {}
    return {name: description.get(name) for name in names}
