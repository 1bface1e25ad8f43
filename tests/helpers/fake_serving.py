"""The stand-in for AWS with what endpoints need beside it: updates, streams, answers in S3."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from intermodal_engine.wire.event_stream import message
from tests.helpers.fake_aws import ACCOUNT, REGION, FakeAws, FakeServiceError, response

ASYNC_OUTPUT = "s3://mybucket/async/out/answer.out"
ASYNC_FAILURE = "s3://mybucket/async/failed/answer.err"


class FakeServing(FakeAws):
    """Answers what predictors, and models of many containers, ask beside all else."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = [b"one\ntw", b"o\n"]
        self.stream_error: tuple[str, bytes] | None = None
        self.tags: list[dict[str, str]] = []

    def _invoke(self, operation: str, request: Any, body: bytes) -> Any:
        if operation == "InvokeEndpointAsync":
            where = {
                "X-Amzn-SageMaker-OutputLocation": ASYNC_OUTPUT,
                "X-Amzn-SageMaker-FailureLocation": ASYNC_FAILURE,
            }
            return response(request, 202, b'{"InferenceId": "i"}', "application/json", where)
        if operation == "InvokeEndpointWithResponseStream":
            self.invocations.append((dict(request.headers), body))
            answer = event_stream(self.parts, self.stream_error)
            return response(request, 200, answer, "application/vnd.amazon.eventstream")
        return super()._invoke(operation, request, body)

    def _s3(self, request: Any, body: bytes) -> Any:
        source = request.headers.get("x-amz-copy-source")
        if source is None:
            return super()._s3(request, body)
        name = unquote(source.decode() if isinstance(source, bytes) else source)
        bucket, _, key = name.lstrip("/").partition("/")
        super()._s3(request, self.objects[bucket, key])
        answer = b'<CopyObjectResult><ETag>"e"</ETag></CopyObjectResult>'
        return response(request, 200, answer, "application/xml")

    def _describe_endpoint_config(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["EndpointConfigName"]
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint-config/{name}"
        described = super()._describe_endpoint_config(request)
        described.pop("Tags", None)
        return {**described, "EndpointConfigArn": arn}

    def _describe_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["EndpointName"] not in self._endpoints:
            text = f'Could not find endpoint "{request["EndpointName"]}".'
            raise FakeServiceError(400, "ValidationException", text)
        return super()._describe_endpoint(request)

    def _update_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        self._endpoints[request["EndpointName"]] = request
        return {"EndpointArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/x"}

    def _list_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"Tags": self.tags}

    def _register_scalable_target(self, request: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _put_scaling_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"PolicyARN": "arn:policy", "Alarms": []}

    _deregister_scalable_target = _register_scalable_target


def event_stream(parts: Iterable[bytes], error: tuple[str, bytes] | None = None) -> bytes:
    """The parts as AWS's event stream has them, and what broke it off.

    https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html
    """
    sent = [
        message({":message-type": "event", ":event-type": "PayloadPart"}, part) for part in parts
    ]
    if error:
        sent.append(message({":message-type": "exception", ":exception-type": error[0]}, error[1]))
    return b"".join(sent)
