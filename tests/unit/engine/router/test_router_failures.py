"""What happens to requests when instances fail."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator

import pytest

from intermodal_engine.router.router import (
    ConnectFailedError,
    ConnectionLostError,
    Health,
    Invocation,
    NoHealthyInstanceError,
    Route,
)
from tests.helpers.http_instance import PATIENCE_S, Reply, Seen
from tests.helpers.router import Stage, pieces


def test_a_dead_instance_costs_no_request(stage: Stage) -> None:
    dead = stage.up("i-1", zone="a")
    stage.up("i-2", zone="b")
    stage.invoke(), stage.invoke()
    dead.close()
    assert {stage.invoke().backend_id for _ in range(10)} == {"i-2"}


def test_a_kept_connection_that_the_server_closed_costs_no_request(stage: Stage) -> None:
    instance = stage.up("i-1")
    for _ in range(10):
        stage.invoke()
        instance.drop_connections()
        assert stage.invoke(b"again").body == b"again"


def test_streams_go_over_kept_connections_and_one_that_was_closed_costs_none(
    stage: Stage,
) -> None:
    instance = stage.up("i-1")
    stage.invoke()
    before = instance.connections
    for _ in range(3):
        assert stage.invoke(pieces(b"long", 1), content_length=4).body == b"long"
    assert instance.connections == before
    for _ in range(10):
        instance.drop_connections()
        time.sleep(0.01)
        assert stage.invoke(pieces(b"again", 1), content_length=5).body == b"again"


def test_a_stream_goes_over_no_connection_that_was_idle_for_a_while(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intermodal_engine.router.connection._SURE_S", 0.05)
    instance = stage.up("i-1")
    stage.invoke()
    before = instance.connections
    time.sleep(0.1)
    assert stage.invoke(pieces(b"long", 1), content_length=4).body == b"long"
    assert instance.connections == before + 1


def test_a_stream_that_has_begun_is_not_begun_again(stage: Stage) -> None:
    async def die(seen: Seen) -> Reply:
        return Reply(raw=b"", close=True) if seen.body == b"once" else Reply(body=b"ok")

    instance = stage.up("i-1", die)
    stage.invoke(b"first")
    with pytest.raises(ConnectionLostError):
        stage.invoke(pieces(b"once", 1), content_length=4)
    assert [seen.body for seen in instance.seen] == [b"first", b"once"]


def test_a_request_that_an_instance_had_is_not_given_to_another(stage: Stage) -> None:
    async def die(_seen: Seen) -> Reply:
        return Reply(raw=b"", close=True)

    first = stage.up("i-1", die)
    second = stage.up("i-2", die)
    with pytest.raises(ConnectionLostError):
        stage.invoke(pieces(b"once", 1), content_length=4)
    assert len(first.seen) + len(second.seen) == 1


def test_when_nobody_can_be_reached_that_is_said(stage: Stage) -> None:
    first, second = stage.up("i-1"), stage.up("i-2")
    first.close()
    second.close()
    with pytest.raises((ConnectFailedError, NoHealthyInstanceError)):
        stage.invoke()


def test_a_body_that_fails_half_way_never_reaches_the_instance_whole(stage: Stage) -> None:
    instance = stage.up("i-1")

    async def broken() -> AsyncIterator[bytes]:
        yield b"first"
        raise ValueError("altered")

    with pytest.raises(ValueError, match="altered"):
        stage.invoke(broken(), content_length=10)
    assert stage.invoke(b"next").body == b"next"
    assert [seen.body for seen in instance.seen] == [b"next"]
    assert stage.router.in_flight("i-1") == 0


def test_an_instance_that_refuses_half_way_is_heard(stage: Stage) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield bytes(100_000)
            await asyncio.sleep(0.001)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    head = connection.recv(4000)
                    answer = b"200" if head.startswith(b"GET /ping") else b"413"
                    connection.sendall(
                        b"HTTP/1.1 %s X\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!"
                        % answer
                    )
                    while answer == b"413" and connection.recv(100_000):
                        pass

        thread = threading.Thread(target=refuse)
        thread.start()
        stage.add("i-1", listener.getsockname()[1])
        stage.wait_for("i-1", Health.HEALTHY)
        stage.router.direct("digits", [Route(1, "main", 1.0)])
        result = stage.invoke(slow(), content_length=10_000_000)
        assert (result.status, result.body) == (413, b"no!")
        stage.router.remove("i-1")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE_S)


def test_who_waits_for_an_instance_that_has_vanished_is_told_when_that_is_known(
    stage: Stage,
) -> None:
    asked = threading.Event()

    async def never(_seen: Seen) -> Reply:
        asked.set()
        await asyncio.sleep(PATIENCE_S)
        return Reply()

    stage.up("i-1", never)
    waiting = stage.begin(stage.router.invoke("digits", Invocation("/invocations", {}, b"x")))
    assert asked.wait(PATIENCE_S)
    stage.router.remove("i-1")
    with pytest.raises(ConnectionLostError):
        waiting.result(1.0)
