"""What users of the model registry write, as the vendor's SDK v2 was recorded running it."""

from collections.abc import Mapping
from pathlib import Path

from intermodal import Session
from intermodal.drift_check_baselines import DriftCheckBaselines
from intermodal.metadata_properties import MetadataProperties
from intermodal.model import Model, ModelPackage
from intermodal.model_life_cycle import ModelLifeCycle
from intermodal.model_metrics import FileSource, MetricsSource, ModelMetrics
from intermodal.pipeline import PipelineModel

ROLE_ARN = "arn:aws:iam::123456789012:role/SageMakerRole"
IMAGE = "123456789012.dkr.ecr.us-west-2.amazonaws.com/my-serve:1.0"
DATA = "s3://mybucket/model/model.tar.gz"
TAGS = [{"Key": "a", "Value": "b"}]
VPC = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}


def model(session: Session, name: str | None = None, env: Mapping[str, str] | None = None) -> Model:
    return Model(IMAGE, DATA, ROLE_ARN, env=env, name=name, sagemaker_session=session)


def source(name: str) -> MetricsSource:
    return MetricsSource("application/json", f"s3://mybucket/{name}", "digest")


def register_model(session: Session, project: Path) -> None:
    model(session, env={"A": "1"}, name="m").register(
        ["text/csv"],
        ["application/json"],
        ["ml.m5.large", "ml.m5.xlarge"],
        ["ml.m5.large"],
        model_package_group_name="group",
        model_metrics=ModelMetrics(
            source("s"),
            source("c"),
            source("ds"),
            source("dc"),
            source("b"),
            source("e"),
            source("pre"),
            source("post"),
        ),
        metadata_properties=MetadataProperties("commit", "repository", "maker", "project"),
        approval_status="Approved",
        description="what it does",
        drift_check_baselines=DriftCheckBaselines(
            model_statistics=source("s"),
            bias_config_file=FileSource("s3://mybucket/f", "digest", "application/json"),
            explainability_constraints=source("x"),
        ),
        customer_metadata_properties={"accuracy": "0.9"},
        domain="MACHINE_LEARNING",
        task="CLASSIFICATION",
        sample_payload_url="s3://mybucket/payload.tar.gz",
        framework="PYTORCH",
        framework_version="2.2",
        nearest_model_name="resnet50",
        data_input_configuration='{"input": [1]}',
        skip_model_validation="All",
        source_uri="s3://mybucket/source",
        model_life_cycle=ModelLifeCycle("Staging", "InProgress", "soon"),
        model_package_registration_type="Registered",
    )


def register_model_min(session: Session, project: Path) -> None:
    model(session, name="m").register(model_metrics=ModelMetrics(source("s")))


def register_without_versions(session: Session, project: Path) -> None:
    model(session, env={"A": "1"}).register(
        ["text/csv"], ["text/csv"], ["ml.m5.large"], ["ml.m5.large"], "alone"
    )


def register_pipeline(session: Session, project: Path) -> None:
    models = [model(session, env={"A": "1"}, name="one"), model(session, name="two")]
    pipeline = PipelineModel(models, ROLE_ARN, sagemaker_session=session)
    pipeline.register(
        ["text/csv"],
        ["text/csv"],
        ["ml.m5.large"],
        ["ml.m5.large"],
        model_package_group_name="group",
        framework="SKLEARN",
    )
    pipeline.register(["text/csv"], ["text/csv"], ["ml.m5.large"], ["ml.m5.large"], "alone")


def model_package(session: Session, project: Path) -> None:
    arn = "arn:aws:sagemaker:us-west-2:123456789012:model-package/group/1"
    package = ModelPackage(
        ROLE_ARN, model_package_arn=arn, env={"A": "1"}, vpc_config=VPC, sagemaker_session=session
    )
    package.deploy(2, "ml.m5.large", endpoint_name="ends", tags=TAGS)
    package.update_approval_status("Rejected", "too old")
    package.update_customer_metadata({"a": "1"})
    package.remove_customer_metadata_properties(["a"])
    package.update_source_uri("s3://mybucket/source")
    package.update_model_life_cycle({"Stage": "Staging", "StageStatus": "InProgress"})
    package.update_inference_specification(image_uris=[IMAGE], content_types=["text/csv"])
    package.add_inference_specification(
        "gpu", containers=[{"Image": IMAGE}], description="d", inference_instances=["ml.g5.xlarge"]
    )
    alone = ModelPackage(ROLE_ARN, model_package_arn="alone", name="m", sagemaker_session=session)
    alone.deploy(1, "ml.m5.large", endpoint_name="two")


PROGRAMS = [
    register_model,
    register_model_min,
    register_without_versions,
    register_pipeline,
    model_package,
]
