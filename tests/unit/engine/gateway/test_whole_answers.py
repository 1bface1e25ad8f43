"""A head goes out with what follows, and never later than the loop's next turn."""

import asyncio

import pytest

from intermodal_engine.gateway.whole_answers import WholeAnswers

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


class Wire(asyncio.Transport):
    """Keeps each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True

    def get_write_buffer_size(self) -> int:
        return 7


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_a_head_and_its_body_are_one_write(wire: Wire) -> None:
    async def answer() -> None:
        transport = WholeAnswers(wire, asyncio.get_running_loop())
        transport.write(HEAD)
        assert wire.writes == []
        transport.write(b"body")
        await asyncio.sleep(0)

    asyncio.run(answer())
    assert wire.writes == [HEAD + b"body"]


def test_a_head_alone_is_sent_at_the_next_turn(wire: Wire) -> None:
    async def answer() -> None:
        transport = WholeAnswers(wire, asyncio.get_running_loop())
        transport.write(HEAD)
        await asyncio.sleep(0)
        assert wire.writes == [HEAD]
        transport.write(b"later")

    asyncio.run(answer())
    assert wire.writes == [HEAD, b"later"]


def test_a_long_body_is_not_copied(wire: Wire) -> None:
    async def answer() -> None:
        transport = WholeAnswers(wire, asyncio.get_running_loop())
        transport.write(HEAD)
        transport.write(bytes(1 << 20))

    asyncio.run(answer())
    assert [len(one) for one in wire.writes] == [len(HEAD), 1 << 20]


def test_closing_sends_what_waits_and_the_rest_is_the_connections_own(wire: Wire) -> None:
    async def answer() -> None:
        transport = WholeAnswers(wire, asyncio.get_running_loop())
        transport.write(HEAD)
        assert transport.get_write_buffer_size() == 7
        transport.close()

    asyncio.run(answer())
    assert wire.writes == [HEAD]
    assert wire.is_closed
