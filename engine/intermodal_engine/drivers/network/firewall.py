"""The way out of private networks: address translation by nf_tables, spoken to over netlink.

One table `intermodal` serves all engines of the machine; its rules go by the names of our
interfaces, which all begin with `im`. Each engine adds chains of its own: one leads its instances
to its port, two keep in what isolated instances send, save their answers to the host.
Forwarding is switched on only while our networks exist. Where it was off before, nothing but our
traffic is forwarded, and the last network switches it off again.
"""

import fcntl
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from intermodal_engine.drivers.network.links import Links, links
from intermodal_engine.drivers.network.netlink import (
    ACK,
    APPEND,
    CREATE,
    NETFILTER,
    Netlink,
    attribute,
    attributes,
    nested,
    text,
)

LINK_PREFIX = "im"
"""All our interfaces' names begin so."""
ISOLATED = "i"
"""Follows the engine's id in the names of interfaces that nothing may leave by."""
TABLE = "intermodal"

_OWNED = re.compile("(?:engine|to-host|to-others)-([0-9a-f]{6})")
"""The names of chains that are one engine's, and its id."""

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_LOCK = Path("/run/lock/intermodal-network")
_LEGACY_TABLES = Path("/proc/net/ip_tables_names")

_SUBSYSTEM = 10
_NEW_TABLE, _DEL_TABLE = 0, 2
_NEW_CHAIN, _GET_CHAIN, _DEL_CHAIN, _NEW_RULE = 3, 4, 5, 6
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_IPV4 = 2
_FORWARDING_FAMILIES = (_IPV4, 1)
_PREROUTING, _INPUT, _FORWARD, _POSTROUTING = 0, 1, 2, 4
_DROP, _ACCEPT = 0, 1
_REGISTER, _VERDICT_REGISTER = 1, 0
_EQUAL, _NOT_EQUAL = 0, 1
_META_IN, _META_OUT, _META_PROTOCOL = 6, 7, 16
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_SOURCE, _DESTINATION, _DESTINATION_PORT = 12, 16, 2
_TCP = 6
_ESTABLISHED_OR_RELATED = 0b110

Message = tuple[int, int, bytes]


class Firewall:
    """What one engine asks of nf_tables.

    Args:
        engine_id: tells this engine's interfaces from another's: names begin with `im<engine_id>`.
        pool: addresses of private networks.
        gateway: address under which instances reach the engine.
        engine_port: where the engine listens on 127.0.0.1.
    """

    def __init__(
        self, engine_id: str, pool: IPv4Network, gateway: IPv4Address, engine_port: int
    ) -> None:
        self._prefix = LINK_PREFIX + engine_id
        self._isolated = self._prefix + ISOLATED
        self._chain, self._to_host, self._to_others = (
            f"{purpose}-{engine_id}" for purpose in ("engine", "to-host", "to-others")
        )
        self._chains = (self._chain, self._to_host, self._to_others)
        self._pool = pool
        self._gateway = gateway
        self._port = engine_port
        self._is_ours_current = False

    def open(self) -> None:
        """Puts everything in place; harmless twice. Called when the interfaces are there.

        Raises:
            OSError: the kernel refuses.
        """
        with _locked(), Netlink(NETFILTER) as netlink:
            present = [chain.name for chain in chains(netlink) if chain.table == TABLE]
            if not present:
                was_off = _FORWARDING.read_text().strip() == "0"
                _batch(netlink, _shared_table(self._pool, was_off=was_off))
                _FORWARDING.write_text("1")
            with Links() as host:
                host.fence(self._pool)
            if self._chain not in present or not self._is_ours_current:
                # An earlier run of this engine may have left some, and had another port.
                _batch(netlink, [*self._removal(present), *self._own_chains()])
            self._is_ours_current = True

    def close(self) -> None:
        """Takes its own chains away after this engine's last network, the table after all engines'.

        So go the chains of engines that are no more and have no interface left. Whoever is about to
        make a network is safe: they open after they have made interfaces.
        """
        with _locked(), Netlink(NETFILTER) as netlink:
            if links(self._prefix):
                return
            present = [chain.name for chain in chains(netlink) if chain.table == TABLE]
            owners = {name: found[1] for name in present if (found := _OWNED.fullmatch(name))}
            unused = [name for name, owner in owners.items() if not links(LINK_PREFIX + owner)]
            _batch(netlink, [_message(_DEL_CHAIN, 0, _named(name)) for name in unused])
            if not present or links(LINK_PREFIX):
                return
            _batch(netlink, [_message(_DEL_TABLE, 0, text(1, TABLE))])
            with Links() as host:
                host.unfence(self._pool)
            if "forward-was-off" in present:
                _FORWARDING.write_text("0")

    def _removal(self, present: list[str]) -> list[Message]:
        own = (name for name in self._chains if name in present)
        return [_message(_DEL_CHAIN, 0, _named(name)) for name in own]

    def _own_chains(self) -> list[Message]:
        """What an instance sends to the gateway's address goes to the engine on loopback.

        Instances of one network are behind one bridge: what they send to each other comes by here
        only where the host has bridged packets filtered, and then leaves by an isolated link.
        """
        return [
            _base_chain(self._chain, "nat", _PREROUTING, -100),
            _rule(
                self._chain,
                *_from_link(self._prefix),
                *_header(_NETWORK_HEADER, _DESTINATION, self._gateway.packed),
                *_is_tcp(),
                *_header(_TRANSPORT_HEADER, _DESTINATION_PORT, struct.pack("!H", self._port)),
                _immediate(1, IPv4Address("127.0.0.1").packed),
                _expression("nat", _be32(1, 1), _be32(2, _IPV4), _be32(3, 1)),
            ),
            _base_chain(self._to_host, "filter", _INPUT, 0),
            _rule(self._to_host, *_from_link(self._isolated), *_is_answer(), _verdict(_ACCEPT)),
            _rule(self._to_host, *_from_link(self._isolated), _verdict(_DROP)),
            _base_chain(self._to_others, "filter", _FORWARD, -1),
            _rule(
                self._to_others,
                *_from_link(self._isolated),
                _meta(_META_OUT),
                _compare(_NOT_EQUAL, self._isolated.encode()),
                _verdict(_DROP),
            ),
        ]


class Chain:
    """A chain as the kernel describes it."""

    def __init__(self, family: int, message: bytes) -> None:
        found = attributes(message)
        self.family = family
        self.table = found[1].rstrip(b"\0").decode()
        self.name = found[3].rstrip(b"\0").decode()
        hook = attributes(found.get(4, b""))
        self.hook = struct.unpack("!I", hook[1])[0] if 1 in hook else None
        self.drops = 5 in found and struct.unpack("!I", found[5])[0] == _DROP
        self.uses = struct.unpack("!I", found[6])[0] if 6 in found else 0


def is_foreign_firewall_in_the_way() -> bool:
    """Whether somebody else filters forwarded or incoming traffic.

    Their verdict to drop is final whatever our table says, and nobody can tell from outside what
    their rules do; such a machine (docker, ufw, firewalld) keeps to the shared network.
    """
    if _LEGACY_TABLES.exists() and _LEGACY_TABLES.read_text().strip():
        return True
    with Netlink(NETFILTER) as netlink:
        return any(
            chain.table != TABLE
            and chain.family in _FORWARDING_FAMILIES
            and chain.hook in (_INPUT, _FORWARD)
            and (chain.drops or chain.uses)
            for chain in chains(netlink)
        )


def _shared_table(pool: IPv4Network, *, was_off: bool) -> list[Message]:
    """Source addresses change on the way out; only answers come in; loopback stays the host's."""
    mask, network = pool.netmask.packed, pool.network_address.packed
    marker = [_message(_NEW_CHAIN, CREATE, _named("forward-was-off"))] if was_off else []
    closing = [_rule("forward", _verdict(_DROP))] if was_off else []
    return [
        _message(_NEW_TABLE, CREATE, text(1, TABLE)),
        *marker,
        _base_chain("way-out", "nat", _POSTROUTING, 100),
        _rule(
            "way-out",
            *_masked(_SOURCE, mask, network, _EQUAL),
            *_masked(_DESTINATION, mask, network, _NOT_EQUAL),
            _expression("masq"),
        ),
        _base_chain("guard", "filter", _PREROUTING, -300),
        _rule(
            "guard",
            *_from_link(LINK_PREFIX),
            *_masked(_DESTINATION, bytes([255, 0, 0, 0]), bytes([127, 0, 0, 0]), _EQUAL),
            _verdict(_DROP),
        ),
        _base_chain("forward", "filter", _FORWARD, 0),
        _rule("forward", *_from_link(LINK_PREFIX), _verdict(_ACCEPT)),
        _rule("forward", *_to_link(LINK_PREFIX), *_is_answer(), _verdict(_ACCEPT)),
        _rule("forward", *_to_link(LINK_PREFIX), _verdict(_DROP)),
        *closing,
    ]


def chains(netlink: Netlink) -> list[Chain]:
    """Every chain of the network namespace, of all tables."""
    body = struct.pack("!BBH", 0, 0, 0)
    messages = netlink.dump(_SUBSYSTEM << 8 | _GET_CHAIN, body)
    return [Chain(message[0], message[4:]) for message in messages]


def _batch(netlink: Netlink, messages: list[Message]) -> None:
    """All or nothing."""
    frame = struct.pack("!BBH", 0, 0, _SUBSYSTEM)
    data = netlink.message(_BATCH_BEGIN, 0, frame)
    data += b"".join(netlink.message(*message) for message in messages)
    data += netlink.message(_BATCH_END, 0, frame)
    netlink.send(data, acknowledgements=len(messages))


def _message(kind: int, flags: int, body: bytes) -> Message:
    header = struct.pack("!BBH", _IPV4, 0, 0)
    return _SUBSYSTEM << 8 | kind, flags | ACK, header + body


def _named(chain: str) -> bytes:
    return text(1, TABLE) + text(3, chain)


def _base_chain(name: str, kind: str, hook: int, priority: int) -> Message:
    place = nested(4, _be32(1, hook), attribute(2, struct.pack("!i", priority)))
    return _message(_NEW_CHAIN, CREATE, _named(name) + place + text(7, kind))


def _rule(chain: str, *expressions: bytes) -> Message:
    body = text(1, TABLE) + text(2, chain) + nested(4, *expressions)
    return _message(_NEW_RULE, CREATE | APPEND, body)


def _expression(name: str, *fields: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *fields))


def _from_link(prefix: str) -> list[bytes]:
    return [_meta(_META_IN), _compare(_EQUAL, prefix.encode())]


def _to_link(prefix: str) -> list[bytes]:
    return [_meta(_META_OUT), _compare(_EQUAL, prefix.encode())]


def _is_tcp() -> list[bytes]:
    return [_meta(_META_PROTOCOL), _compare(_EQUAL, bytes([_TCP]))]


def _is_answer() -> list[bytes]:
    """The connection was begun from inside. Connection state is a number in host order."""
    zero = struct.pack("=I", 0)
    state = struct.pack("=I", _ESTABLISHED_OR_RELATED)
    load = _expression("ct", _be32(1, _REGISTER), _be32(2, 0))
    return [load, _bitwise(state), _compare(_NOT_EQUAL, zero)]


def _header(base: int, offset: int, value: bytes) -> list[bytes]:
    return [_load(base, offset, len(value)), _compare(_EQUAL, value)]


def _masked(offset: int, mask: bytes, network: bytes, operation: int) -> list[bytes]:
    load = _load(_NETWORK_HEADER, offset, len(mask))
    return [load, _bitwise(mask), _compare(operation, network)]


def _meta(key: int) -> bytes:
    return _expression("meta", _be32(1, _REGISTER), _be32(2, key))


def _load(base: int, offset: int, length: int) -> bytes:
    fields = (_be32(1, _REGISTER), _be32(2, base), _be32(3, offset), _be32(4, length))
    return _expression("payload", *fields)


def _bitwise(mask: bytes) -> bytes:
    return _expression(
        "bitwise",
        _be32(1, _REGISTER),
        _be32(2, _REGISTER),
        _be32(3, len(mask)),
        nested(4, attribute(1, mask)),
        nested(5, attribute(1, bytes(len(mask)))),
    )


def _compare(operation: int, value: bytes) -> bytes:
    return _expression(
        "cmp", _be32(1, _REGISTER), _be32(2, operation), nested(3, attribute(1, value))
    )


def _immediate(register: int, value: bytes) -> bytes:
    return _expression("immediate", _be32(1, register), nested(2, attribute(1, value)))


def _verdict(code: int) -> bytes:
    verdict = nested(2, nested(2, _be32(1, code)))
    return _expression("immediate", _be32(1, _VERDICT_REGISTER), verdict)


def _be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!I", value))


@contextmanager
def _locked() -> Iterator[None]:
    """One engine of the machine at a time."""
    _LOCK.parent.mkdir(parents=True, exist_ok=True)
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
