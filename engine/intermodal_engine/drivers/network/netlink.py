"""The kernel's netlink messages: framing, attributes, answers. Standard library only.

man 7 netlink. Numbers are in the host's byte order, save in nftables' attributes.
"""

import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Self

ROUTE, NETFILTER = 0, 12

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
EXCLUSIVE, CREATE, APPEND = 0x200, 0x400, 0x800

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR, _DONE = 2, 3
_NESTED = 0x8000
_TYPE_MASK = 0x3FFF
_BUFFER_BYTES = 1 << 18


class Netlink:
    """A socket of one protocol, in the network namespace of the thread that made it."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        self._socket.bind((0, 0))
        self._sequence = 0

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
        self._socket.close()

    def message(self, kind: int, flags: int, body: bytes) -> bytes:
        """One framed request."""
        self._sequence += 1
        length = _HEADER.size + len(body)
        return _HEADER.pack(length, kind, flags | REQUEST, self._sequence, 0) + body

    def request(self, kind: int, flags: int, body: bytes) -> None:
        """Sends one request and waits for its acknowledgement.

        Raises:
            OSError: with the kernel's error number.
        """
        self.send(self.message(kind, flags | ACK, body), acknowledgements=1)

    def send(self, messages: bytes, *, acknowledgements: int) -> None:
        """Sends framed requests in one datagram and waits for so many acknowledgements.

        Raises:
            OSError: the first that the kernel refused.
        """
        self._socket.send(messages)
        while acknowledgements:
            for kind, body in self._receive():
                if kind == _ERROR:
                    _check(body)
                    acknowledgements -= 1

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """All objects of a kind: the messages' bodies."""
        self._socket.send(self.message(kind, DUMP, body))
        found: list[bytes] = []
        while True:
            for answer, content in self._receive():
                if answer == _DONE:
                    return found
                if answer == _ERROR:
                    _check(content)
                found.append(content)

    def _receive(self) -> Iterator[tuple[int, bytes]]:
        data = self._socket.recv(_BUFFER_BYTES)
        while data:
            length, kind, *_ = _HEADER.unpack_from(data)
            yield kind, data[_HEADER.size : length]
            data = data[_aligned(length) :]


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute, padded."""
    length = _ATTRIBUTE.size + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + bytes(_aligned(length) - length)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | _NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """An attribute that holds a string and the zero byte after it."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes of a message or of a nested attribute, by kind."""
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        found[kind & _TYPE_MASK] = data[_ATTRIBUTE.size : length]
        data = data[_aligned(length) :]
    return found


def _check(body: bytes) -> None:
    number = -struct.unpack_from("=i", body)[0]
    if number:
        raise OSError(number, f"netlink: {os.strerror(number)}")


def _aligned(length: int) -> int:
    return (length + 3) & ~3
