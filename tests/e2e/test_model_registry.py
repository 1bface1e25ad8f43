"""The model registry by boto3: versions are registered, approved, and deployed."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from intermodal import LocalSession, Model, ModelPackage, PipelineModel
from intermodal.model_monitor import DataCaptureConfig
from intermodal.pytorch import PyTorchModel
from tests.helpers.captures import data_of, wait_for_lines
from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import (
    BUCKET,
    ECHO,
    INFERENCE_IMAGE,
    ROLE,
    invoke,
    settled_endpoint,
    store_model,
    tar_gz,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

Clients = dict[str, Any]

APPENDS = """
from pathlib import Path

def model_fn(folder):
    return Path(folder, "weights.txt").read_text()

def transform_fn(weights, body, content_type, accept):
    text = body if isinstance(body, str) else bytes(body).decode()
    return f"{text} {weights}", "text/plain"
"""


def register(clients: Clients, group: str, weights: str) -> str:
    uri = store_model(clients["s3"], f"{group}-{weights}", weights=weights)
    container = {"Image": INFERENCE_IMAGE, "ModelDataUrl": uri}
    package_arn: str = clients["sagemaker"].create_model_package(
        ModelPackageGroupName=group,
        InferenceSpecification={
            "Containers": [container],
            "SupportedContentTypes": ["text/plain"],
            "SupportedResponseMIMETypes": ["text/plain"],
        },
    )["ModelPackageArn"]
    return package_arn


def create_model(clients: Clients, name: str, package: str) -> None:
    clients["sagemaker"].create_model(
        ModelName=name, PrimaryContainer={"ModelPackageName": package}, ExecutionRoleArn=ROLE
    )


def test_a_version_is_deployed_once_it_is_approved(engine: RunningEngine, clients: Clients) -> None:
    sagemaker = clients["sagemaker"]
    sagemaker.create_model_package_group(ModelPackageGroupName="texts")
    first, second = (register(clients, "texts", weights) for weights in ("one", "two"))
    assert second.endswith("model-package/texts/2")
    with pytest.raises(ClientError, match="PendingManualApproval and must be Approved"):
        create_model(clients, "texts", second)
    sagemaker.update_model_package(ModelPackageArn=second, ModelApprovalStatus="Approved")
    engine.kill()
    engine.start()
    (latest,) = sagemaker.list_model_packages(
        ModelPackageGroupName="texts", ModelApprovalStatus="Approved", MaxResults=1
    )["ModelPackageSummaryList"]
    assert latest["ModelPackageArn"] == second

    create_model(clients, "texts", second)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "texts",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName="texts", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="texts", EndpointConfigName="texts")
    assert settled_endpoint(sagemaker, "texts")["EndpointStatus"] == "InService"
    assert invoke(clients["sagemaker-runtime"], "texts", "hello") == "hello two"
    assert first != second


def test_a_package_without_versions_needs_no_approval(clients: Clients) -> None:
    sagemaker = clients["sagemaker"]
    types = ["ml.m5.large"]
    sagemaker.create_model_package(
        ModelPackageName="alone",
        InferenceSpecification={
            "Containers": [{"Image": INFERENCE_IMAGE}],
            "SupportedRealtimeInferenceInstanceTypes": types,
            "SupportedTransformInstanceTypes": types,
        },
    )
    create_model(clients, "alone", "alone")
    shown = sagemaker.describe_model(ModelName="alone")["PrimaryContainer"]
    assert shown == {"ModelPackageName": "alone"}


def test_our_sdk_registers_a_model_and_deploys_its_package(
    engine: RunningEngine, clients: Clients, tmp_path: Path
) -> None:
    session = LocalSession(engine.home, default_bucket=BUCKET)
    (tmp_path / "inference.py").write_text(ECHO)
    (tmp_path / "model.tar.gz").write_bytes(tar_gz({"weights.txt": "ours"}))
    model = PyTorchModel(
        str(tmp_path / "model.tar.gz"),
        ROLE,
        str(tmp_path / "inference.py"),
        framework_version="2.13.0",
        sagemaker_session=session,
    )
    package = model.register(
        ["text/plain"],
        ["text/plain"],
        ["ml.m5.large"],
        ["ml.m5.large"],
        model_package_group_name="ours",
        customer_metadata_properties={"accuracy": "0.9"},
    )
    shown = clients["sagemaker"].describe_model_package(ModelPackageName=package.model_package_arn)
    (container,) = shown["InferenceSpecification"]["Containers"]
    assert (container["Framework"], container["FrameworkVersion"]) == ("PYTORCH", "2.13.0")
    assert shown["CustomerMetadataProperties"] == {"accuracy": "0.9"}

    again = ModelPackage(
        ROLE, model_package_arn=package.model_package_arn, sagemaker_session=session
    )
    again.deploy(1, "ml.m5.large", endpoint_name="ours")
    assert invoke(clients["sagemaker-runtime"], "ours", "hello") == "hello ours"
    shown = clients["sagemaker"].describe_model_package(ModelPackageName=package.model_package_arn)
    assert shown["ModelApprovalStatus"] == "Approved"


def test_a_chain_of_models_is_one_package_and_is_captured_as_one(
    engine: RunningEngine, clients: Clients
) -> None:
    session = LocalSession(engine.home, default_bucket=BUCKET)
    uris = [store_model(clients["s3"], word, APPENDS, word) for word in ("first", "second")]
    models = [Model(INFERENCE_IMAGE, uri, ROLE, sagemaker_session=session) for uri in uris]
    package = PipelineModel(models, ROLE, sagemaker_session=session).register(
        ["text/plain"],
        ["text/plain"],
        ["ml.m5.large"],
        ["ml.m5.large"],
        model_package_group_name="chain",
        approval_status="Approved",
    )
    place = f"s3://{BUCKET}/chains"
    package.deploy(
        1,
        "ml.m5.large",
        endpoint_name="chain",
        data_capture_config=DataCaptureConfig(
            True, 100, place, csv_content_types=["text/plain"], sagemaker_session=session
        ),
    )
    assert invoke(clients["sagemaker-runtime"], "chain", "hello") == "hello first second"
    (line,) = wait_for_lines(clients["s3"], BUCKET, "chains/chain/", 1)
    assert (data_of(line, "Input"), data_of(line, "Output")) == ("hello", "hello first second")
