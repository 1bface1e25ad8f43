"""What an engine knows, as its clients see it, and steps that each change it."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.helpers.script_mode import BUCKET, INFERENCE_IMAGE, ROLE, TRAINING_IMAGE

World = dict[str, Any]
Step = Callable[["Clients"], None]

_MIB = 1 << 20
_GROUP, _STREAM = "/app/power", "one/of two"
_NAMESPACE = "Power"

_PATIENCE_S = 20.0
_ENDED = ("Completed", "Failed", "Stopped")


class Clients:
    """Clients of one engine, for as long as its port and its credentials are the same.

    Args:
        make: makes a boto3 client of a service.
    """

    def __init__(self, make: Callable[[str], Any]) -> None:
        self.s3 = make("s3")
        self.sagemaker = make("sagemaker")
        self.logs = make("logs")
        self.cloudwatch = make("cloudwatch")
        self.sns = make("sns")


def read(clients: Clients) -> World:
    """Everything, once no job is open."""
    return {
        "jobs": dict(_jobs(clients)),  # first: they write objects
        "objects": {name: dict(_objects(clients.s3, name)) for name in _buckets(clients.s3)},
        "uploads": {name: list(_uploads(clients.s3, name)) for name in _buckets(clients.s3)},
        "models": {
            one["ModelName"]: _without(clients.sagemaker.describe_model(ModelName=one["ModelName"]))
            for one in clients.sagemaker.list_models()["Models"]
        },
        "tags": {
            one["ModelArn"]: clients.sagemaker.list_tags(ResourceArn=one["ModelArn"])["Tags"]
            for one in clients.sagemaker.list_models()["Models"]
        },
        "packages": dict(_packages(clients.sagemaker)),
        "logs": dict(_logs(clients.logs)),
        "metrics": _metrics(clients.cloudwatch),
        "alarms": [
            (one["AlarmName"], one["Threshold"])
            for one in clients.cloudwatch.describe_alarms()["MetricAlarms"]
        ],
        "topics": {
            one["TopicArn"]: [
                (sub["Endpoint"], sub["SubscriptionArn"])
                for sub in clients.sns.list_subscriptions_by_topic(TopicArn=one["TopicArn"])[
                    "Subscriptions"
                ]
            ]
            for one in clients.sns.list_topics()["Topics"]
        },
    }


def steps() -> list[Step]:
    """Each is acknowledged when it returns; the next begins then."""
    return [
        lambda on: on.s3.create_bucket(Bucket=BUCKET),
        _putting("plain", b"first", "text/plain"),
        _putting("plain", b"second, and longer", "text/other"),
        _putting("plain/below", b"under an object", "text/plain"),
        _putting("deep/er/and deeper/ü", b"x" * 9000, "text/plain"),
        lambda on: on.s3.copy_object(
            Bucket=BUCKET, Key="copied", CopySource={"Bucket": BUCKET, "Key": "plain"}
        ),
        lambda on: on.s3.delete_object(Bucket=BUCKET, Key="plain"),
        lambda on: on.s3.delete_object(Bucket=BUCKET, Key="deep/er/and deeper/ü"),
        _begin_upload,
        _upload_part(1, b"a" * (5 * _MIB)),
        _upload_part(2, b"b" * 100),
        _upload_part(2, b"c" * 70),
        _complete_upload,
        _begin_upload,
        _upload_part(1, b"d" * 5000),
        _abort_upload,
        lambda on: on.s3.create_bucket(Bucket="second-bucket"),
        lambda on: on.s3.delete_bucket(Bucket="second-bucket"),
        _create_model("first"),
        _create_model("second"),
        lambda on: on.sagemaker.add_tags(
            ResourceArn=_arn(on, "first"), Tags=[{"Key": "team", "Value": "a"}]
        ),
        lambda on: on.sagemaker.add_tags(
            ResourceArn=_arn(on, "first"), Tags=[{"Key": "team", "Value": "b"}]
        ),
        lambda on: on.sagemaker.delete_model(ModelName="second"),
        lambda on: on.sagemaker.create_model_package_group(ModelPackageGroupName="packages"),
        lambda on: on.sagemaker.create_model_package(
            ModelPackageGroupName="packages",
            InferenceSpecification={
                "Containers": [{"Image": INFERENCE_IMAGE, "ModelDataUrl": f"s3://{BUCKET}/copied"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
            ModelApprovalStatus="PendingManualApproval",
        ),
        _approve,
        lambda on: on.logs.create_log_group(logGroupName=_GROUP),
        lambda on: on.logs.create_log_stream(logGroupName=_GROUP, logStreamName=_STREAM),
        _logging("one", "two\nin two lines"),
        _logging("three"),
        _measuring(3.0),
        _measuring(4.5),
        _alarm(1.0),
        _alarm(2.0),
        lambda on: on.sns.create_topic(Name="news"),
        _subscribe,
        _delete_topic,
        lambda on: on.logs.delete_log_stream(logGroupName=_GROUP, logStreamName=_STREAM),
        lambda on: on.logs.delete_log_group(logGroupName=_GROUP),
    ]


def difference(found: World, wanted: World) -> str:
    """The parts that are not as wanted."""
    return "\n".join(
        f"{part}: {found[part]!r}\n  instead of {wanted[part]!r}"
        for part in wanted
        if found[part] != wanted[part]
    )


# Steps.


def _putting(key: str, body: bytes, content_type: str) -> Step:
    return lambda on: on.s3.put_object(
        Bucket=BUCKET, Key=key, Body=body, ContentType=content_type, Metadata={"of": key[:3]}
    )


def _begin_upload(on: Clients) -> None:
    on.s3.create_multipart_upload(Bucket=BUCKET, Key="long", ContentType="x/long")


def _upload(on: Clients) -> dict[str, str]:
    (upload,) = on.s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    return {"Bucket": BUCKET, "Key": upload["Key"], "UploadId": upload["UploadId"]}


def _upload_part(number: int, body: bytes) -> Step:
    return lambda on: on.s3.upload_part(**_upload(on), PartNumber=number, Body=body)


def _complete_upload(on: Clients) -> None:
    upload = _upload(on)
    parts = [
        {"PartNumber": part["PartNumber"], "ETag": part["ETag"]}
        for part in on.s3.list_parts(**upload)["Parts"]
    ]
    on.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def _abort_upload(on: Clients) -> None:
    on.s3.abort_multipart_upload(**_upload(on))


def _create_model(name: str) -> Step:
    return lambda on: on.sagemaker.create_model(
        ModelName=name,
        PrimaryContainer={"Image": INFERENCE_IMAGE, "ModelDataUrl": f"s3://{BUCKET}/copied"},
        ExecutionRoleArn=ROLE,
    )


def _arn(on: Clients, model: str) -> str:
    return str(on.sagemaker.describe_model(ModelName=model)["ModelArn"])


def _approve(on: Clients) -> None:
    (package,) = on.sagemaker.list_model_packages(ModelPackageGroupName="packages")[
        "ModelPackageSummaryList"
    ]
    on.sagemaker.update_model_package(
        ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus="Approved"
    )


def begin_job(name: str) -> Step:
    """A training job is accepted."""

    def step(on: Clients) -> None:
        on.sagemaker.create_training_job(
            TrainingJobName=name,
            RoleArn=ROLE,
            AlgorithmSpecification={"TrainingImage": TRAINING_IMAGE, "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/output"},
            ResourceConfig={
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 1,
            },
            StoppingCondition={"MaxRuntimeInSeconds": 300},
        )

    return step


def run_job(name: str) -> Step:
    """A training job is accepted, runs and ends."""

    def step(on: Clients) -> None:
        begin_job(name)(on)
        settled(on, name)

    return step


def has_ended(on: Clients, name: str) -> bool:
    """Whether a job is over."""
    status = on.sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
    return status in _ENDED


def settled(on: Clients, name: str) -> dict[str, Any]:
    """What is said of a job that has ended."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        job: dict[str, Any] = on.sagemaker.describe_training_job(TrainingJobName=name)
        if job["TrainingJobStatus"] in _ENDED:
            return job
        assert time.monotonic() < deadline, f"{name} is {job['TrainingJobStatus']} for ever"
        time.sleep(0.02)


def _logging(*messages: str) -> Step:
    return lambda on: on.logs.put_log_events(
        logGroupName=_GROUP,
        logStreamName=_STREAM,
        logEvents=[{"timestamp": int(time.time() * 1000), "message": one} for one in messages],
    )


def _measuring(value: float) -> Step:
    return lambda on: on.cloudwatch.put_metric_data(
        Namespace=_NAMESPACE,
        MetricData=[{"MetricName": "Load", "Timestamp": time.time(), "Value": value}],
    )


def _alarm(threshold: float) -> Step:
    return lambda on: on.cloudwatch.put_metric_alarm(
        AlarmName="high",
        Namespace=_NAMESPACE,
        MetricName="Load",
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=threshold,
        ComparisonOperator="GreaterThanThreshold",
    )


def _subscribe(on: Clients) -> None:
    (topic,) = on.sns.list_topics()["Topics"]
    on.sns.subscribe(
        TopicArn=topic["TopicArn"], Protocol="http", Endpoint="http://127.0.0.1:1/nobody"
    )


def _delete_topic(on: Clients) -> None:
    (topic,) = on.sns.list_topics()["Topics"]
    on.sns.delete_topic(TopicArn=topic["TopicArn"])


# Reading.


def _buckets(s3: Any) -> list[str]:
    return [one["Name"] for one in s3.list_buckets()["Buckets"]]


def _objects(s3: Any, bucket: str) -> Iterator[tuple[str, Any]]:
    for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
        got = s3.get_object(Bucket=bucket, Key=one["Key"])
        body = got["Body"].read()
        told = (got["ContentType"], got["Metadata"], got["ETag"], one["Size"])
        # Archives of jobs may be made anew, at another time.
        is_archive = one["Key"].endswith(".tar.gz")
        yield one["Key"], len(body) > 0 if is_archive else (body, *told)


def _uploads(s3: Any, bucket: str) -> Iterator[tuple[str, list[tuple[int, str, int]]]]:
    for one in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
        place = {"Bucket": bucket, "Key": one["Key"], "UploadId": one["UploadId"]}
        parts = s3.list_parts(**place).get("Parts", ())
        yield one["Key"], [(part["PartNumber"], part["ETag"], part["Size"]) for part in parts]


def _jobs(on: Clients) -> Iterator[tuple[str, tuple[str, str]]]:
    for one in on.sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]:
        job = settled(on, one["TrainingJobName"])
        yield one["TrainingJobName"], (job["TrainingJobStatus"], job.get("FailureReason", ""))


def _packages(sagemaker: Any) -> Iterator[tuple[str, Any]]:
    for group in sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]:
        name = group["ModelPackageGroupName"]
        found = sagemaker.list_model_packages(ModelPackageGroupName=name)
        yield (
            name,
            [
                (one["ModelPackageVersion"], one["ModelApprovalStatus"])
                for one in found["ModelPackageSummaryList"]
            ],
        )


def _logs(logs: Any) -> Iterator[tuple[str, Any]]:
    """Of the groups that the steps make; what jobs print is not acknowledged to anybody."""
    for group in logs.describe_log_groups(logGroupNamePrefix="/app/")["logGroups"]:
        name = group["logGroupName"]
        streams = logs.describe_log_streams(logGroupName=name)["logStreams"]
        yield (
            name,
            {
                one["logStreamName"]: [
                    (event["timestamp"], event["message"])
                    for event in logs.get_log_events(
                        logGroupName=name,
                        logStreamName=one["logStreamName"],
                        startFromHead=True,
                    )["events"]
                ]
                for one in streams
            },
        )


def _metrics(cloudwatch: Any) -> list[tuple[float, float]]:
    now = time.time()
    found = cloudwatch.get_metric_statistics(
        Namespace=_NAMESPACE,
        MetricName="Load",
        StartTime=now - 7200,
        EndTime=now + 60,
        Period=14400,
        Statistics=["Sum", "SampleCount"],
    )
    return [(one["Sum"], one["SampleCount"]) for one in found["Datapoints"]]


def _without(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}
