"""Clients that send bad inputs, and what they hold of the answers."""

import asyncio
import re
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field

import httptools

from tests.fuzz.requests import Attack, Attacks, Ending, post

HANG_S = 20.0
"""A server that has not ended its side so long after the client's end hangs."""

CANARY_EVERY = 500
_RESET = struct.pack("ii", 1, 0)
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass(slots=True)
class Findings:
    """What the inputs led to.

    Attributes:
        inputs: so many were sent.
        statuses: how often each was answered.
        refused: inputs that got an error answer.
        no_answer: inputs that got none: the client left, or there was no request in them.
        resets: inputs whose answer was cut by a reset.
        faults: what must not be, with the input that did it; the first 10.
        fault_count: how many there were.
    """

    inputs: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    no_answer: int = 0
    resets: int = 0
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0

    def blame(self, what: str, attack: Attack) -> None:
        """One more fault."""
        self.fault_count += 1
        if len(self.faults) < 10:
            sent = b"|".join(attack.pieces)
            shown = repr(sent if len(sent) < 1000 else sent[:700] + b" ... " + sent[-200:])
            self.faults.append(f"{what}\n    ending: {attack.ending.name}, sent: {shown}")


class Answers:
    """The answers in what a server sent, by a parser of others.

    Args:
        data: all of it.
    """

    def __init__(self, data: bytes) -> None:
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self.is_whole = True
        self._body = b""
        self._is_open = False
        while data:
            self._parser = httptools.HttpResponseParser(self)
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                continue
            except httptools.HttpParserError:
                self.is_whole = False
            break
        self.is_whole = self.is_whole and not self._is_open

    def on_message_begin(self) -> None:
        self._is_open = True
        self._body = b""

    def on_body(self, chunk: bytes) -> None:
        self._body += chunk

    def on_message_complete(self) -> None:
        self._is_open = False
        status = self._parser.get_status_code()
        if status != 100:
            self.statuses.append(status)
            self.bodies.append(self._body)


async def attack_all(
    port: int, attacks: Attacks, count: int, clients: int = 16, stop_after: int = 20
) -> Findings:
    """Send so many inputs, some at once.

    Args:
        port: of the server, on the loopback interface.
        attacks: where inputs come from.
        count: how many.
        clients: how many at once.
        stop_after: so many faults are enough.
    """
    findings = Findings()

    async def work() -> None:
        while findings.inputs < count and findings.fault_count < stop_after:
            findings.inputs += 1
            attack = attacks.next()
            await _attack(port, attack, findings)
            if findings.inputs % CANARY_EVERY == 0:
                await _attack(port, _canary(findings.inputs), findings)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(work())
    return findings


def _canary(number: int) -> Attack:
    body = b"[%d]" % number
    return Attack((post(body),), (body,))


async def _attack(port: int, attack: Attack, findings: Findings) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.timeout(HANG_S):
                await loop.sock_connect(client, ("127.0.0.1", port))
                received, was_reset = await _exchange(client, attack)
        except TimeoutError:
            findings.blame("hangs", attack)
            return
        except OSError as error:
            findings.blame(f"cannot connect: {error}", attack)
            return
    _judge(attack, received, findings, was_reset=was_reset)


async def _exchange(client: socket.socket, attack: Attack) -> tuple[bytes, bool]:
    """What came back, and whether it ended in a reset."""
    loop = asyncio.get_running_loop()
    received = bytearray()
    try:
        for place, piece in enumerate(attack.pieces):
            if place and attack.pause_s:
                await asyncio.sleep(attack.pause_s)
            await loop.sock_sendall(client, piece)
        if attack.ending is Ending.RESET:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if attack.ending is not Ending.HALF_CLOSE:
            return b"", False
        client.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the server has ended it already: what it said before may still be there
    try:
        while chunk := await loop.sock_recv(client, 262_144):
            received += chunk
    except ConnectionError:
        return bytes(received), True
    return bytes(received), False


def _judge(attack: Attack, received: bytes, findings: Findings, *, was_reset: bool) -> None:
    if attack.ending is not Ending.HALF_CLOSE:
        findings.no_answer += 1
        return
    answers = Answers(received)
    # Only who asked knows whether an answer has a body, and a mutated HEAD asks for none.
    may_be_bodiless = b"HEAD" in b"".join(attack.pieces)
    statuses = answers.statuses
    if may_be_bodiless:
        statuses = [status for found in _STATUS.findall(received) if (status := int(found)) != 100]
    elif was_reset:
        findings.resets += 1
    elif not answers.is_whole:
        findings.blame(f"an answer that is not whole: {received[-300:]!r}", attack)
    findings.statuses.update(statuses)
    findings.no_answer += not statuses
    findings.refused += any(status >= 400 for status in statuses)
    for status in statuses:
        if status >= 500:
            findings.blame(f"status {status}: {received[-300:]!r}", attack)
    expected = list(attack.answers)
    if not (was_reset or may_be_bodiless) and answers.bodies[: len(expected)] != expected:
        findings.blame(f"valid requests were answered by {answers.bodies[: len(expected)]}", attack)
