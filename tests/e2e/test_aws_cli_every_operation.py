"""Every operation that the engine serves, through the AWS CLI: what is written can be read again.

A new operation fails here until it has its line.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.services.table import TABLE
from tests.helpers.aws_cli import AwsCli, aws_cli
from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.fake_registry import FakeRegistry, fake_registry
from tests.helpers.script_mode import (
    BUCKET,
    INFERENCE_IMAGE,
    ROLE,
    ended_job,
    job_request,
    settled_endpoint,
    store_model,
)
from tests.helpers.transform import create_summing_model
from tests.helpers.webhook import webhook

pytestmark = pytest.mark.e2e
Call = Callable[..., Any]

LOSS = {"Name": "loss", "Regex": "loss=(.*)"}

NOT_IN_THE_CLI = {("sagemaker-runtime", "InvokeEndpointWithResponseStream")}
"""Event streams, whose commands the AWS CLI leaves out; boto3 calls them in tests of their own."""


@pytest.fixture(scope="module")
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as registry:
        yield registry


@pytest.fixture(scope="module")
def engine(registry: FakeRegistry) -> Iterator[RunningEngine]:
    with running_engine(f"--registry={registry.host}") as engine:
        yield engine


@pytest.fixture
def cli(engine: RunningEngine) -> Iterator[AwsCli]:
    with aws_cli(engine.environment) as cli:
        yield cli


def assert_all_were_called(cli: AwsCli, *services: str) -> None:
    served = {(service, operation) for service in services for operation in TABLE[service]}
    served -= NOT_IN_THE_CLI
    assert cli.called >= served, f"give these a line: {sorted(served - cli.called)}"


def test_every_service_is_walked_through_here() -> None:
    walked = {"sagemaker", "sagemaker-runtime", "s3", "logs", "cloudwatch", "ecr", "sts", "iam"}
    walked |= {"application-autoscaling", "sns"}
    assert set(TABLE) == walked


def test_sts_and_iam(cli: AwsCli) -> None:
    assert cli.operation("sts", "GetCallerIdentity")["Account"] == "123456789012"
    role = cli.operation("iam", "GetRole", "--role-name", "demo")["Role"]
    assert role["Arn"] == ROLE
    decided = cli.operation(
        "iam", "SimulatePrincipalPolicy",
        "--policy-source-arn", ROLE, "--action-names", "s3:GetObject",
    )  # fmt: skip
    assert [one["EvalDecision"] for one in decided["EvaluationResults"]] == ["allowed"]
    assert_all_were_called(cli, "sts", "iam")


def test_s3_buckets_and_objects(cli: AwsCli, tmp_path: Path) -> None:
    s3: Call = partial(cli.operation, "s3")
    here, there = ("--bucket", "walk"), ("--bucket", "walk", "--key", "a.txt")
    (tmp_path / "a.txt").write_text("hello")
    s3("CreateBucket", *here)
    s3("HeadBucket", *here)
    s3("GetBucketLocation", *here)
    assert "walk" in [one["Name"] for one in s3("ListBuckets")["Buckets"]]
    etag = s3("PutObject", *there, "--body", str(tmp_path / "a.txt"))["ETag"]
    assert s3("HeadObject", *there)["ETag"] == etag
    s3("GetObject", *there, str(tmp_path / "back.txt"))
    assert (tmp_path / "back.txt").read_text() == "hello"
    assert s3("GetObjectAttributes", *there, "--object-attributes", "ObjectSize") == {
        "LastModified": s3("HeadObject", *there)["LastModified"],
        "ObjectSize": 5,
    }
    s3("PutObjectTagging", *there, "--tagging", "TagSet=[{Key=team,Value=blue}]")
    assert s3("GetObjectTagging", *there)["TagSet"] == [{"Key": "team", "Value": "blue"}]
    s3("DeleteObjectTagging", *there)
    s3("CopyObject", *here, "--key", "b.txt", "--copy-source", "walk/a.txt")
    for operation, member in (
        ("ListObjects", "Contents"),
        ("ListObjectsV2", "Contents"),
        ("ListObjectVersions", "Versions"),
    ):
        assert [one["Key"] for one in s3(operation, *here)[member]] == ["a.txt", "b.txt"]
    walk_multipart(s3, tmp_path / "a.txt")
    walk_settings(cli, *here)
    s3("DeleteObject", *there)
    s3("DeleteObjects", *here, "--delete", {"Objects": [{"Key": "b.txt"}, {"Key": "whole"}]})
    s3("DeleteBucket", *here)
    assert_all_were_called(cli, "s3")


def walk_multipart(s3: Call, body: Path) -> None:
    there = ("--bucket", "walk", "--key", "whole")
    upload = ("--upload-id", s3("CreateMultipartUpload", *there)["UploadId"])
    copied = s3(
        "UploadPartCopy", *there, *upload, "--part-number", "1", "--copy-source", "walk/a.txt"
    )
    uploads = s3("ListMultipartUploads", "--bucket", "walk")["Uploads"]
    assert [one["Key"] for one in uploads] == ["whole"]
    s3("AbortMultipartUpload", *there, *upload)
    assert copied["CopyPartResult"]["ETag"]
    upload = ("--upload-id", s3("CreateMultipartUpload", *there)["UploadId"])
    etag = s3("UploadPart", *there, *upload, "--part-number", "1", "--body", str(body))["ETag"]
    assert [one["ETag"] for one in s3("ListParts", *there, *upload)["Parts"]] == [etag]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    assert s3("CompleteMultipartUpload", *there, *upload, "--multipart-upload", parts)["Key"]


def walk_settings(cli: AwsCli, *here: str) -> None:
    """What a bucket is set to; AWS has no answer but an error for some of a fresh bucket."""
    s3: Call = partial(cli.operation, "s3")
    s3("GetBucketAcl", *here)
    s3("GetObjectAcl", *here, "--key", "a.txt")
    for operation in sorted(name for name in TABLE["s3"] if name.startswith("Get")):
        if ("s3", operation) not in cli.called:
            error = cli.error_of("s3", operation, *here)
            assert error is None or error.startswith("NoSuch") or error.endswith("NotFoundError")


def test_logs(cli: AwsCli) -> None:
    logs: Call = partial(cli.operation, "logs")
    group, stream = ("--log-group-name", "walk"), ("--log-stream-name", "one")
    logs("CreateLogGroup", *group)
    logs("CreateLogStream", *group, *stream)
    now_ms = int(time.time() * 1000)
    logs("PutLogEvents", *group, *stream, "--log-events", f"timestamp={now_ms},message=hello")
    events = logs("GetLogEvents", *group, *stream)["events"]
    assert [one["message"] for one in events] == ["hello"]
    found = logs("FilterLogEvents", *group, "--filter-pattern", "hello")["events"]
    assert [one["logStreamName"] for one in found] == ["one"]
    groups = logs("DescribeLogGroups", "--log-group-name-prefix", "walk")["logGroups"]
    assert [one["logGroupName"] for one in groups] == ["walk"]
    assert logs("DescribeLogStreams", *group)["logStreams"][0]["logStreamName"] == "one"
    logs("DeleteLogStream", *group, *stream)
    logs("DeleteLogGroup", *group)
    assert_all_were_called(cli, "logs")


def test_ecr(cli: AwsCli, registry: FakeRegistry) -> None:
    ecr: Call = partial(cli.operation, "ecr")
    here = ("--repository-name", "walk")
    arn = ecr("CreateRepository", *here)["repository"]["repositoryArn"]
    digest = registry.push("walk", "1", 1000)
    assert ecr("DescribeRepositories")["repositories"][0]["repositoryArn"] == arn
    assert ecr("DescribeImages", *here)["imageDetails"][0]["imageDigest"] == digest
    assert ecr("ListImages", *here)["imageIds"] == [{"imageDigest": digest, "imageTag": "1"}]
    assert ecr("GetAuthorizationToken")["authorizationData"]
    ecr("TagResource", "--resource-arn", arn, "--tags", "Key=team,Value=blue")
    assert ecr("ListTagsForResource", "--resource-arn", arn)["tags"]
    ecr("UntagResource", "--resource-arn", arn, "--tag-keys", "team")
    assert ecr("BatchDeleteImage", *here, "--image-ids", f"imageDigest={digest}")["imageIds"]
    ecr("DeleteRepository", *here)
    assert_all_were_called(cli, "ecr")


def test_sagemaker_its_runtime_and_its_metrics(
    cli: AwsCli, engine: RunningEngine, tmp_path: Path
) -> None:
    engine.client("s3").create_bucket(Bucket=BUCKET)
    walk_training(cli, engine)
    walk_metrics(cli)
    walk_tuning(cli, engine)
    walk_processing(cli)
    walk_transform(cli, engine)
    walk_registry(cli)
    walk_endpoint(cli, engine, tmp_path)
    walk_component(cli, engine)
    assert_all_were_called(
        cli, "sagemaker", "sagemaker-runtime", "cloudwatch", "application-autoscaling"
    )


def walk_training(cli: AwsCli, engine: RunningEngine) -> None:
    sagemaker: Call = partial(cli.operation, "sagemaker")
    # Of two sizes, so that neither takes over the other's warm pool.
    for name, script, size in (("walk", "echo loss=0.5", 1), ("walk-long", "sleep 60", 2)):
        program = {
            "TrainingImage": "intermodal/python:3",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["sh", "-c", script],
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        }
        sagemaker(
            "CreateTrainingJob", "--training-job-name", name, "--role-arn", ROLE,
            "--algorithm-specification", program,
            "--output-data-config", f"S3OutputPath=s3://{BUCKET}/output",
            "--resource-config",
            f"InstanceType=ml.m5.large,InstanceCount=1,VolumeSizeInGB={size},"
            "KeepAlivePeriodInSeconds=60",
            "--stopping-condition", "MaxRuntimeInSeconds=300",
        )  # fmt: skip
    sagemaker("StopTrainingJob", "--training-job-name", "walk-long")
    ended_job(engine.client("sagemaker"), "walk")
    job = sagemaker("DescribeTrainingJob", "--training-job-name", "walk")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    listed = sagemaker("ListTrainingJobs")["TrainingJobSummaries"]
    assert {one["TrainingJobName"] for one in listed} == {"walk", "walk-long"}
    sagemaker(
        "UpdateTrainingJob", "--training-job-name", "walk",
        "--resource-config", "KeepAlivePeriodInSeconds=0",
    )  # fmt: skip
    arn = ("--resource-arn", job["TrainingJobArn"])
    sagemaker("AddTags", *arn, "--tags", "Key=team,Value=blue")
    assert sagemaker("ListTags", *arn)["Tags"] == [{"Key": "team", "Value": "blue"}]
    sagemaker("DeleteTags", *arn, "--tag-keys", "team")


def walk_metrics(cli: AwsCli) -> None:
    cloudwatch: Call = partial(cli.operation, "cloudwatch")
    (metric,) = cloudwatch("ListMetrics", "--metric-name", "loss")["Metrics"]
    times = (
        *("--start-time", str(int(time.time()) - 600)),
        *("--end-time", str(int(time.time()) + 60)),
    )
    statistics = cloudwatch(
        "GetMetricStatistics", "--namespace", metric["Namespace"], "--metric-name", "loss",
        "--dimensions", metric["Dimensions"], *times, "--period", "3600",
        "--statistics", "Maximum",
    )  # fmt: skip
    assert [one["Maximum"] for one in statistics["Datapoints"]] == [0.5]
    query = {
        "Id": "loss",
        "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "Maximum"},
    }
    data = cloudwatch("GetMetricData", "--metric-data-queries", [query], *times)
    assert data["MetricDataResults"][0]["Values"] == [0.5]
    cloudwatch(
        "PutMetricData",
        "--namespace",
        "Walk",
        "--metric-data",
        [{"MetricName": "depth", "Value": 4.0, "Unit": "Count"}],
    )
    (metric,) = cloudwatch("ListMetrics", "--namespace", "Walk")["Metrics"]
    assert metric["MetricName"] == "depth"
    walk_alarms(cli)


def walk_alarms(cli: AwsCli) -> None:
    cloudwatch: Call = partial(cli.operation, "cloudwatch")
    here, names = ("--alarm-name", "deep"), ("--alarm-names", "deep")
    metric = ("--namespace", "Walk", "--metric-name", "depth")
    cloudwatch(
        "PutMetricAlarm", *here, *metric, "--statistic", "Maximum", "--period", "60",
        "--evaluation-periods", "1", "--threshold", "3",
        "--comparison-operator", "GreaterThanThreshold", "--treat-missing-data", "ignore",
    )  # fmt: skip
    (alarm,) = cloudwatch("DescribeAlarmsForMetric", *metric)["MetricAlarms"]
    assert alarm["AlarmName"] == "deep"
    cloudwatch("SetAlarmState", *here, "--state-value", "ALARM", "--state-reason", "walk")
    assert cloudwatch("DescribeAlarms", *names)["MetricAlarms"][0]["StateReason"] == "walk"
    assert cloudwatch("DescribeAlarmHistory", *here)["AlarmHistoryItems"]
    cloudwatch("DisableAlarmActions", *names)
    cloudwatch("EnableAlarmActions", *names)
    cloudwatch("DeleteAlarms", *names)
    assert cloudwatch("DescribeAlarms")["MetricAlarms"] == []


def walk_processing(cli: AwsCli) -> None:
    sagemaker: Call = partial(cli.operation, "sagemaker")
    here = ("--processing-job-name", "walk")
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    sagemaker(
        "CreateProcessingJob", *here, "--role-arn", ROLE,
        "--app-specification",
        {"ImageUri": "intermodal/python:3", "ContainerEntrypoint": ["sleep", "60"]},
        "--processing-resources", {"ClusterConfig": cluster},
    )  # fmt: skip
    listed = sagemaker("ListProcessingJobs")["ProcessingJobSummaries"]
    assert [one["ProcessingJobName"] for one in listed] == ["walk"]
    sagemaker("StopProcessingJob", *here)
    status = sagemaker("DescribeProcessingJob", *here)["ProcessingJobStatus"]
    assert status in {"Stopping", "Stopped"}


def walk_transform(cli: AwsCli, engine: RunningEngine) -> None:
    sagemaker: Call = partial(cli.operation, "sagemaker")
    here = ("--transform-job-name", "walk")
    clients = {service: engine.client(service) for service in ("s3", "sagemaker")}
    create_summing_model(clients, "walk-transform", PAUSE_S="60")
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/models/"}}
    sagemaker(
        "CreateTransformJob", *here, "--model-name", "walk-transform",
        "--transform-input", {"DataSource": data},
        "--transform-output", f"S3OutputPath=s3://{BUCKET}/transformed",
        "--transform-resources", "InstanceType=ml.m5.large,InstanceCount=1",
    )  # fmt: skip
    sagemaker("StopTransformJob", *here)
    listed = sagemaker("ListTransformJobs")["TransformJobSummaries"]
    assert [one["TransformJobName"] for one in listed] == ["walk"]
    assert sagemaker("DescribeTransformJob", *here)["TransformJobStatus"] in {"Stopping", "Stopped"}
    clients["sagemaker"].delete_model(ModelName="walk-transform")


def walk_registry(cli: AwsCli) -> None:
    sagemaker: Call = partial(cli.operation, "sagemaker")
    here = ("--model-package-group-name", "walk")
    sagemaker("CreateModelPackageGroup", *here)
    groups = sagemaker("ListModelPackageGroups")["ModelPackageGroupSummaryList"]
    assert [one["ModelPackageGroupName"] for one in groups] == ["walk"]
    assert sagemaker("DescribeModelPackageGroup", *here)["ModelPackageGroupStatus"] == "Completed"
    policy = {"Version": "2012-10-17", "Statement": []}
    sagemaker("PutModelPackageGroupPolicy", *here, "--resource-policy", policy)
    sagemaker("GetModelPackageGroupPolicy", *here)
    sagemaker("DeleteModelPackageGroupPolicy", *here)
    arn = sagemaker(
        "CreateModelPackage", *here,
        "--inference-specification", {"Containers": [{"Image": INFERENCE_IMAGE}]},
    )["ModelPackageArn"]  # fmt: skip
    sagemaker(
        "UpdateModelPackage", "--model-package-arn", arn, "--model-approval-status", "Approved"
    )
    package = ("--model-package-name", arn)
    assert sagemaker("DescribeModelPackage", *package)["ModelApprovalStatus"] == "Approved"
    batch = sagemaker("BatchDescribeModelPackage", "--model-package-arn-list", arn)
    assert list(batch["ModelPackageSummaries"]) == [arn]
    listed = sagemaker("ListModelPackages", *here)["ModelPackageSummaryList"]
    assert [one["ModelPackageVersion"] for one in listed] == [1]
    found = sagemaker("Search", "--resource", "ModelPackage")["Results"]
    assert [one["ModelPackage"]["ModelPackageArn"] for one in found] == [arn]
    sagemaker("DeleteModelPackage", *package)
    sagemaker("DeleteModelPackageGroup", *here)


def walk_tuning(cli: AwsCli, engine: RunningEngine) -> None:
    """Its one training job fails, since no such program was submitted; that is told."""
    sagemaker: Call = partial(cli.operation, "sagemaker")
    here = ("--hyper-parameter-tuning-job-name", "walk")
    config = {
        "Strategy": "Grid",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": {"MaxParallelTrainingJobs": 1},
        "ParameterRanges": {"CategoricalParameterRanges": [{"Name": "a", "Values": ["x"]}]},
    }
    definition = {
        "AlgorithmSpecification": {
            "TrainingImage": "intermodal/python:3",
            "TrainingInputMode": "File",
            "MetricDefinitions": [LOSS],
        },
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/tuned"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 1,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    sagemaker(
        "CreateHyperParameterTuningJob", *here,
        "--hyper-parameter-tuning-job-config", config, "--training-job-definition", definition,
    )  # fmt: skip
    ended = ("Failed", "Stopped")
    while (found := sagemaker("DescribeHyperParameterTuningJob", *here))[
        "HyperParameterTuningJobStatus"
    ] not in ended:
        time.sleep(0.1)
    assert "no training job succeeded after 1 attempts" in found["FailureReason"]
    (trial,) = sagemaker("ListTrainingJobsForHyperParameterTuningJob", *here)[
        "TrainingJobSummaries"
    ]
    assert trial["TunedHyperParameters"] == {"a": "x"}
    listed = sagemaker("ListHyperParameterTuningJobs")["HyperParameterTuningJobSummaries"]
    assert [one["HyperParameterTuningJobName"] for one in listed] == ["walk"]
    long = ("--hyper-parameter-tuning-job-name", "walk-long")
    script = job_request("walk-long", "import time; time.sleep(60)", engine.client("s3"))
    algorithm = {**script["AlgorithmSpecification"], "MetricDefinitions": [LOSS]}
    sleeping = {
        **definition,
        "AlgorithmSpecification": algorithm,
        "StaticHyperParameters": script["HyperParameters"],
    }
    sagemaker(
        "CreateHyperParameterTuningJob", *long,
        "--hyper-parameter-tuning-job-config", config, "--training-job-definition", sleeping,
    )  # fmt: skip
    sagemaker("StopHyperParameterTuningJob", *long)
    sagemaker("DeleteHyperParameterTuningJob", *here)


def walk_component(cli: AwsCli, engine: RunningEngine) -> None:
    sagemaker: Call = partial(cli.operation, "sagemaker")
    client = engine.client("sagemaker")
    uri = store_model(engine.client("s3"), "shared")
    sagemaker(
        "CreateEndpointConfig", "--endpoint-config-name", "shared", "--execution-role-arn", ROLE,
        "--production-variants", "VariantName=V,InstanceType=ml.m5.xlarge,InitialInstanceCount=1",
    )  # fmt: skip
    endpoint = ("--endpoint-name", "shared")
    sagemaker("CreateEndpoint", *endpoint, "--endpoint-config-name", "shared")
    settled_endpoint(client, "shared")
    here = ("--inference-component-name", "part")
    container = {"Image": INFERENCE_IMAGE, "ArtifactUrl": uri}
    needs = {"NumberOfCpuCoresRequired": 1, "MinMemoryRequiredInMb": 256}
    specification = {"Container": container, "ComputeResourceRequirements": needs}
    sagemaker(
        "CreateInferenceComponent", *here, *endpoint, "--specification", specification,
    )  # fmt: skip

    def settled() -> dict[str, Any]:
        while True:
            found: dict[str, Any] = client.describe_inference_component(
                InferenceComponentName="part"
            )
            if found["InferenceComponentStatus"] not in ("Creating", "Updating"):
                return found
            time.sleep(0.05)

    assert settled()["InferenceComponentStatus"] == "InService"
    sagemaker("UpdateInferenceComponentRuntimeConfig", *here, "--desired-runtime-config",
              "CopyCount=2")  # fmt: skip
    assert settled()["RuntimeConfig"]["CurrentCopyCount"] == 2
    sagemaker("UpdateInferenceComponent", *here, "--runtime-config", "CopyCount=1")
    settled()
    runtime = sagemaker("DescribeInferenceComponent", *here)["RuntimeConfig"]
    assert runtime == {"DesiredCopyCount": 1, "CurrentCopyCount": 1}
    listed = sagemaker("ListInferenceComponents")["InferenceComponents"]
    assert [one["InferenceComponentName"] for one in listed] == ["part"]
    sagemaker("DeleteInferenceComponent", *here)


def walk_endpoint(cli: AwsCli, engine: RunningEngine, tmp_path: Path) -> None:
    sagemaker: Call = partial(cli.operation, "sagemaker")
    client = engine.client("sagemaker")
    uri = store_model(engine.client("s3"), "walk")
    model, endpoint = ("--model-name", "walk"), ("--endpoint-name", "walk")
    container = f"Image={INFERENCE_IMAGE},ModelDataUrl={uri}"
    sagemaker("CreateModel", *model, "--primary-container", container, "--execution-role-arn", ROLE)
    assert sagemaker("DescribeModel", *model)["PrimaryContainer"]["ModelDataUrl"] == uri
    assert [one["ModelName"] for one in sagemaker("ListModels")["Models"]] == ["walk"]
    for name, count in (("walk", 1), ("walk-2", 2)):
        sagemaker(
            "CreateEndpointConfig", "--endpoint-config-name", name, "--production-variants",
            "VariantName=AllTraffic,ModelName=walk,InstanceType=ml.m5.large,"
            f"InitialInstanceCount={count}",
        )  # fmt: skip
    sagemaker("DescribeEndpointConfig", "--endpoint-config-name", "walk")
    assert len(sagemaker("ListEndpointConfigs")["EndpointConfigs"]) == 2
    sagemaker("CreateEndpoint", *endpoint, "--endpoint-config-name", "walk")
    settled_endpoint(client, "walk")
    (tmp_path / "body").write_text("hello")
    cli.operation(
        "sagemaker-runtime", "InvokeEndpoint", *endpoint, "--content-type", "text/plain",
        "--body", f"fileb://{tmp_path}/body", str(tmp_path / "answer"),
    )  # fmt: skip
    assert (tmp_path / "answer").read_text() == "hello 3.14"
    sagemaker("UpdateEndpoint", *endpoint, "--endpoint-config-name", "walk-2")
    settled_endpoint(client, "walk")
    (variant,) = sagemaker("DescribeEndpoint", *endpoint)["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 2
    sagemaker(
        "UpdateEndpointWeightsAndCapacities", *endpoint, "--desired-weights-and-capacities",
        "VariantName=AllTraffic,DesiredWeight=3,DesiredInstanceCount=1",
    )  # fmt: skip
    settled_endpoint(client, "walk")
    (variant,) = sagemaker("DescribeEndpoint", *endpoint)["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (1, 3.0)
    assert [one["EndpointName"] for one in sagemaker("ListEndpoints")["Endpoints"]] == ["walk"]
    walk_scaling(cli)
    walk_asynchronous(cli, client, tmp_path)
    sagemaker("DeleteEndpoint", *endpoint)
    sagemaker("DeleteEndpointConfig", "--endpoint-config-name", "walk")
    sagemaker("DeleteModel", *model)


def walk_asynchronous(cli: AwsCli, client: Any, folder: Path) -> None:
    sagemaker: Call = partial(cli.operation, "sagemaker")
    endpoint = ("--endpoint-name", "walk-later")
    sagemaker(
        "CreateEndpointConfig", "--endpoint-config-name", "walk-later", "--production-variants",
        "VariantName=AllTraffic,ModelName=walk,InstanceType=ml.m5.large,InitialInstanceCount=1",
        "--async-inference-config", f"OutputConfig={{S3OutputPath=s3://{BUCKET}/later}}",
    )  # fmt: skip
    sagemaker("CreateEndpoint", *endpoint, "--endpoint-config-name", "walk-later")
    settled_endpoint(client, "walk-later")
    cli.operation("s3api", "PutObject", "--bucket", BUCKET, "--key", "later/in", "--body",
        str(folder / "body"))  # fmt: skip
    accepted = cli.operation(
        "sagemaker-runtime", "InvokeEndpointAsync", *endpoint, "--content-type", "text/plain",
        "--input-location", f"s3://{BUCKET}/later/in",
    )  # fmt: skip
    place = accepted["OutputLocation"].removeprefix(f"s3://{BUCKET}/").split("/")
    assert place[0] == "later"
    assert place[1].endswith(".out")
    sagemaker("DeleteEndpoint", *endpoint)
    sagemaker("DeleteEndpointConfig", "--endpoint-config-name", "walk-later")


def walk_scaling(cli: AwsCli) -> None:
    scaling: Call = partial(cli.operation, "application-autoscaling")
    space = ("--service-namespace", "sagemaker")
    here = (
        *space,
        *("--resource-id", "endpoint/walk/variant/AllTraffic"),
        *("--scalable-dimension", "sagemaker:variant:DesiredInstanceCount"),
    )
    policy = ("--policy-name", "walk")
    scaling("RegisterScalableTarget", *here, "--min-capacity", "1", "--max-capacity", "2")
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    config = {"TargetValue": 1000.0, "PredefinedMetricSpecification": metric}
    scaling(
        "PutScalingPolicy", *here, *policy, "--policy-type", "TargetTrackingScaling",
        "--target-tracking-scaling-policy-configuration", config,
    )  # fmt: skip
    assert scaling("DescribeScalingPolicies", *space)["ScalingPolicies"][0]["Alarms"]
    assert scaling("DescribeScalableTargets", *space)["ScalableTargets"][0]["MaxCapacity"] == 2
    assert scaling("DescribeScalingActivities", *space)["ScalingActivities"] == []
    scaling("DeleteScalingPolicy", *here, *policy)
    scaling("DeregisterScalableTarget", *here)


def test_sns(cli: AwsCli) -> None:
    sns: Call = partial(cli.operation, "sns")
    topic = ("--topic-arn", sns("CreateTopic", "--name", "walk")["TopicArn"])
    assert len(sns("ListTopics")["Topics"]) == 1
    with webhook() as hook:
        hook.confirms = False
        sns("Subscribe", *topic, "--protocol", "http", "--notification-endpoint", hook.url)
        token = hook.wait_for("SubscriptionConfirmation")[0]["Token"]
        arn = sns("ConfirmSubscription", *topic, "--token", token)["SubscriptionArn"]
        sns(
            "SetSubscriptionAttributes", "--subscription-arn", arn,
            "--attribute-name", "RawMessageDelivery", "--attribute-value", "false",
        )  # fmt: skip
        sns("Publish", *topic, "--message", "hello")
        assert hook.wait_for("Notification")[0]["Message"] == "hello"
    shown = sns("GetSubscriptionAttributes", "--subscription-arn", arn)["Attributes"]
    assert shown["PendingConfirmation"] == "false"
    assert sns("GetTopicAttributes", *topic)["Attributes"]["SubscriptionsConfirmed"] == "1"
    (one,) = sns("ListSubscriptions")["Subscriptions"]
    assert sns("ListSubscriptionsByTopic", *topic)["Subscriptions"] == [one]
    sns("Unsubscribe", "--subscription-arn", arn)
    sns("DeleteTopic", *topic)
    assert_all_were_called(cli, "sns")
