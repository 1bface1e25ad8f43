"""A network that is far away: a proxy that holds everything back for a while, both ways.

python -m benchmarks.latency PORT SECONDS     prints its own port; ends with its standard input
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator

_CHUNK_BYTES = 256 << 10


@contextlib.contextmanager
def far_away(port: int, round_trip_s: float) -> Iterator[int]:
    """The port of a proxy of its own process, past which a round trip takes so much longer."""
    command = [sys.executable, "-m", "benchmarks.latency", str(port), str(round_trip_s / 2)]
    proxy = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with proxy:
        assert proxy.stdin is not None
        assert proxy.stdout is not None
        try:
            yield int(proxy.stdout.readline())
        finally:
            proxy.stdin.close()


async def _serve(port: int, delay_s: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(
            _hold_back(reader, far_writer, delay_s), _hold_back(far_reader, writer, delay_s)
        )

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def _hold_back(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float
) -> None:
    """Pass on what comes, each piece so much later; what follows does not wait for it."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        piece = b" "
        while piece:
            piece = await reader.read(_CHUNK_BYTES)
            pieces.put_nowait((loop.time() + delay_s, piece))

    reading = asyncio.create_task(read())
    with contextlib.suppress(ConnectionError):
        while True:
            due_s, piece = await pieces.get()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
    reading.cancel()
    writer.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
