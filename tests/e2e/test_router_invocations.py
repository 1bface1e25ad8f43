"""InvokeEndpoint by real boto3, through the gateway and the router, to real HTTP servers."""

import asyncio
import contextlib
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from intermodal_engine.router import heads
from intermodal_engine.router.router import Backend, Health, Route, Router
from intermodal_engine.services import sagemaker_runtime
from intermodal_engine.services.sagemaker_runtime import BODY_LIMIT_BYTES, OPERATIONS
from intermodal_engine.settings import Settings
from tests.helpers.engine import scrubbed
from tests.helpers.gateway import KEYS, PATIENCE_S, served
from tests.helpers.http_instance import HttpInstance, Reply, Seen

pytestmark = pytest.mark.e2e


class Stage:
    """Endpoint `web`: two instances in two zones, both healthy."""

    def __init__(self, router: Router, port: int) -> None:
        self.router = router
        self.port = port
        self.instances = [HttpInstance(self._handle), HttpInstance(self._handle)]
        self.reply: Reply | None = None
        for number, instance in enumerate(self.instances):
            backend = Backend(
                f"i-{number}", "web", "main", 1, "ab"[number], "127.0.0.1", instance.port
            )
            router.add(backend)
        router.direct("web", [Route(1, "main", 1.0)])
        deadline = time.monotonic() + PATIENCE_S
        while {router.health("i-0"), router.health("i-1")} != {Health.HEALTHY}:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def client(self, attempts: int = 1) -> Any:
        session = boto3.Session(KEYS.access_key_id, KEYS.secret_access_key, region_name="us-east-1")
        return session.client(
            "sagemaker-runtime",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            config=Config(retries={"total_max_attempts": attempts}),
        )

    @property
    def seen(self) -> list[Seen]:
        return [seen for instance in self.instances for seen in instance.seen]

    async def _handle(self, seen: Seen) -> Reply:
        return self.reply or Reply(seen.body)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    router = Router(lambda *_: None, timeout_s=1.0)
    operations = {("sagemaker-runtime", name): one for name, one in OPERATIONS.items()}
    with scrubbed(), served(operations, Settings(home=tmp_path), router=router) as gateway:
        stage = Stage(router, gateway.port)
        yield stage
        for instance in stage.instances:
            instance.close()


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response: Any = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_headers_go_both_ways(stage: Stage) -> None:
    stage.reply = Reply(
        b"[1]",
        headers="Content-Type: application/json\r\nX-Amzn-SageMaker-Custom-Attributes: back\r\n"
        "X-Secret: inner\r\n",
    )
    answer = stage.client().invoke_endpoint(
        EndpointName="web",
        Body=b"1,2",
        ContentType="text/csv",
        Accept="application/json",
        CustomAttributes="there",
        InferenceId="id-1",
    )
    assert answer["Body"].read() == b"[1]"
    assert answer["ContentType"] == "application/json"
    assert answer["CustomAttributes"] == "back"
    assert answer["InvokedProductionVariant"] == "main"
    assert "x-secret" not in answer["ResponseMetadata"]["HTTPHeaders"]
    headers = stage.seen[0].headers
    assert headers["content-type"] == "text/csv"
    assert headers["accept"] == "application/json"
    assert headers["x-amzn-sagemaker-custom-attributes"] == "there"
    assert headers["x-amzn-sagemaker-inference-id"] == "id-1"
    assert "authorization" not in headers


def test_a_target_model_reaches_no_instance_of_a_single_model(stage: Stage) -> None:
    with pytest.raises(ClientError, match="Endpoint web is not a multi-model endpoint") as caught:
        stage.client().invoke_endpoint(EndpointName="web", Body=b"x", TargetModel="a.tar.gz")
    assert code_of(caught) == ("ValidationError", 400)
    assert not stage.seen


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("EnableExplanations", "`true`", "Endpoint web has no explainer"),
        ("PrefixAwareId", "a", "Endpoint web does not route by prefix"),
    ],
)
def test_what_is_not_served_is_refused_by_name_and_reaches_no_instance(
    stage: Stage, member: str, value: str, words: str
) -> None:
    with pytest.raises(ClientError, match=words) as caught:
        stage.client().invoke_endpoint(EndpointName="web", Body=b"x", **{member: value})
    assert code_of(caught) == ("ValidationError", 400)
    assert f"`{member}`" in str(caught.value)
    assert stage.seen == []


def test_every_member_of_a_request_is_heeded_or_refused(stage: Stage) -> None:
    members = (
        stage.client().meta.service_model.operation_model("InvokeEndpoint").input_shape.members
    )
    heeded = {"EndpointName", "Body", "TargetVariant", "TargetModel", "InferenceComponentName"}
    heeded |= {"TargetContainerHostname", *heads.REQUEST_HEADERS}
    assert set(members) == heeded | set(sagemaker_runtime.NOT_SERVED)


@pytest.mark.parametrize("size_bytes", [0, 1, 300_000, 5 << 20, BODY_LIMIT_BYTES])
def test_a_body_of_any_allowed_size_comes_back(stage: Stage, size_bytes: int) -> None:
    body = bytes(range(256)) * (size_bytes // 256) + bytes(size_bytes % 256)
    answer = stage.client().invoke_endpoint(EndpointName="web", Body=body)
    assert answer["Body"].read() == body


def test_a_file_can_be_the_body(stage: Stage) -> None:
    answer = stage.client().invoke_endpoint(EndpointName="web", Body=io.BytesIO(b"x" * 2_000_000))
    assert len(answer["Body"].read()) == 2_000_000


def test_a_body_beyond_the_limit_is_refused_in_awss_words(stage: Stage) -> None:
    with pytest.raises(ClientError, match="Member must have length less than or equal") as caught:
        stage.client().invoke_endpoint(EndpointName="web", Body=bytes(BODY_LIMIT_BYTES + 1))
    assert code_of(caught) == ("ValidationError", 400)
    assert stage.seen == []


@pytest.mark.parametrize(("status", "side"), [(400, "client"), (500, "server")])
def test_the_containers_failure_is_a_model_error(stage: Stage, status: int, side: str) -> None:
    stage.reply = Reply(b'{"error": "bad \xc3\xa9"}', status)
    with pytest.raises(ClientError) as caught:
        stage.client().invoke_endpoint(EndpointName="web", Body=b"x")
    assert code_of(caught) == ("ModelError", 424)
    response: Any = caught.value.response
    assert response["OriginalStatusCode"] == status
    assert response["OriginalMessage"] == '{"error": "bad é"}'
    group = "log-group:/aws/sagemaker/Endpoints/web"
    assert response["LogStreamArn"] == f"arn:aws:logs:us-east-1:123456789012:{group}"
    message = response["Error"]["Message"]
    assert message.startswith(f"Received {side} error ({status}) from primary with message")


def test_an_unknown_endpoint_is_not_found(stage: Stage) -> None:
    with pytest.raises(ClientError, match="Endpoint nobody of account 123456789012 not found"):
        stage.client().invoke_endpoint(EndpointName="nobody", Body=b"x")


def test_an_unknown_variant_is_not_found(stage: Stage) -> None:
    with pytest.raises(ClientError, match="Variant other not found"):
        stage.client().invoke_endpoint(EndpointName="web", Body=b"x", TargetVariant="other")


def test_a_model_that_takes_too_long_is_a_model_error(stage: Stage) -> None:
    release = threading.Event()

    async def wait(_seen: Seen) -> Reply:
        while not release.is_set():
            await asyncio.sleep(0.01)
        return Reply()

    for instance in stage.instances:
        instance.handler = wait
    with pytest.raises(ClientError, match="Your invocation timed out while waiting") as caught:
        stage.client().invoke_endpoint(EndpointName="web", Body=b"x")
    release.set()
    assert code_of(caught) == ("ModelError", 424)


def test_an_instance_that_dies_at_work_costs_no_call_of_a_client_that_retries(
    stage: Stage,
) -> None:
    has_begun = threading.Event()

    async def hang(_seen: Seen) -> Reply:
        has_begun.set()
        await asyncio.sleep(PATIENCE_S)
        return Reply()

    victim = stage.instances[0]
    victim.handler = hang

    def kill() -> None:
        assert has_begun.wait(PATIENCE_S)
        victim.close()

    killer = threading.Thread(target=kill)
    killer.start()
    client = stage.client(attempts=3)
    for number in range(6):
        body = str(number).encode()
        assert client.invoke_endpoint(EndpointName="web", Body=body)["Body"].read() == body
    killer.join()


def test_without_a_healthy_instance_the_service_is_unavailable(stage: Stage) -> None:
    for instance in stage.instances:
        instance.close()
    with pytest.raises(ClientError, match="The service is unavailable") as caught:
        stage.client().invoke_endpoint(EndpointName="web", Body=b"x")
    assert code_of(caught) == ("ServiceUnavailable", 503)


def test_a_streamed_answer_comes_as_events_one_by_one(stage: Stage) -> None:
    raw = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
        b"X-Amzn-SageMaker-Custom-Attributes: a=b\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n"
    )
    stage.reply = Reply(raw=raw)
    answer = stage.client().invoke_endpoint_with_response_stream(EndpointName="web", Body=b"x")
    with contextlib.closing(answer["Body"]) as body:
        parts = [event["PayloadPart"]["Bytes"] for event in body]
    assert b"".join(parts) == b"firstsecond"
    assert answer["ContentType"] == "text/event-stream"
    assert (answer["InvokedProductionVariant"], answer["CustomAttributes"]) == ("main", "a=b")


def test_a_streamed_answer_that_breaks_off_ends_with_the_services_exception(stage: Stage) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    stage.reply = Reply(raw=raw, close=True)
    answer = stage.client().invoke_endpoint_with_response_stream(EndpointName="web", Body=b"x")
    events = iter(answer["Body"])
    assert next(events) == {"PayloadPart": {"Bytes": b"first"}}
    with pytest.raises(EventStreamError, match="the answer broke off") as caught:
        next(events)
    assert caught.value.response["Error"]["Code"] == "ModelStreamError"
    answer["Body"].close()


def test_a_stream_that_the_model_refuses_is_its_error(stage: Stage) -> None:
    stage.reply = Reply(b"no such thing", status=400)
    with pytest.raises(ClientError, match="no such thing") as caught:
        stage.client().invoke_endpoint_with_response_stream(EndpointName="web", Body=b"x")
    assert code_of(caught) == ("ModelError", 424)


def test_a_session_that_nobody_holds_is_told(stage: Stage) -> None:
    with pytest.raises(ClientError, match="Session gone of endpoint web does not exist") as caught:
        stage.client().invoke_endpoint(EndpointName="web", Body=b"x", SessionId="gone")
    assert code_of(caught) == ("ValidationError", 400)
