"""Bridges, cables, addresses and routes, as rtnetlink makes them (man 7 rtnetlink)."""

import errno
import os
import socket
import struct
import threading
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import TracebackType
from typing import Self

from intermodal_engine.drivers.network.netlink import (
    CREATE,
    EXCLUSIVE,
    ROUTE,
    Netlink,
    attribute,
    attributes,
    nested,
    text,
)
from intermodal_engine.drivers.supervision.surroundings import CLONE_NEWNET, Kernel

_NEW_LINK, _DEL_LINK, _GET_LINK = 16, 17, 18
_NEW_ADDRESS, _NEW_ROUTE, _DEL_ROUTE, _GET_ROUTE = 20, 24, 25, 26
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_IFLA_NAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_INFO, _IFLA_NAMESPACE_FD = 3, 4, 10, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DESTINATION, _RTA_LINK, _RTA_GATEWAY = 1, 4, 5
_UP = 1
_MAIN_TABLE, _STATIC, _UNICAST, _UNREACHABLE = 254, 4, 1, 7
_LOOPBACK_INDEX = 1
_USUAL_MTU = 1500


class NetworkNamespace:
    """A new network namespace; it lives as long as this object or a process in it does.

    Attributes:
        fd: an open descriptor of it.
    """

    def __init__(self) -> None:
        """A thread of its own leaves the host's namespace, since that is a thread's property."""
        outcome: list[tuple[int, Netlink] | OSError] = []
        thread = threading.Thread(target=_make_namespace, args=(outcome,))
        thread.start()
        thread.join()
        if isinstance(outcome[0], OSError):
            raise outcome[0]
        self.fd, self._netlink = outcome[0]

    def set_up(self, interface: str, address: str, gateway: str, routes: list[str]) -> None:
        """Raises loopback and an interface that a cable has brought here.

        Args:
            interface: its name in here.
            address: the instance's, with the length of the prefix.
            gateway: where routes lead.
            routes: networks that are reached through the gateway.
        """
        _raise(self._netlink, _LOOPBACK_INDEX)
        index = _index(self._netlink, interface)
        _add_address(self._netlink, index, address)
        _raise(self._netlink, index)
        for route in routes:
            _add_route(self._netlink, index, IPv4Network(route), IPv4Address(gateway))

    def take(self) -> int:
        """Hands the descriptor over and lets go."""
        self._netlink.close()
        return self.fd

    def close(self) -> None:
        """Lets go of it."""
        os.close(self.take())


class Links:
    """The host's own network."""

    def __init__(self) -> None:
        self._netlink = Netlink(ROUTE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the socket."""
        self._netlink.close()

    def add_bridge(self, name: str, address: str) -> None:
        """Makes a bridge with an address, unless it is there."""
        info = nested(_IFLA_INFO, text(_INFO_KIND, "bridge"))
        body = _LINK.pack(0, 0, 0, _UP, _UP) + text(_IFLA_NAME, name) + info
        try:
            self._netlink.request(_NEW_LINK, CREATE | EXCLUSIVE, body)
        except FileExistsError:
            return
        self.add_address(name, address)

    def add_cable(
        self, name: str, peer: str, namespace_fd: int, mtu: int, *, bridge: str | None = None
    ) -> None:
        """Lays a cable whose other end is in a namespace, and plugs this end into a bridge."""
        other_end = (
            _LINK.pack(0, 0, 0, 0, 0)
            + text(_IFLA_NAME, peer)
            + _number(_IFLA_MTU, mtu)
            + _number(_IFLA_NAMESPACE_FD, namespace_fd)
        )
        data = nested(_INFO_DATA, nested(_VETH_PEER, other_end))
        body = _LINK.pack(0, 0, 0, _UP, _UP) + text(_IFLA_NAME, name) + _number(_IFLA_MTU, mtu)
        if bridge is not None:
            body += _number(_IFLA_MASTER, socket.if_nametoindex(bridge))
        body += nested(_IFLA_INFO, text(_INFO_KIND, "veth"), data)
        self._netlink.request(_NEW_LINK, CREATE | EXCLUSIVE, body)

    def add_address(self, name: str, address: str) -> None:
        """Gives an interface an address, with the length of its prefix."""
        _add_address(self._netlink, socket.if_nametoindex(name), address)

    def remove(self, index: int) -> None:
        """Removes a bridge or a cable; harmless if it is gone.

        By its number, which no other interface will have: names come back.
        """
        try:
            self._netlink.request(_DEL_LINK, 0, _LINK.pack(0, 0, index, 0, 0))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def fence(self, network: IPv4Network) -> None:
        """Makes addresses of a network that nobody has fail at once, not travel and time out."""
        try:
            self._netlink.request(_NEW_ROUTE, CREATE | EXCLUSIVE, _fence(network))
        except FileExistsError:
            return

    def unfence(self, network: IPv4Network) -> None:
        """Undoes `fence`; harmless if there is none."""
        try:
            self._netlink.request(_DEL_ROUTE, 0, _fence(network))
        except ProcessLookupError:
            return

    def networks(self) -> list[IPv4Network]:
        """Where the host's routes lead, in every routing table, save everywhere."""
        found = []
        for message in self._netlink.dump(_GET_ROUTE, _ROUTE.pack(socket.AF_INET, *[0] * 8)):
            length = 0 if message[7] == _UNREACHABLE else message[1]
            destination = attributes(message[_ROUTE.size :]).get(_RTA_DESTINATION)
            if destination is not None and length:
                found.append(IPv4Network((destination, length), strict=False))
        return found


def links(prefix: str) -> dict[int, str]:
    """The host's interfaces whose names begin so, by their numbers."""
    return {index: name for index, name in socket.if_nameindex() if name.startswith(prefix)}


def way_out_mtu() -> int:
    """The MTU of the interface that the default route leads to; 1500 if there is none."""
    interface = _way_out()
    if interface is None:
        return _USUAL_MTU
    return int(Path(f"/sys/class/net/{interface}/mtu").read_text())


def has_only_ipv6_way_out() -> bool:
    """Whether the default route is one of IPv6 alone."""
    table = Path("/proc/net/ipv6_route")
    if _way_out() is not None or not table.exists():
        return False
    routes = [line.split() for line in table.read_text().splitlines()]
    return any(route[0] == "0" * 32 and route[1] == "00" and route[9] != "lo" for route in routes)


def _way_out() -> str | None:
    """The interface that the default route of IPv4 leads to."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        interface, destination, *_ = line.split()
        if destination == "00000000":
            return interface
    return None


def _make_namespace(outcome: list[tuple[int, Netlink] | OSError]) -> None:
    try:
        Kernel().unshare(CLONE_NEWNET)
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        outcome.append((fd, Netlink(ROUTE)))
    except OSError as error:
        outcome.append(error)


def _raise(netlink: Netlink, index: int) -> None:
    netlink.request(_NEW_LINK, 0, _LINK.pack(0, 0, index, _UP, _UP))


def _index(netlink: Netlink, name: str) -> int:
    for message in netlink.dump(_GET_LINK, _LINK.pack(0, 0, 0, 0, 0)):
        if attributes(message[_LINK.size :]).get(_IFLA_NAME) == name.encode() + b"\0":
            return int(_LINK.unpack_from(message)[2])
    raise OSError(errno.ENODEV, f"no interface `{name}`")


def _add_address(netlink: Netlink, index: int, address: str) -> None:
    host, _, length = address.partition("/")
    packed = IPv4Address(host).packed
    body = _ADDRESS.pack(socket.AF_INET, int(length), 0, 0, index)
    body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    netlink.request(_NEW_ADDRESS, CREATE | EXCLUSIVE, body)


def _add_route(netlink: Netlink, index: int, to: IPv4Network, gateway: IPv4Address) -> None:
    body = _ROUTE.pack(socket.AF_INET, to.prefixlen, 0, 0, _MAIN_TABLE, _STATIC, 0, _UNICAST, 0)
    if to.prefixlen:
        body += attribute(_RTA_DESTINATION, to.network_address.packed)
    body += attribute(_RTA_GATEWAY, gateway.packed) + _number(_RTA_LINK, index)
    netlink.request(_NEW_ROUTE, CREATE | EXCLUSIVE, body)


def _fence(network: IPv4Network) -> bytes:
    body = _ROUTE.pack(
        socket.AF_INET, network.prefixlen, 0, 0, _MAIN_TABLE, _STATIC, 0, _UNREACHABLE, 0
    )
    return body + attribute(_RTA_DESTINATION, network.network_address.packed)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))
