"""What users of the other frameworks write, as the vendor's SDK v2 was recorded running it."""

from collections.abc import Callable
from pathlib import Path

from intermodal import Session
from intermodal.huggingface import HuggingFace, HuggingFaceModel
from intermodal.sklearn import SKLearn, SKLearnModel
from intermodal.tensorflow import TensorFlow, TensorFlowModel
from intermodal.xgboost import XGBoost, XGBoostModel

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
MODEL = "s3://mybucket/model/model.tar.gz"


def sklearn(session: Session, project: Path) -> None:
    estimator = SKLearn(
        "train.py",
        role=ROLE,
        framework_version="1.2-1",
        instance_type="ml.m5.large",
        hyperparameters={"trees": 10},
        sagemaker_session=session,
    )
    estimator.fit("s3://mybucket/d", logs=False)
    estimator.deploy(1, "ml.m5.large")


def sklearn_model(session: Session, project: Path) -> None:
    model = SKLearnModel(
        MODEL,
        ROLE,
        "inference.py",
        framework_version="1.2-1",
        name="mymodel",
        model_server_workers=2,
        sagemaker_session=session,
    )
    model.deploy(1, "ml.m5.large", endpoint_name="ee")


def sklearn_isolated_model(session: Session, project: Path) -> None:
    model = SKLearnModel(
        MODEL,
        ROLE,
        "inference.py",
        framework_version="1.0-1",
        name="mymodel",
        enable_network_isolation=True,
        sagemaker_session=session,
    )
    model.deploy(1, "ml.m5.large", endpoint_name="ee")


def xgboost(session: Session, project: Path) -> None:
    estimator = XGBoost(
        "train.py",
        "1.7-1",
        role=ROLE,
        instance_count=2,
        instance_type="ml.m5.large",
        hyperparameters={"max_depth": 5},
        sagemaker_session=session,
    )
    estimator.fit({"train": "s3://mybucket/d", "validation": "s3://mybucket/v"}, logs=False)
    estimator.deploy(1, "ml.m5.large")


def xgboost_model(session: Session, project: Path) -> None:
    model = XGBoostModel(
        MODEL, ROLE, "inference.py", "1.0-1", name="mymodel", sagemaker_session=session
    )
    model.deploy(1, "ml.m5.large", endpoint_name="ee")


def tensorflow(session: Session, project: Path) -> None:
    estimator = TensorFlow(
        entry_point="train.py",
        role=ROLE,
        framework_version="2.12.0",
        py_version="py310",
        instance_count=2,
        instance_type="ml.p3.2xlarge",
        distribution={"parameter_server": {"enabled": True}},
        output_path="s3://mybucket/out/",
        sagemaker_session=session,
    )
    estimator.fit("s3://mybucket/d", logs=False)
    estimator.deploy(1, "ml.m5.large")


def tensorflow_mpi(session: Session, project: Path) -> None:
    estimator = TensorFlow(
        entry_point="train.py",
        role=ROLE,
        framework_version="2.11",
        py_version="py39",
        instance_count=2,
        instance_type="ml.p3.16xlarge",
        distribution={"mpi": {"enabled": True, "processes_per_host": 8}},
        sagemaker_session=session,
    )
    estimator.fit("s3://mybucket/d", logs=False)


def tensorflow_model(session: Session, project: Path) -> None:
    model = TensorFlowModel(
        MODEL,
        ROLE,
        "inference.py",
        framework_version="2.16.1",
        name="mymodel",
        sagemaker_session=session,
    )
    model.deploy(1, "ml.m5.large", endpoint_name="ee")


def huggingface(session: Session, project: Path) -> None:
    estimator = HuggingFace(
        "py310",
        "train.py",
        transformers_version="4.36.0",
        pytorch_version="2.1.0",
        role=ROLE,
        instance_count=1,
        instance_type="ml.p3.2xlarge",
        hyperparameters={"model_name": "distilbert-base-uncased", "epochs": 1},
        distribution={"torch_distributed": {"enabled": True}},
        image_uri=None,
        sagemaker_session=session,
    )
    estimator.fit("s3://mybucket/d", logs=False)


def huggingface_hub_model(session: Session, project: Path) -> None:
    model = HuggingFaceModel(
        ROLE,
        transformers_version="4.37",
        pytorch_version="2.1",
        py_version="py310",
        env={"HF_MODEL_ID": "distilbert-base-uncased", "HF_TASK": "text-classification"},
        name="mymodel",
        sagemaker_session=session,
    )
    model.deploy(1, "ml.g4dn.xlarge", endpoint_name="ee")


def huggingface_own_code_model(session: Session, project: Path) -> None:
    model = HuggingFaceModel(
        ROLE,
        MODEL,
        "inference.py",
        transformers_version="4.26.0",
        tensorflow_version="2.11.0",
        py_version="py39",
        name="mymodel",
        sagemaker_session=session,
    )
    model.deploy(1, "ml.m5.large", endpoint_name="ee")


PROGRAMS: list[Callable[[Session, Path], None]] = [
    sklearn,
    sklearn_model,
    sklearn_isolated_model,
    xgboost,
    xgboost_model,
    tensorflow,
    tensorflow_mpi,
    tensorflow_model,
    huggingface,
    huggingface_hub_model,
    huggingface_own_code_model,
]
