"""What happens to a request before and around its operation."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.services import sts
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.settings import Settings
from tests.helpers.gateway import JOB_GATEWAY, PATIENCE_S, ServedGateway, served

WHO = b"Action=GetCallerIdentity&Version=2011-06-15"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/x-amz-json-1.1"}


def describe_model(call: Call, parameters: Parameters) -> Parameters:
    if parameters["ModelName"] == "broken":
        raise RuntimeError("a secret of the engine")
    return {
        "ModelName": parameters["ModelName"],
        "CreationTime": 0,
        "ModelArn": f"arn:aws:sagemaker:{call.region}:{call.account_id}:model/x",
    }


release = threading.Event()


def list_models(_call: Call, _parameters: Parameters) -> Parameters:
    assert release.wait(PATIENCE_S)
    return {"Models": []}


OPERATIONS: dict[tuple[str, str], Operation] = {
    ("sts", "GetCallerIdentity"): sts.get_caller_identity,
    ("sagemaker", "DescribeModel"): describe_model,
    ("sagemaker", "ListModels"): list_models,
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    with served(OPERATIONS, Settings(home=tmp_path_factory.mktemp("home"))) as gateway:
        yield gateway


def describe(gateway: ServedGateway, name: str) -> Any:
    headers = {**JSON, "X-Amz-Target": "SageMaker.DescribeModel"}
    body = json.dumps({"ModelName": name}).encode()
    return gateway.call("sagemaker", "POST", "/", body, headers)


def test_a_signed_request_reaches_its_operation(gateway: ServedGateway) -> None:
    answer = gateway.call("sts", "POST", "/", WHO, FORM)
    assert answer.status == 200
    assert b"assumed-role/intermodal-local/engine" in answer.body
    assert answer.headers["x-amzn-requestid"].encode() in answer.body


def test_an_unsigned_request_is_refused(gateway: ServedGateway) -> None:
    answer = gateway.send("POST", "/", WHO, FORM)
    assert answer.status == 403
    assert b"MissingAuthenticationToken" in answer.body


def test_health_needs_no_signature(gateway: ServedGateway) -> None:
    answer = gateway.send("GET", "/_intermodal/health", b"", {})
    assert answer.status == 200
    assert json.loads(answer.body)["status"] == "ok"
    assert "x-amzn-requestid" in answer.headers


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1.2.3:80", "localhost", "[::1]:1", "b.localhost"]
)
def test_a_host_of_this_machine_is_let_in(gateway: ServedGateway, host: str) -> None:
    assert gateway.send("GET", "/_intermodal/health", b"", {"Host": host}).status == 200


def test_a_jobs_network_is_let_in_by_its_gateway(gateway: ServedGateway) -> None:
    headers = {"Host": f"{JOB_GATEWAY}:8765"}
    assert gateway.send("GET", "/_intermodal/health", b"", headers).status == 200


@pytest.mark.parametrize("host", ["evil.example", "10.0.0.1", "127.0.0.1.evil.example", ""])
def test_a_foreign_host_is_refused(gateway: ServedGateway, host: str) -> None:
    answer = gateway.send("GET", "/_intermodal/health", b"", {"Host": host})
    assert answer.status == 403
    assert b"serves this machine only" in answer.body


def test_a_web_page_of_another_origin_is_refused(gateway: ServedGateway) -> None:
    headers = {"Origin": "http://evil.example"}
    assert gateway.send("GET", "/_intermodal/health", b"", headers).status == 403


def test_the_engines_own_pages_are_let_in(gateway: ServedGateway) -> None:
    host = f"127.0.0.1:{gateway.port}"
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert gateway.send("GET", "/_intermodal/health", b"", headers).status == 200


def test_an_operation_that_is_not_there_is_named(gateway: ServedGateway) -> None:
    headers = {**JSON, "X-Amz-Target": "SageMaker.CreateAutoMLJob"}
    answer = gateway.call("sagemaker", "POST", "/", b"{}", headers)
    assert answer.status == 501
    assert b"`sagemaker.CreateAutoMLJob`" in answer.body


def test_bad_parameters_are_refused_in_awss_words(gateway: ServedGateway) -> None:
    answer = describe(gateway, "no spaces")
    assert answer.status == 400
    assert "Member must satisfy regular expression pattern" in json.loads(answer.body)["message"]


def test_what_goes_wrong_in_the_engine_is_told_without_its_inside(
    gateway: ServedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    answer = describe(gateway, "broken")
    assert answer.status == 500
    assert json.loads(answer.body)["__type"] == "InternalFailure"
    assert b"secret" not in answer.body
    request_id = answer.headers["x-amzn-requestid"]
    assert request_id in caplog.text
    assert "a secret of the engine" in caplog.text


def test_an_altered_body_is_refused(gateway: ServedGateway) -> None:
    headers = gateway.sign(
        "sagemaker",
        "POST",
        "/",
        b'{"ModelName":"a"}',
        {**JSON, "X-Amz-Target": "SageMaker.DescribeModel"},
    )
    answer = gateway.send("POST", "/", b'{"ModelName":"b"}', headers)
    assert answer.status in (400, 403)
    assert b"ModelArn" not in answer.body


def test_a_control_plane_body_has_a_limit(gateway: ServedGateway) -> None:
    headers = {**JSON, "X-Amz-Target": "SageMaker.DescribeModel"}
    answer = gateway.call("sagemaker", "POST", "/", b" " * (17 << 20), headers)
    assert answer.status == 413
    assert b"16777216 bytes" in answer.body


def test_a_refused_request_leaves_its_connection_usable(gateway: ServedGateway) -> None:
    connection = gateway.connect()
    connection.request("POST", "/", b"x" * 100_000, FORM)
    assert connection.getresponse().read()
    sock = connection.sock
    connection.request("GET", "/_intermodal/health")
    assert connection.getresponse().status == 200
    assert connection.sock is sock
    connection.close()


def test_a_slow_operation_holds_no_other_up(gateway: ServedGateway) -> None:
    release.clear()
    headers = {**JSON, "X-Amz-Target": "SageMaker.ListModels"}
    answers: list[Any] = []
    slow = threading.Thread(
        target=lambda: answers.append(gateway.call("sagemaker", "POST", "/", b"{}", headers))
    )
    slow.start()
    try:
        assert describe(gateway, "quick").status == 200
        assert not answers
    finally:
        release.set()
        slow.join()
    assert answers[0].status == 200


def test_a_client_that_dawdles_holds_no_other_up(gateway: ServedGateway) -> None:
    with gateway.raw() as dawdler:
        dawdler.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nabc")
        began = time.monotonic()
        assert describe(gateway, "quick").status == 200
        assert time.monotonic() - began < PATIENCE_S / 2


def test_bytes_that_are_not_http_are_refused(gateway: ServedGateway) -> None:
    with gateway.raw() as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01 not http\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_a_path_keeps_its_escapes(tmp_path: Path) -> None:
    seen: list[str] = []

    async def put_object(_call: Call, parameters: Parameters) -> Parameters:
        seen.append(parameters["Key"])
        async for _ in parameters["Body"]:
            pass
        return {}

    operations: dict[tuple[str, str], Operation] = {("s3", "PutObject"): put_object}
    with served(operations, Settings(home=tmp_path)) as gateway:
        for path in ("/bucket/a%2Fb%20c", "/bucket//double", "/bucket/%C3%A9?x-id=PutObject"):
            assert gateway.call("s3", "PUT", path, b"x").status == 200
    assert seen == ["a/b c", "/double", "é"]


def test_metrics_are_for_anybody_on_this_machine_and_a_signed_request_means_the_bucket(
    tmp_path: Path,
) -> None:
    with served({}, Settings(home=tmp_path)) as gateway:
        connection = gateway.connect()
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"up 1\n")
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        connection.request("GET", "/metrics", headers={"Origin": "http://evil.example"})
        refused = connection.getresponse()
        refused.read()
        assert refused.status == 403
        signed = gateway.sign("s3", "GET", "/metrics")
        connection.request("GET", "/metrics", headers=signed)
        bucket = connection.getresponse()
        assert b"up 1" not in bucket.read()
        connection.close()
