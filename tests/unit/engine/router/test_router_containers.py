"""Instances of several containers: one after the other, and by name."""

import asyncio
from collections.abc import Callable

import pytest

from intermodal_engine.router.errors import (
    AnswerTimeoutError,
    ConnectionLostError,
    ContainerMissingError,
    ContainerNotSupportedError,
    TargetMissingError,
    TargetNotSupportedError,
    UnknownContainerError,
)
from intermodal_engine.router.instance import Container
from intermodal_engine.router.model import ModelSource
from intermodal_engine.router.router import Backend, Health, Route
from tests.helpers.http_instance import Handler, HttpInstance, Reply, Seen
from tests.helpers.many_models_container import FakeModelFiles, ManyModelsContainer
from tests.helpers.router import Stage, pieces

LONG = bytes(range(256)) * 8_000  # 2 MB: streamed


def adds(word: bytes, kind: str | None = "text/plain") -> Handler:
    async def answer(seen: Seen) -> Reply:
        headers = f"Content-Type: {kind}\r\n" if kind else ""
        return Reply(seen.body + word, headers=headers)

    return answer


class Row:
    """An instance of the containers `first`, `second` and `third`."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.containers: list[HttpInstance] = []

    def up(
        self,
        *handlers: Handler,
        is_direct: bool = False,
        many: ModelSource | None = None,
        backend_id: str = "i-1",
    ) -> list[HttpInstance]:
        """Starts them; the last one serves many models if `many` says so."""
        instances = [HttpInstance(handler) for handler in handlers]
        self.stage.instances += instances
        names = ("first", "second", "third")
        containers = [
            Container(name, "127.0.0.1", one.port)
            for name, one in zip(names, instances, strict=False)
        ]
        if many is not None:
            last = containers[-1]
            containers[-1] = Container(last.name, last.host, last.port, many)
        self.stage.router.add(
            Backend(
                *(backend_id, "digits", "main", 1, "a", "127.0.0.1", instances[0].port),
                containers=tuple(containers),
                is_direct=is_direct,
            )
        )
        self.stage.router.direct("digits", [Route(1, "main", 1.0)])
        self.stage.wait_for(backend_id, Health.HEALTHY)
        return instances

    def measured(self, metric: str) -> dict[str, float]:
        """The sums of a metric by container; the whole's without a name."""
        taken = self.stage.router.measurements.take()
        return {one.backend.container: one.total for one in taken if one.metric == metric}


@pytest.fixture
def row(stage: Stage) -> Row:
    return Row(stage)


def test_each_gets_what_the_one_before_it_answered_with_its_content_type(row: Row) -> None:
    first, second, third = row.up(adds(b"1", "text/a"), adds(b"2", None), adds(b"3", "text/c"))
    headers = {"Content-Type": "text/csv", "Accept": "text/c", "X-Amzn-SageMaker-Inference-Id": "i"}
    result = row.stage.invoke(b"0", headers=headers)
    assert (result.body, result.container) == (b"0123", "third")
    assert result.headers["content-type"] == "text/c"
    seen = [one.seen[0] for one in (first, second, third)]
    assert [one.headers.get("content-type") for one in seen] == ["text/csv", "text/a", None]
    assert [one.headers.get("accept") for one in seen] == [None, None, "text/c"]
    assert {one.headers["x-amzn-sagemaker-inference-id"] for one in seen} == {"i"}
    assert set(row.measured("ContainerLatency")) == {"first", "second", "third"}


def test_long_answers_are_handed_on_as_they_come(row: Row) -> None:
    row.up(adds(b"1"), adds(b"2"))
    for _ in range(3):
        result = row.stage.invoke(pieces(LONG), content_length=len(LONG))
        assert row.stage.read(result) == LONG + b"12"
        assert row.stage.invoke(b"0").body == b"012"


def test_an_answer_without_a_length_is_handed_on(row: Row) -> None:
    body = b"y" * 400_000

    async def chunked(_seen: Seen) -> Reply:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        return Reply(raw=head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")

    row.up(chunked, adds(b"2"))
    assert row.stage.read(row.stage.invoke(b"0")) == body + b"2"


def test_a_refusal_is_the_last_answer_and_says_whose_it_is(row: Row) -> None:
    async def refuse(_seen: Seen) -> Reply:
        return Reply(b"no", 415)

    *_, third = row.up(adds(b"1"), refuse, adds(b"3"))
    result = row.stage.invoke(b"0")
    assert (result.status, result.body, result.container) == (415, b"no", "second")
    assert not third.seen


def test_a_container_that_vanishes_fails_the_request_by_its_name(row: Row) -> None:
    async def vanish(_seen: Seen) -> Reply:
        return Reply(raw=b"", close=True)

    first, _ = row.up(adds(b"1"), vanish)
    with pytest.raises(ConnectionLostError) as caught:
        row.stage.invoke(b"0")
    assert caught.value.container == "second"
    assert len(first.seen) == 1
    assert row.measured("Invocation5XXErrors") == {"": 1.0}


def test_a_later_container_that_cannot_be_connected_to_has_no_request_done_twice(
    row: Row,
) -> None:
    first, second = row.up(adds(b"1"), adds(b"2"))
    second.close()
    with pytest.raises(ConnectionLostError) as caught:
        row.stage.invoke(b"0")
    assert caught.value.container == "second"
    assert len(first.seen) == 1


def test_a_kept_connection_that_has_died_is_replaced_within_the_row(row: Row) -> None:
    first, second = row.up(adds(b"1"), adds(b"2"))
    second.closes_silently = True
    for _ in range(5):
        assert row.stage.invoke(b"0").body == b"012"
    assert len(first.seen) == 5


def test_the_time_is_for_all_of_them_together(stage: Stage, slow: Callable[[], Handler]) -> None:
    row = Row(stage)
    row.up(slow(), slow())
    with pytest.raises(AnswerTimeoutError) as caught:
        stage.invoke(b"0", timeout_s=0.5)
    assert caught.value.container == "second"


@pytest.fixture
def slow() -> Callable[[], Handler]:
    async def answer(seen: Seen) -> Reply:
        await asyncio.sleep(0.35)
        return Reply(seen.body)

    return lambda: answer


def test_an_instance_is_healthy_while_all_of_its_containers_are(row: Row) -> None:
    _, second = row.up(adds(b"1"), adds(b"2"))
    second.ping_status = 503
    row.stage.wait_for("i-1", Health.UNHEALTHY)
    second.ping_status = 200
    row.stage.wait_for("i-1", Health.HEALTHY)


def test_one_container_is_asked_by_its_name(row: Row) -> None:
    first, second = row.up(adds(b"1"), adds(b"2"), is_direct=True)
    result = row.stage.invoke(b"0", target_container="second")
    assert (result.body, result.container) == (b"02", "second")
    assert not first.seen
    assert row.measured("Invocations") == {"": 1.0, "second": 1.0}
    with pytest.raises(UnknownContainerError):
        row.stage.invoke(b"0", target_container="third")
    with pytest.raises(ContainerMissingError):
        row.stage.invoke(b"0")
    assert row.measured("Invocation4XXErrors") == {"": 2.0}
    assert len(second.seen) == 1


def test_a_container_in_a_row_cannot_be_named(row: Row) -> None:
    row.up(adds(b"1"), adds(b"2"))
    with pytest.raises(ContainerNotSupportedError):
        row.stage.invoke(b"0", target_container="second")


def test_one_container_of_a_row_may_serve_many_models() -> None:
    files = FakeModelFiles({"a": "1"})
    stage = Stage(model_files=files)
    try:
        row = Row(stage)
        many = ManyModelsContainer()
        row.up(adds(b"1"), many.answer, many=ModelSource("s3://b/many/", "/folder"))
        result = stage.invoke(b"0", target_model="a")
        assert stage.read(result) == f"{many.loads[0]} 01".encode()
        assert stage.router.loaded_models("i-1") == 1
        with pytest.raises(TargetMissingError):
            stage.invoke(b"0")
    finally:
        stage.close()


def test_a_row_without_such_a_container_takes_no_target(row: Row) -> None:
    row.up(adds(b"1"), adds(b"2"))
    with pytest.raises(TargetNotSupportedError):
        row.stage.invoke(b"0", target_model="a")
