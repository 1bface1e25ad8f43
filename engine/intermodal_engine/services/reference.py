"""Writes docs/reference/api-coverage.md from the table: `python -m …services.reference > FILE`.

What an operation does is the first paragraph of its function's docstring; which there are at all
is what botocore's models say.
"""

import inspect
import sys
from importlib.metadata import version

from intermodal_engine.services.table import TABLE
from intermodal_engine.wire.models import Service, load_service

_HEAD = """# API coverage: every operation of each service, served or not

This page is made from the code (`python -m intermodal_engine.services.reference`); a test fails
when it is stale. Parameters are checked for all operations, lengths, patterns, ranges and enums,
from botocore's models. An operation that is not served answers `NotImplementedException` with
status 501 and its own name. [What to know](../guides/operations.md) of those that are served is
told by area.

Counted against the models of botocore {botocore}.
"""


def render() -> str:
    """The whole page."""
    services = [load_service(name) for name in sorted(TABLE)]
    return "\n".join(
        [
            _HEAD.format(botocore=version("botocore")),
            "| service | served | of |",
            "|---|---|---|",
            *(
                f"| [{service.name}](#{service.name}) | {len(TABLE[service.name])} "
                f"| {len(service.operation_names)} |"
                for service in services
            ),
            *(line for service in services for line in _section(service)),
            "",
        ]
    )


def served_rows() -> list[str]:
    """The lines of the operations that are served, which do not depend on botocore."""
    return [row for name in sorted(TABLE) for row in _served(name)]


def main() -> None:
    """Prints the page."""
    sys.stdout.write(render())


def _section(service: Service) -> list[str]:
    missing = sorted(set(service.operation_names) - set(TABLE[service.name]))
    return [
        "",
        f"## {service.name}",
        "",
        "| served | what it does |",
        "|---|---|",
        *_served(service.name),
        "",
        f"<details><summary>Not served: {len(missing)}</summary>",
        "",
        ", ".join(f"`{name}`" for name in missing),
        "",
        "</details>",
    ]


def _served(service_name: str) -> list[str]:
    return [
        f"| `{name}` | {_what(operation)} |"
        for name, operation in sorted(TABLE[service_name].items())
    ]


def _what(operation: object) -> str:
    paragraph = (inspect.getdoc(operation) or "").partition("\n\n")[0]
    return " ".join(paragraph.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
