"""Models go into the registry and come out of it; what the vendor sends is compared elsewhere."""

from pathlib import Path
from typing import Any

import pytest

import intermodal
from intermodal import Session
from intermodal.errors import InvalidArgumentsError
from intermodal.estimator import Estimator
from intermodal.huggingface import HuggingFaceModel
from intermodal.model import Model, ModelPackage
from intermodal.model_metrics import MetricsSource, ModelMetrics
from intermodal.pipeline import PipelineModel
from intermodal.pytorch import PyTorchModel
from intermodal.sklearn import SKLearnModel
from tests.helpers.fake_aws import ROLE_ARN, FakeAws, tar_gz

IMAGE = "123456789012.dkr.ecr.us-west-2.amazonaws.com/my-serve:1.0"
DATA = "s3://mybucket/model/model.tar.gz"
VERSION = "arn:aws:sagemaker:us-west-2:123456789012:model-package/digits/1"


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    monkeypatch.chdir(tmp_path)
    Path("inference.py").write_text("x = 1\n")
    aws = FakeAws()
    aws.objects["mybucket", "model/model.tar.gz"] = tar_gz({"m": b"m"})
    return aws


@pytest.fixture
def session(aws: FakeAws) -> Session:
    return Session(aws.boto_session(), default_bucket="mybucket")


def containers(aws: FakeAws) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = aws.params("CreateModelPackage")["InferenceSpecification"][
        "Containers"
    ]
    return found


def test_a_model_becomes_a_package_that_is_deployed(aws: FakeAws, session: Session) -> None:
    model = Model(IMAGE, DATA, ROLE_ARN, sagemaker_session=session)
    package = model.register(["text/csv"], ["text/csv"], model_package_group_name="digits")
    assert isinstance(package, intermodal.ModelPackage)
    assert package.model_package_arn == VERSION
    package.deploy(1, "ml.m5.large")
    assert aws.approval == "Approved"
    assert aws.params("CreateModel")["Containers"] == [{"ModelPackageName": VERSION}]
    assert aws.params("CreateModel")["ModelName"].startswith("digits-")


def test_a_group_that_is_there_is_not_made_again(aws: FakeAws, session: Session) -> None:
    model = Model(IMAGE, DATA, ROLE_ARN, sagemaker_session=session)
    for _ in range(2):
        model.register(model_package_group_name="digits")
    assert aws.groups == ["digits"]


def test_without_a_name_the_group_is_named_after_the_image(aws: FakeAws, session: Session) -> None:
    Model(IMAGE, DATA, ROLE_ARN, sagemaker_session=session).register()
    assert aws.params("CreateModelPackage")["ModelPackageGroupName"] == "my-serve"


def test_a_version_that_is_approved_is_not_approved_again(aws: FakeAws, session: Session) -> None:
    aws.approval = "Approved"
    ModelPackage(ROLE_ARN, model_package_arn=VERSION, sagemaker_session=session).create()
    assert "sagemaker.UpdateModelPackage" not in aws.operations()


def test_a_package_transforms(aws: FakeAws, session: Session) -> None:
    package = ModelPackage(ROLE_ARN, model_package_arn=VERSION, sagemaker_session=session)
    transformer = package.transformer(1, "ml.m5.large")
    transformer.transform("s3://mybucket/rows", logs=False)
    assert aws.params("CreateTransformJob")["TransformJobName"].startswith("digits-")


@pytest.mark.parametrize(
    ("model", "framework", "version"),
    [
        (
            lambda session: PyTorchModel(
                DATA, ROLE_ARN, "inference.py", framework_version="2.2.0", py_version="py310",
                sagemaker_session=session,
            ),
            "PYTORCH",
            "2.2.0",
        ),
        (
            lambda session: SKLearnModel(
                DATA, ROLE_ARN, "inference.py", framework_version="1.2-1", py_version="py3",
                sagemaker_session=session,
            ),
            "SKLEARN",
            None,
        ),
        (
            lambda session: HuggingFaceModel(
                ROLE_ARN, DATA, transformers_version="4.37.0", pytorch_version="2.1.0",
                py_version="py310", sagemaker_session=session,
            ),
            "PYTORCH",
            "2.1.0",
        ),
    ],
)  # fmt: skip
def test_a_frameworks_model_says_its_framework_and_brings_its_code(
    aws: FakeAws, session: Session, model: Any, framework: str, version: str | None
) -> None:
    model(session).register(inference_instances=["ml.m5.large"], model_package_group_name="g")
    (container,) = containers(aws)
    assert container["Framework"] == framework
    assert container.get("FrameworkVersion") == version
    assert "dkr.ecr" in container["Image"]
    if framework == "PYTORCH" and version == "2.2.0":
        assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
        assert container["ModelDataUrl"] != DATA  # the code is in it now


def test_what_an_estimator_trained_is_registered(aws: FakeAws, session: Session) -> None:
    estimator = Estimator(IMAGE, ROLE_ARN, 1, "ml.m5.large", sagemaker_session=session)
    estimator.fit("s3://mybucket/d", logs=False)
    package = estimator.register(
        ["text/csv"],
        ["text/csv"],
        model_package_group_name="digits",
        model_metrics=ModelMetrics(MetricsSource("application/json", "s3://mybucket/m")),
        domain="OTHER",
        approval_status="Approved",
        env={"A": "1"},
    )
    request = aws.params("CreateModelPackage")
    assert request["Domain"] == "OTHER"
    assert request["ModelApprovalStatus"] == "Approved"
    assert request["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"] == "s3://mybucket/m"
    (container,) = containers(aws)
    assert container["ModelDataUrl"] == estimator.model_data
    assert container["Environment"] == {"A": "1"}
    assert package.role == ROLE_ARN
    with pytest.raises(ValueError, match="compile_model_family"):
        estimator.register(compile_model_family="ml_c5")


def test_what_aws_would_refuse_is_told_before_anything_is_sent(
    aws: FakeAws, session: Session
) -> None:
    model = Model(IMAGE, DATA, ROLE_ARN, sagemaker_session=session)
    with pytest.raises(InvalidArgumentsError, match="exclude each other") as caught:
        model.register(model_package_name="a", model_package_group_name="b")
    assert "`transform_instances`: is missing" in str(caught.value)
    with pytest.raises(InvalidArgumentsError, match="JumpStart"):
        model.register(model_type="x")
    with pytest.raises(TypeError, match="did you mean `domain`"):
        model.register(domains="x")
    with pytest.raises(InvalidArgumentsError, match="which serving image"):
        Model(None, DATA, ROLE_ARN, sagemaker_session=session).register()
    kinds = (["ml.m5.large"], ["ml.m5.large"])
    local = Model(IMAGE, {"S3DataSource": {}}, ROLE_ARN, sagemaker_session=session)
    with pytest.raises(InvalidArgumentsError, match="lies in S3"):
        local.register(None, None, *kinds, "alone")
    empty = Model(IMAGE, None, ROLE_ARN, sagemaker_session=session)
    with pytest.raises(InvalidArgumentsError, match="has no `model_data`"):
        PipelineModel([empty], ROLE_ARN, sagemaker_session=session).register()
    for options in ({}, {"algorithm_arn": "a"}):
        with pytest.raises(InvalidArgumentsError, match=r"model_package_arn|algorithm_arn"):
            ModelPackage(ROLE_ARN, sagemaker_session=session, **options)
    assert not [one for one in aws.operations() if "Create" in one]


def test_a_specification_is_given_once(session: Session) -> None:
    package = ModelPackage(ROLE_ARN, model_package_arn=VERSION, sagemaker_session=session)
    with pytest.raises(ValueError, match="either"):
        package.update_inference_specification()
