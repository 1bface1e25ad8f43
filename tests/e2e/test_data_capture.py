"""What endpoints are asked and answer, captured in S3: boto3 and our SDK against a real engine."""

import base64
import itertools
import json
import re
import threading
import time
from contextlib import closing
from typing import Any

import pytest

from intermodal import LocalSession
from intermodal.model_monitor import DataCaptureConfig
from intermodal.predictor import Predictor
from intermodal.serializers import CSVSerializer
from tests.helpers.captures import capture_config, captured_lines, data_of, wait_for_lines
from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import (
    BUCKET,
    INFERENCE_IMAGE,
    ROLE,
    settled_endpoint,
    store_model,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

Clients = dict[str, Any]

CSV_ECHO = """
def model_fn(folder):
    return folder

def transform_fn(model, body, content_type, accept):
    data = body.encode() if isinstance(body, str) else bytes(body)
    return data * (10 if data.startswith(b"long") else 1), content_type
"""


def deploy(clients: Clients, name: str, count: int = 1, **changes: Any) -> str:
    """An endpoint that echoes and captures; returns the prefix of its captures."""
    sagemaker = clients["sagemaker"]
    model = store_model(clients["s3"], name, CSV_ECHO)
    container = {"Image": INFERENCE_IMAGE, "ModelDataUrl": model}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    configure(clients, name, name, count, **changes)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert settled_endpoint(sagemaker, name)["EndpointStatus"] == "InService"
    return f"captures/{name}/AllTraffic/"


def configure(clients: Clients, config: str, model: str, count: int = 1, **changes: Any) -> None:
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": count,
    }
    clients["sagemaker"].create_endpoint_config(
        EndpointConfigName=config,
        ProductionVariants=[variant],
        DataCaptureConfig=capture_config(f"s3://{BUCKET}/captures", **changes),
    )


def ask(clients: Clients, name: str, body: bytes, **more: Any) -> bytes:
    parameters = {"EndpointName": name, "ContentType": "text/csv", "Body": body, **more}
    return bytes(clients["sagemaker-runtime"].invoke_endpoint(**parameters)["Body"].read())


def test_calls_are_captured_as_aws_writes_them(clients: Clients) -> None:
    prefix = deploy(clients, "captured")
    ask(clients, "captured", b"1,2\n", CustomAttributes="trace=7", InferenceId="mine")
    ask(clients, "captured", b'{"a": 1}', ContentType="application/json")
    ask(clients, "captured", b"\x00\x01", ContentType="application/x-npy")
    text, document, binary = wait_for_lines(clients["s3"], BUCKET, prefix, 3)
    assert text["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv",
        "mode": "INPUT",
        "data": "1,2\n",
        "encoding": "CSV",
    }
    assert text["captureData"]["endpointOutput"]["encoding"] == "CSV"
    assert text["eventMetadata"]["customAttributes"] == ["trace=7"]
    assert text["eventMetadata"]["inferenceId"] == "mine"
    assert text["eventVersion"] == "0"
    assert json.loads(data_of(document, "Input")) == {"a": 1}
    assert binary["captureData"]["endpointOutput"]["encoding"] == "BASE64"
    assert base64.b64decode(data_of(binary, "Output")) == b"\x00\x01"
    (first, *_) = clients["s3"].list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    pattern = r"\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl"
    assert re.fullmatch(prefix + pattern, first["Key"])


def test_long_bodies_and_streamed_answers_are_captured_whole(clients: Clients) -> None:
    prefix = deploy(clients, "streamed")
    body = b"long" + b"x" * 1_500_000
    assert ask(clients, "streamed", body) == body * 10
    answer = clients["sagemaker-runtime"].invoke_endpoint_with_response_stream(
        EndpointName="streamed", ContentType="text/csv", Body=b"long 1"
    )
    parts = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]
    assert b"".join(parts) == b"long 1" * 10
    found = wait_for_lines(clients["s3"], BUCKET, prefix, 2)
    sizes = [(len(data_of(one, "Input")), len(data_of(one, "Output"))) for one in found]
    assert sorted(sizes) == [(6, 60), (len(body), 10 * len(body))]


def test_a_planned_restart_loses_no_capture_and_a_kill_only_the_last_half_second(
    engine: RunningEngine, clients: Clients
) -> None:
    prefix = deploy(clients, "outliving")
    for number in range(20):
        ask(clients, "outliving", b"%d" % number)
    engine.restart()
    expected = [str(number) for number in range(20)]
    found = captured_lines(clients["s3"], BUCKET, prefix)  # at once: a stop writes all
    assert [data_of(one, "Input") for one in found] == expected
    for number in range(20, 40):
        ask(clients, "outliving", b"%d" % number)
    time.sleep(1.0)
    engine.kill()
    engine.start()
    found = wait_for_lines(clients["s3"], BUCKET, prefix, 40)
    assert sorted(int(data_of(one, "Input")) for one in found) == list(range(40))


def test_under_traffic_every_call_that_was_answered_is_captured_over_a_planned_restart(
    engine: RunningEngine, clients: Clients
) -> None:
    prefix = deploy(clients, "busy", count=2)
    answered: list[list[str]] = [[], []]
    ended = threading.Event()

    def call(number: int) -> None:
        with closing(engine.client("sagemaker-runtime")) as runtime:
            for count in itertools.count():
                if ended.is_set():
                    return
                body = f"{number}-{count}"
                asked = {"EndpointName": "busy", "ContentType": "text/csv", "Body": body}
                assert runtime.invoke_endpoint(**asked)["Body"].read() == body.encode()
                answered[number].append(body)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    engine.restart()
    time.sleep(0.5)
    ended.set()
    for thread in threads:
        thread.join()
    engine.restart()
    found = {data_of(one, "Input") for one in captured_lines(clients["s3"], BUCKET, prefix)}
    assert min(map(len, answered)) > 10
    assert {*answered[0], *answered[1]} <= found


def test_an_update_changes_what_is_captured(clients: Clients) -> None:
    sagemaker = clients["sagemaker"]
    prefix = deploy(clients, "changing")
    configure(clients, "changing-half", "changing", InitialSamplingPercentage=50)
    sagemaker.update_endpoint(
        EndpointName="changing",
        EndpointConfigName="changing-half",
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DataCaptureConfig"}],
    )
    shown = settled_endpoint(sagemaker, "changing")["DataCaptureConfig"]
    assert shown == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 50,
        "DestinationS3Uri": f"s3://{BUCKET}/captures",
        "KmsKeyId": "",
    }
    for number in range(10):
        ask(clients, "changing", b"%d" % number)
    assert len(wait_for_lines(clients["s3"], BUCKET, prefix, 5)) == 5


def test_a_bucket_that_is_missing_fails_no_call_and_is_named_in_the_log(clients: Clients) -> None:
    deploy(clients, "nowhere", DestinationS3Uri="s3://not-there/x")
    assert ask(clients, "nowhere", b"1") == b"1"
    deadline = time.monotonic() + 20
    group = {"logGroupName": "/aws/sagemaker/Endpoints/nowhere"}
    said: list[str] = []
    while not any("`not-there` does not exist" in line for line in said):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        found = clients["logs"].filter_log_events(**group, logStreamNamePrefix="AllTraffic/data")
        said = [event["message"] for event in found["events"]]


def test_our_sdk_starts_stops_and_changes_capture(engine: RunningEngine, clients: Clients) -> None:
    session = LocalSession(engine.home, default_bucket=BUCKET)
    deploy(clients, "ours", EnableCapture=False)
    predictor = Predictor("ours", session, serializer=CSVSerializer())

    predictor.update_data_capture_config(
        DataCaptureConfig(
            True, 100, f"s3://{BUCKET}/sdk", capture_options=["REQUEST"], sagemaker_session=session
        )
    )
    predictor.predict([1, 2])
    (line,) = wait_for_lines(clients["s3"], BUCKET, "sdk/ours/AllTraffic/", 1)
    assert list(line["captureData"]) == ["endpointInput"]
    assert data_of(line, "Input") == "1,2"

    predictor.disable_data_capture()
    assert session.describe_endpoint("ours")["DataCaptureConfig"]["CaptureStatus"] == "Stopped"
    predictor.enable_data_capture()
    shown = session.describe_endpoint("ours")["DataCaptureConfig"]
    assert shown["DestinationS3Uri"] == f"s3://{BUCKET}/model-monitor/data-capture"
    assert (shown["CaptureStatus"], shown["CurrentSamplingPercentage"]) == ("Started", 20)
    for number in range(5):
        predictor.predict([number])
    place = "model-monitor/data-capture/ours/AllTraffic/"
    assert len(wait_for_lines(clients["s3"], BUCKET, place, 1)) == 1
