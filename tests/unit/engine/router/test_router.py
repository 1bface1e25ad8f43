"""The router against small real servers: health, choice, retries, draining, streams."""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import uvloop

from intermodal_engine.router.router import (
    AnswerTimeoutError,
    Backend,
    ConnectFailedError,
    ConnectionLostError,
    Health,
    InvalidAnswerError,
    Invocation,
    InvocationResult,
    NoHealthyInstanceError,
    Router,
    UnknownEndpointError,
    UnknownVariantError,
)
from tests.helpers.http_instance import PATIENCE_S, HttpInstance, Reply, Seen

LONG = bytes(range(256)) * 8_000  # 2 MB: streamed, not handed on whole


class Stage:
    """A router on an event loop of its own, and the servers behind it."""

    def __init__(self, timeout_s: float = PATIENCE_S) -> None:
        self.listener_fails = False
        self.news: list[tuple[str, str, Health]] = []
        self._changed = threading.Condition()
        self.router = Router(self._on_health, timeout_s)
        self.instances: list[HttpInstance] = []
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._loop.call_soon_threadsafe(self.router.bind, self._loop)

    def _on_health(self, endpoint: str, backend_id: str, health: Health) -> None:
        with self._changed:
            self.news.append((endpoint, backend_id, health))
            self._changed.notify_all()
        if self.listener_fails:
            raise RuntimeError("listener")

    def add(
        self,
        backend_id: str,
        port: int,
        *,
        endpoint: str = "digits",
        variant: str = "main",
        zone: str = "a",
        generation: int = 1,
    ) -> None:
        self.router.add(Backend(backend_id, endpoint, variant, generation, zone, "127.0.0.1", port))

    def up(self, backend_id: str, handler: Any = None, **placement: Any) -> HttpInstance:
        """A server that is healthy and gets traffic."""
        instance = HttpInstance(handler) if handler else HttpInstance()
        self.instances.append(instance)
        self.add(backend_id, instance.port, **placement)
        self.wait_for(backend_id, Health.HEALTHY)
        self.router.direct(placement.get("endpoint", "digits"), 1, {"main": 1.0})
        return instance

    def wait_for(self, backend_id: str, health: Health) -> None:
        with self._changed:
            assert self._changed.wait_for(
                lambda: self.router.health(backend_id) is health, PATIENCE_S
            ), f"{backend_id} is {self.router.health(backend_id)}"

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def invoke(self, body: Any = b"x", endpoint: str = "digits", **more: Any) -> InvocationResult:
        async def call() -> InvocationResult:
            return await self.router.invoke(
                endpoint, Invocation("/invocations", more.pop("headers", {}), body, **more)
            )

        result: InvocationResult = self.run(call())
        return result

    def read(self, result: InvocationResult) -> bytes:
        async def whole() -> bytes:
            assert not isinstance(result.body, bytes)
            return b"".join([chunk async for chunk in result.body])

        return result.body if isinstance(result.body, bytes) else bytes(self.run(whole()))

    def close(self) -> None:
        for instance in self.instances:
            instance.close()

        async def cancel_all() -> None:
            self.router.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# Health


def test_an_instance_that_is_not_up_yet_is_starting_and_then_healthy(stage: Stage) -> None:
    port = free_port()
    stage.add("i-1", port)
    time.sleep(0.2)
    assert stage.router.health("i-1") is Health.STARTING
    stage.instances.append(HttpInstance(port=port))
    began = time.monotonic()
    stage.wait_for("i-1", Health.HEALTHY)
    assert time.monotonic() - began < 0.5
    assert stage.news == [("digits", "i-1", Health.HEALTHY)]


def test_a_ping_that_is_not_200_does_not_make_healthy(stage: Stage) -> None:
    instance = HttpInstance()
    stage.instances.append(instance)
    instance.ping_status = 503
    stage.add("i-1", instance.port)
    time.sleep(0.2)
    assert stage.router.health("i-1") is Health.STARTING
    instance.ping_status = 200
    stage.wait_for("i-1", Health.HEALTHY)


def test_a_killed_instance_is_soon_unhealthy(stage: Stage) -> None:
    stage.up("i-1").close()
    began = time.monotonic()
    stage.wait_for("i-1", Health.UNHEALTHY)
    assert time.monotonic() - began < 0.9  # its idle connections tell, before the next ping is due


def test_an_instance_recovers(stage: Stage) -> None:
    instance = stage.up("i-1")
    instance.ping_status = 500
    stage.wait_for("i-1", Health.UNHEALTHY)
    with pytest.raises(NoHealthyInstanceError):
        stage.invoke()
    instance.ping_status = 200
    stage.wait_for("i-1", Health.HEALTHY)
    assert stage.invoke(b"back").body == b"back"


def test_an_instance_added_before_the_loop_runs_is_pinged_when_it_does() -> None:
    with HttpInstance() as instance:
        router = Router(lambda *_: None)
        router.add(Backend("i-1", "digits", "main", 1, "a", "127.0.0.1", instance.port))

        async def run() -> None:
            router.bind(asyncio.get_running_loop())
            async with asyncio.timeout(PATIENCE_S):
                while router.health("i-1") is not Health.HEALTHY:
                    await asyncio.sleep(0.005)
            router.close()

        asyncio.run(run())


def test_adding_an_instance_again_keeps_its_health(stage: Stage) -> None:
    instance = stage.up("i-1")
    stage.add("i-1", instance.port)
    assert stage.router.health("i-1") is Health.HEALTHY


def test_a_listener_that_fails_is_told_of_later_changes(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.listener_fails = True
    instance = stage.up("i-1")
    instance.ping_status = 500
    until(lambda: [health for *_, health in stage.news] == [Health.HEALTHY, Health.UNHEALTHY])
    assert "the news that `i-1` is healthy" in caplog.text


# Requests and answers


def test_an_invocation_is_passed_on_and_answered(stage: Stage) -> None:
    async def answer(seen: Seen) -> Reply:
        return Reply(seen.body * 2, 201, "X-Amzn-SageMaker-Custom-Attributes: seen\r\n")

    instance = stage.up("i-1", answer)
    result = stage.invoke(b"abc", headers={"Content-Type": "text/csv"})
    assert (result.status, result.body, result.variant, result.zone) == (
        201,
        b"abcabc",
        "main",
        "a",
    )
    assert result.headers["x-amzn-sagemaker-custom-attributes"] == "seen"
    assert instance.seen[0].path == "/invocations"
    assert instance.seen[0].headers["content-type"] == "text/csv"


def test_connections_are_kept(stage: Stage) -> None:
    instance = stage.up("i-1")
    for _ in range(20):
        stage.invoke()
    assert instance.connections == 1


async def pieces(body: bytes, size_bytes: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size_bytes):
        yield body[start : start + size_bytes]


def test_a_long_body_is_streamed_both_ways(stage: Stage) -> None:
    stage.up("i-1")
    result = stage.invoke(pieces(LONG), content_length=len(LONG))
    assert not isinstance(result.body, bytes)
    assert stage.router.in_flight("i-1") == 1
    assert stage.read(result) == LONG
    assert stage.router.in_flight("i-1") == 0


def test_a_stream_of_unknown_length_is_sent_with_its_length(stage: Stage) -> None:
    instance = stage.up("i-1")
    assert stage.invoke(pieces(b"abc", 1)).body == b"abc"
    assert instance.seen[0].headers["content-length"] == "3"


def test_a_slow_reader_makes_the_instance_wait(stage: Stage) -> None:
    async def much(_seen: Seen) -> Reply:
        return Reply(bytes(64 << 20))

    stage.up("i-1", much)
    result = stage.invoke()
    time.sleep(0.3)
    stream: Any = result.body
    held = stream._connection._incoming.unread_bytes
    assert 0 < held < 4 << 20
    assert len(stage.read(result)) == 64 << 20


def test_a_chunked_answer_and_one_that_ends_with_the_connection_are_whole(stage: Stage) -> None:
    ok = b"HTTP/1.1 200 OK\r\n"
    replies = [
        Reply(raw=ok + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
        Reply(raw=b"HTTP/1.0 200 OK\r\n\r\nabcde", close=True),
        Reply(
            raw=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"
        ),
    ]

    async def answer(_seen: Seen) -> Reply:
        return replies.pop(0)

    stage.up("i-1", answer)
    for _ in range(3):
        assert stage.read(stage.invoke()) == b"abcde"


def test_an_answer_that_breaks_off_is_an_error(stage: Stage) -> None:
    async def answer(_seen: Seen) -> Reply:
        return Reply(
            raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(400_000), close=True
        )

    stage.up("i-1", answer)
    result = stage.invoke()
    with pytest.raises(ConnectionLostError):
        stage.read(result)
    assert stage.router.in_flight("i-1") == 0


def test_a_stream_that_nobody_reads_is_let_go(stage: Stage) -> None:
    async def answer(_seen: Seen) -> Reply:
        return Reply(LONG)

    stage.up("i-1", answer)
    stream: Any = stage.invoke().body
    assert stage.router.in_flight("i-1") == 1
    stage.run(stream.aclose())
    assert stage.router.in_flight("i-1") == 0


def test_what_is_not_http_is_an_error(stage: Stage) -> None:
    async def answer(_seen: Seen) -> Reply:
        return Reply(raw=b"hello\r\n\r\n", close=True)

    stage.up("i-1", answer)
    with pytest.raises(InvalidAnswerError):
        stage.invoke()


def test_an_instance_that_does_not_answer_in_time_is_given_up() -> None:
    stage = Stage(timeout_s=0.2)

    async def never(_seen: Seen) -> Reply:
        await asyncio.sleep(PATIENCE_S)
        return Reply()

    try:
        stage.up("i-1", never)
        with pytest.raises(AnswerTimeoutError):
            stage.invoke()
        assert stage.router.in_flight("i-1") == 0
    finally:
        stage.close()


# Who gets it


def test_requests_are_spread_over_zones_and_instances(stage: Stage) -> None:
    for backend_id, zone in [("i-1", "a"), ("i-2", "a"), ("i-3", "b")]:
        stage.up(backend_id, zone=zone)
    results = [stage.invoke() for _ in range(8)]
    assert Counter(result.zone for result in results) == {"a": 4, "b": 4}
    assert Counter(result.backend_id for result in results) == {"i-1": 2, "i-2": 2, "i-3": 4}


def test_the_instance_with_the_fewest_requests_under_way_gets_the_next(stage: Stage) -> None:
    gate = threading.Event()

    async def wait(seen: Seen) -> Reply:
        while seen.body == b"slow" and not gate.is_set():
            await asyncio.sleep(0.005)
        return Reply()

    stage.up("i-1", wait)
    stage.up("i-2", wait)

    async def begin() -> "asyncio.Task[InvocationResult]":
        return asyncio.ensure_future(
            stage.router.invoke("digits", Invocation("/invocations", {}, b"slow"))
        )

    stage.run(begin())
    until(lambda: stage.router.in_flight("i-1") + stage.router.in_flight("i-2") == 1)
    idle = "i-1" if stage.router.in_flight("i-1") == 0 else "i-2"
    assert {stage.invoke().backend_id for _ in range(5)} == {idle}
    gate.set()
    until(lambda: stage.router.in_flight("i-1") + stage.router.in_flight("i-2") == 0)


def test_variants_share_traffic_by_weight(stage: Stage) -> None:
    stage.up("i-1", variant="a")
    stage.up("i-2", variant="b")
    stage.router.direct("digits", 1, {"a": 3.0, "b": 1.0})
    variants = Counter(stage.invoke().variant for _ in range(40))
    assert variants == {"a": 30, "b": 10}


def test_a_target_variant_is_obeyed_whatever_its_weight(stage: Stage) -> None:
    stage.up("i-1", variant="a")
    stage.up("i-2", variant="b")
    stage.router.direct("digits", 1, {"a": 1.0, "b": 0.0})
    assert {stage.invoke(target_variant="b").variant for _ in range(3)} == {"b"}
    assert {stage.invoke().variant for _ in range(3)} == {"a"}
    with pytest.raises(UnknownVariantError):
        stage.invoke(target_variant="c")


def test_only_the_directed_generation_gets_traffic(stage: Stage) -> None:
    stage.up("i-1")
    stage.up("i-2", generation=2)
    assert {stage.invoke().backend_id for _ in range(3)} == {"i-1"}
    stage.router.direct("digits", 2, {"main": 1.0})
    assert {stage.invoke().backend_id for _ in range(3)} == {"i-2"}


def test_a_draining_instance_finishes_and_gets_nothing_new(stage: Stage) -> None:
    gate = threading.Event()

    async def wait(_seen: Seen) -> Reply:
        while not gate.is_set():
            await asyncio.sleep(0.005)
        return Reply(b"finished")

    stage.up("i-1", wait)

    async def begin() -> "asyncio.Task[InvocationResult]":
        return asyncio.ensure_future(
            stage.router.invoke("digits", Invocation("/invocations", {}, b""))
        )

    task = stage.run(begin())
    until(lambda: stage.router.in_flight("i-1") == 1)
    stage.router.drain("i-1")
    with pytest.raises(NoHealthyInstanceError):
        stage.invoke()
    gate.set()

    async def finish() -> InvocationResult:
        result: InvocationResult = await task
        return result

    assert stage.run(finish()).body == b"finished"
    assert stage.router.in_flight("i-1") == 0


def test_an_endpoint_without_direction_is_unknown(stage: Stage) -> None:
    with pytest.raises(UnknownEndpointError):
        stage.invoke(endpoint="nobody")


def test_a_forgotten_endpoint_is_unknown(stage: Stage) -> None:
    stage.up("i-1")
    stage.router.forget("digits")
    with pytest.raises(UnknownEndpointError):
        stage.invoke()
    assert stage.router.health("i-1") is Health.STARTING


# What fails


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


def test_a_request_that_an_instance_had_is_not_given_to_another(stage: Stage) -> None:
    async def die(_seen: Seen) -> Reply:
        return Reply(raw=b"", close=True)

    first = stage.up("i-1", die)
    second = stage.up("i-2", die)
    with pytest.raises(ConnectionLostError):
        stage.invoke(pieces(b"once", 1), content_length=4)  # never over a kept connection
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
        stage.router.direct("digits", 1, {"main": 1.0})
        result = stage.invoke(slow(), content_length=10_000_000)
        assert (result.status, result.body) == (413, b"no!")
        stage.router.remove("i-1")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE_S)
