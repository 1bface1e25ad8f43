"""The least that can stand between client and instance: what `routing` compares the engine with.

Run as a program it takes connections on loopback and passes each request on to one address, in
blocking calls on large buffers. It checks nothing of HTTP, keeps no deadline and forgives nothing;
with `--hash` a thread of its own takes the SHA-256 of each body, and the last piece waits for it,
as in the engine.
"""

import argparse
import hashlib
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PIECE_BYTES, _PIECES = 256 * 1024, 24  # the body of the benchmark fits into the ring
_HEAD_END = b"\r\n\r\n"


@contextmanager
def relay(host: str, port: int, *, is_hashing: bool) -> Iterator[int]:
    """A relay in a process of its own, while the block lasts; its port."""
    command = [sys.executable, __file__, host, str(port), *(["--hash"] if is_hashing else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def main() -> None:
    """Prints its port and relays until it is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--hash", action="store_true")
    arguments = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            instance = socket.create_connection((arguments.host, arguments.port))
            threading.Thread(
                target=_serve, args=(client, instance, arguments.hash), daemon=True
            ).start()


def _serve(client: socket.socket, instance: socket.socket, is_hashing: bool) -> None:
    for one in (client, instance):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ring = [bytearray(_PIECE_BYTES) for _ in range(_PIECES)]
    hasher = _Hasher() if is_hashing else None
    while True:
        try:
            _pass_on(client, instance, ring, hasher)
        except ConnectionError:
            return


def _pass_on(
    client: socket.socket, instance: socket.socket, ring: list[bytearray], hasher: "_Hasher | None"
) -> None:
    """One request and its answer."""
    head, begun = _read_head(client)
    instance.sendall(head)
    held, left, number = memoryview(begun), _length(head) - len(begun), 0
    if hasher:
        hasher.feed(held)
    while left:
        buffer = memoryview(ring[number % _PIECES])
        received = client.recv_into(buffer, min(_PIECE_BYTES, left))
        if not received:
            raise ConnectionError
        instance.sendall(held)
        held, left, number = buffer[:received], left - received, number + 1
        if hasher:
            hasher.feed(held)
    if hasher:
        hasher.digest()
    instance.sendall(held)
    head, answer = _read_head(instance)
    while len(answer) < _length(head):
        answer += _some(instance)
    client.sendall(head + answer)


class _Hasher:
    """SHA-256 in a thread of its own."""

    def __init__(self) -> None:
        self._pieces: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._digests: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def feed(self, piece: memoryview) -> None:
        self._pieces.put(piece)

    def digest(self) -> str:
        """Waits for it; what is fed afterwards is the next body."""
        self._pieces.put(None)
        return self._digests.get()

    def _run(self) -> None:
        while True:
            digest = hashlib.sha256()
            while (piece := self._pieces.get()) is not None:
                digest.update(piece)
            self._digests.put(digest.hexdigest())


def _read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """A head with its end, and what has come of the body."""
    found = _some(connection)
    while _HEAD_END not in found:
        found += _some(connection)
    head, end, begun = found.partition(_HEAD_END)
    return head + end, begun


def _some(connection: socket.socket) -> bytes:
    found = connection.recv(_PIECE_BYTES)
    if not found:
        raise ConnectionError
    return found


def _length(head: bytes) -> int:
    """What the head says that the body has."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


if __name__ == "__main__":
    main()
