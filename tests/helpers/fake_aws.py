"""A small stand-in for AWS at the end of boto3's own pipeline: bytes go out to it, bytes come back.

boto3 signs, serializes, retries and parses as always; only the socket is missing.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import botocore.session
from botocore import xform_name
from botocore.awsrequest import AWSResponse

from tests.helpers.fake_jobs import FakeJobs
from tests.helpers.fake_packages import FakePackages

ACCOUNT = "123456789012"
REGION = "us-west-2"
ENDPOINT_CREATED_AT = 1_700_000_000
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/SageMakerRole"


@dataclass(frozen=True, slots=True)
class Step:
    """What one more DescribeTrainingJob finds: a secondary status, and the lines logged by then."""

    secondary: str
    message: str = ""
    lines: tuple[str, ...] = ()


@dataclass(slots=True)
class JobPlan:
    """How every training job goes."""

    steps: list[Step] = field(default_factory=lambda: [Step("Training", "Training in progress.")])
    end: str = "Completed"
    reason: str | None = None
    hosts: int = 1


@dataclass(frozen=True, slots=True)
class Call:
    """One operation, as its caller wrote it."""

    service: str
    operation: str
    params: dict[str, Any]


class FakeServiceError(Exception):
    """An error that the fake answers with."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class FakeAws(FakeJobs, FakePackages):
    """Answers what the SDK asks, and remembers all of it."""

    def __init__(self, plan: JobPlan | None = None) -> None:
        FakeJobs.__init__(self)
        FakePackages.__init__(self)
        self.plan = plan or JobPlan()
        self.calls: list[Call] = []
        self.objects: dict[tuple[str, str], bytes] = {}
        self.buckets = {"mybucket"}
        self.endpoint_statuses = ["Creating", "InService"]
        self.endpoint_reason: str | None = None
        # Milliseconds since the endpoint's creation (an earlier one's lines: negative), and text.
        self.endpoint_log: list[tuple[int, str]] = []
        self.caller_arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/SageMakerRole/me"
        self.answer_to_invocations: tuple[str, bytes] = ("application/json", b"[[1.0, 2.0]]")
        self.invocations: list[tuple[Mapping[str, str], bytes]] = []
        # Raised instead of an answer, the first one first.
        self.faults: list[Callable[[str], BaseException | None]] = []
        # Operations that the caller may not use.
        self.refused: set[str] = set()
        self._jobs: dict[str, dict[str, Any]] = {}
        self._describes: dict[str, int] = {}
        self._configs: dict[str, dict[str, Any]] = {}
        self._endpoints: dict[str, dict[str, Any]] = {}

    def boto_session(self) -> Any:
        core = botocore.session.Session()
        # The service models are read from disk once for all tests.
        core.register_component("data_loader", _loader())
        session = boto3.Session("AKIDEXAMPLE", "secret", region_name=REGION, botocore_session=core)
        session.events.register("provide-client-params.*.*", self._remember)
        session.events.register("before-send.*.*", self._answer)
        return session

    def operations(self) -> list[str]:
        return [f"{call.service}.{call.operation}" for call in self.calls]

    def params(self, operation: str) -> dict[str, Any]:
        return next(call.params for call in reversed(self.calls) if call.operation == operation)

    def archive(self, bucket: str, key: str) -> dict[str, bytes]:
        """The files of a stored .tar.gz."""
        with tarfile.open(fileobj=io.BytesIO(self.objects[bucket, key])) as tar:
            return {
                member.name.removeprefix("./"): (tar.extractfile(member) or io.BytesIO()).read()
                for member in tar
                if member.isfile()
            }

    # boto3's hooks

    def _remember(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        shown: dict[str, Any] = {**params, **({"Body": "<bytes>"} if "Body" in params else {})}
        self.calls.append(Call(model.service_model.service_name, model.name, shown))

    def _answer(self, request: Any, event_name: str, **_: Any) -> Any:
        service, operation = event_name.split(".")[1:]
        for fault in list(self.faults):
            error = fault(operation)
            if error is not None:
                self.faults.remove(fault)
                raise error
        body = _decoded(request)
        if operation in self.refused:
            return _error(request, FakeServiceError(400, "AccessDeniedException", "you may not"))
        try:
            if service == "s3":
                return self._s3(request, body)
            if service == "sagemaker-runtime":
                return self._invoke(operation, request, body)
            handler = getattr(self, f"_{xform_name(operation)}", None)
            assert handler is not None, f"the fake does not answer {service}.{operation}"
            if service in ("sts", "iam"):
                form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
                return response(request, 200, handler(form).encode(), "text/xml")
            answer = json.dumps(handler(json.loads(body))).encode()
            return response(request, 200, answer, "application/x-amz-json-1.1")
        except FakeServiceError as error:
            if service in ("sts", "iam"):
                words = f"<Code>{error.code}</Code><Message>{error.message}</Message>"
                answer = f"<ErrorResponse><Error>{words}</Error></ErrorResponse>".encode()
                return response(request, error.status, answer, "text/xml")
            return _error(request, error)

    def _invoke(self, operation: str, request: Any, body: bytes) -> Any:
        self.invocations.append((dict(request.headers), body))
        kind, answer = self.answer_to_invocations
        return response(request, 200, answer, kind)

    # STS and IAM

    def _get_caller_identity(self, form: Mapping[str, str]) -> str:
        return (
            "<GetCallerIdentityResponse><GetCallerIdentityResult>"
            f"<Arn>{self.caller_arn}</Arn><UserId>AROA:me</UserId><Account>{ACCOUNT}</Account>"
            "</GetCallerIdentityResult></GetCallerIdentityResponse>"
        )

    def _get_role(self, form: Mapping[str, str]) -> str:
        name = form["RoleName"]
        return (
            "<GetRoleResponse><GetRoleResult><Role><Path>/</Path>"
            f"<RoleName>{name}</RoleName><RoleId>AROA</RoleId>"
            f"<Arn>arn:aws:iam::{ACCOUNT}:role/{name}</Arn>"
            "<CreateDate>2026-01-01T00:00:00Z</CreateDate></Role></GetRoleResult></GetRoleResponse>"
        )

    # Training jobs

    def _create_training_job(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["TrainingJobName"]
        self._jobs[name] = request
        return {"TrainingJobArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}"}

    def _describe_training_job(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["TrainingJobName"]
        job = self._jobs[name]
        seen = self._describes[name] = self._describes.get(name, 0) + 1
        now = 1_700_000_000.0
        transitions = [
            {"Status": step.secondary, "StartTime": now - 60 + index, "StatusMessage": step.message}
            for index, step in enumerate(self.plan.steps[:seen])
        ]
        has_ended = seen > len(self.plan.steps)
        if has_ended:
            transitions.append(
                {"Status": self.plan.end, "StartTime": now, "StatusMessage": "Training job ended"}
            )
        output = job["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        model = f"{output}/{name}/output/model.tar.gz"
        answer = {
            **job,
            "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}",
            "TrainingJobStatus": self.plan.end if has_ended else "InProgress",
            "SecondaryStatus": transitions[-1]["Status"],
            "SecondaryStatusTransitions": transitions,
            "CreationTime": now,
        }
        if has_ended and self.plan.end == "Completed":
            answer["ModelArtifacts"] = {"S3ModelArtifacts": model}
            bucket, _, key = model.removeprefix("s3://").partition("/")
            self.objects.setdefault((bucket, key), tar_gz({"model.txt": b"m"}))
        if has_ended and self.plan.reason:
            answer["FailureReason"] = self.plan.reason
        return answer

    def _stop_training_job(self, request: dict[str, Any]) -> dict[str, Any]:
        self.plan.end = "Stopped"
        return {}

    # Logs

    def _describe_log_streams(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.endpoint_log and "/Endpoints/" in request["logGroupName"]:
            return {"logStreams": [{"logStreamName": "AllTraffic/i-1"}]}
        job = request.get("logStreamNamePrefix", "").rstrip("/")
        if not self._describes.get(job):
            raise FakeServiceError(400, "ResourceNotFoundException", "no such log group")
        names = [f"{job}/algo-{host}-1700000000" for host in range(1, self.plan.hosts + 1)]
        return {"logStreams": [{"logStreamName": name} for name in names]}

    def _get_log_events(self, request: dict[str, Any]) -> dict[str, Any]:
        if "/Endpoints/" in request["logGroupName"]:
            begun = 1000 * ENDPOINT_CREATED_AT
            told = [{"timestamp": begun + ms, "message": text} for ms, text in self.endpoint_log]
            return {"events": told, "nextForwardToken": "f/0", "nextBackwardToken": "b/0"}
        job = request["logStreamName"].partition("/")[0]
        lines = [line for step in self.plan.steps[: self._describes[job]] for line in step.lines]
        begin = int(request.get("nextToken", "f/0").removeprefix("f/"))
        events = [
            {"timestamp": 1_699_999_945_000 + index, "message": line, "ingestionTime": 1}
            for index, line in enumerate(lines)
        ]
        return {
            "events": events[begin:],
            "nextForwardToken": f"f/{len(lines)}",
            "nextBackwardToken": "b/0",
        }

    # Endpoints

    def _create_model(self, request: dict[str, Any]) -> dict[str, Any]:
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/{request['ModelName']}"
        self.models[request["ModelName"]] = {**request, "ModelArn": arn, "CreationTime": 1}
        return {"ModelArn": arn}

    def _create_endpoint_config(self, request: dict[str, Any]) -> dict[str, Any]:
        self._configs[request["EndpointConfigName"]] = request
        return {"EndpointConfigArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint-config/x"}

    def _describe_endpoint_config(self, request: dict[str, Any]) -> dict[str, Any]:
        return {**self._configs[request["EndpointConfigName"]], "CreationTime": 1}

    def _create_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        self._endpoints[request["EndpointName"]] = request
        return {"EndpointArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/x"}

    def _describe_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        statuses = self.endpoint_statuses
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        answer = {**self._endpoints[request["EndpointName"]], "EndpointStatus": status}
        answer.pop("Tags", None)
        answer["CreationTime"] = ENDPOINT_CREATED_AT
        if self.endpoint_reason:
            answer["FailureReason"] = self.endpoint_reason
        return answer

    def _delete_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        return {}

    _delete_endpoint_config = _delete_model = _delete_endpoint

    # S3

    def _s3(self, request: Any, body: bytes) -> Any:
        parts = urlsplit(request.url)
        host = parts.hostname or ""
        bucket = host.removesuffix(".s3.us-west-2.amazonaws.com")
        key = unquote(parts.path.lstrip("/"))
        if bucket not in self.buckets and not (request.method == "PUT" and not key):
            return response(request, 404, _s3_error("NoSuchBucket"), "application/xml")
        if request.method == "PUT":
            if key:
                self.objects[bucket, key] = body
            else:
                self.buckets.add(bucket)
            return response(request, 200, b"", "application/xml", {"ETag": '"e"'})
        if not key and request.method == "GET":
            prefix = parse_qs(parts.query).get("prefix", [""])[0]
            return response(request, 200, self._listing(bucket, prefix), "application/xml")
        if not key:
            return response(request, 200, b"", "application/xml")
        if (bucket, key) not in self.objects:
            return response(request, 404, _s3_error("NoSuchKey"), "application/xml")
        return response(request, 200, self.objects[bucket, key], "binary/octet-stream")

    def _listing(self, bucket: str, prefix: str) -> bytes:
        entries = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(content)}</Size></Contents>"
            for (owner, key), content in sorted(self.objects.items())
            if owner == bucket and key.startswith(prefix)
        )
        return (
            f"<ListBucketResult><Name>{bucket}</Name><IsTruncated>false</IsTruncated>"
            f"{entries}</ListBucketResult>"
        ).encode()


def tar_gz(files: Mapping[str, bytes]) -> bytes:
    """A .tar.gz of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _decoded(request: Any) -> bytes:
    body = request.body or b""
    data = body.read() if hasattr(body, "read") else body
    data = data.encode() if isinstance(data, str) else bytes(data)
    encoding = request.headers.get("Content-Encoding", b"")
    encoding = encoding.decode() if isinstance(encoding, bytes) else encoding
    return b"".join(_chunks(data)) if "aws-chunked" in encoding else data


def _chunks(data: bytes) -> Iterator[bytes]:
    while data:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        if count == 0:
            return
        yield data[:count]
        data = data[count + 2 :]


def _s3_error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>no such thing</Message></Error>".encode()


@cache
def _loader() -> Any:
    return botocore.session.Session().get_component("data_loader")


class _Raw(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


def _error(request: Any, error: FakeServiceError) -> Any:
    answer = json.dumps({"__type": error.code, "message": error.message}).encode()
    return response(request, error.status, answer, "application/x-amz-json-1.1")


def response(
    request: Any, status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None
) -> Any:
    length = {"Content-Length": str(len(body)), "Content-Type": kind, "x-amzn-RequestId": "r"}
    raw = _Raw(b"" if request.method == "HEAD" else body)
    return AWSResponse(request.url, status, {**length, **(headers or {})}, raw)
