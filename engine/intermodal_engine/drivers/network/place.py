"""Where an instance is on the network, whichever way it got there."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """What an instance needs to know, and to be given.

    Attributes:
        hosts: host name to address, for its /etc/hosts.
        addresses: for each port of the spec, where the engine reaches it.
        variables: what its programs must be told.
        namespace_fd: its network namespace, open; None if it shares the host's.
    """

    hosts: Mapping[str, str]
    addresses: Mapping[int, tuple[str, int]]
    variables: Mapping[str, str]
    namespace_fd: int | None = None


def hosts_file(hosts: Mapping[str, str]) -> str:
    """Content of /etc/hosts of an instance of such a group."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    lines += [f"{address} {name}" for name, address in hosts.items()]
    return "\n".join(lines) + "\n"
