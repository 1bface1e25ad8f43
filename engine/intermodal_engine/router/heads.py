"""How the head of a request to an instance is written."""

from collections.abc import Mapping


def request_head(
    method: str, path: str, host: str, headers: Mapping[str, str], content_length: int
) -> bytes:
    """A request's first line and headers.

    Args:
        method: upper case.
        path: as it shall be sent.
        host: for the `Host` header.
        headers: names and values without line breaks.
        content_length: of the body, in bytes.
    """
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {content_length}\r\n\r\n")
    return "\r\n".join(lines).encode("latin-1")
