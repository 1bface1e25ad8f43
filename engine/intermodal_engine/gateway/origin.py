"""Whose requests come in at all: the machine's own and its jobs', never a foreign web page's.

A page in a browser can send requests to loopback, and with a DNS name that it points there it can
read the answers. So the `Host` header must name this machine and an `Origin` must be our own.
"""

import ipaddress

from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest


class Origins:
    """The names under which the engine may be spoken to."""

    def __init__(self) -> None:
        self._addresses: frozenset[str] = frozenset()

    def allow(self, address: str) -> None:
        """Lets those in who reach the engine at `address`, as a job network's containers do."""
        self._addresses |= {address}

    def check(self, request: HttpRequest) -> None:
        """Refuses what did not come from this machine.

        Raises:
            ServiceError: `AccessDenied`, naming the header.
        """
        host = request.headers.get("host", "")
        if not self._is_ours(_hostname(host)):
            raise ServiceError(
                "AccessDenied",
                f"the engine does not answer to the host `{host}`; it serves this machine only, "
                "under 127.0.0.1, localhost or [::1]",
                status=403,
            )
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            raise ServiceError(
                "AccessDenied",
                f"the engine does not serve web pages of `{origin}`",
                status=403,
            )

    def _is_ours(self, name: str) -> bool:
        if name in ("127.0.0.1", "localhost") or name in self._addresses:
            return True
        if name.endswith(".localhost"):  # loopback by RFC 6761; buckets in the host name
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def _hostname(host: str) -> str:
    """`[::1]:8765` -> `::1`, `localhost:8765` -> `localhost`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
