"""Jobs with a defaults file, as the vendor's SDK v2 was recorded running them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from intermodal import Session
from intermodal.estimator import Estimator
from intermodal.network import NetworkConfig
from intermodal.processing import (
    FrameworkProcessor,
    ProcessingInput,
    ProcessingOutput,
    Processor,
    ScriptProcessor,
)
from intermodal.pytorch import PyTorch
from intermodal.transformer import Transformer
from intermodal.tuner import HyperparameterTuner, IntegerParameter

IMAGE = "123456789012.dkr.ecr.us-west-2.amazonaws.com/my-image:1.0"
OWN_ROLE = "arn:aws:iam::123456789012:role/Own"
CONFIG: dict[str, Any] = {
    "SchemaVersion": "1.0",
    "SageMaker": {
        "PythonSDK": {
            "Modules": {
                "Session": {"DefaultS3Bucket": "mybucket", "DefaultS3ObjectKeyPrefix": "team/x"}
            }
        },
        "TrainingJob": {
            "RoleArn": "arn:aws:iam::123456789012:role/Training",
            "OutputDataConfig": {"KmsKeyId": "training-output-key"},
            "ResourceConfig": {"VolumeKmsKeyId": "training-volume-key"},
            "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
            "EnableInterContainerTrafficEncryption": True,
            "EnableNetworkIsolation": True,
            "Environment": {"FROM": "training"},
            "Tags": [{"Key": "kind", "Value": "training"}],
        },
        "Model": {"ExecutionRoleArn": "arn:aws:iam::123456789012:role/Model"},
        "ProcessingJob": {
            "RoleArn": "arn:aws:iam::123456789012:role/Processing",
            "NetworkConfig": {
                "EnableNetworkIsolation": True,
                "EnableInterContainerTrafficEncryption": True,
                "VpcConfig": {"Subnets": ["subnet-2"], "SecurityGroupIds": ["sg-2"]},
            },
            "ProcessingInputs": [
                {"DatasetDefinition": {"AthenaDatasetDefinition": {"KmsKeyId": "athena-key"}}}
            ],
            "ProcessingOutputConfig": {"KmsKeyId": "processing-output-key"},
            "ProcessingResources": {"ClusterConfig": {"VolumeKmsKeyId": "processing-volume-key"}},
            "Environment": {"FROM": "processing"},
            "Tags": [{"Key": "a", "Value": "default"}, {"Key": "kind", "Value": "processing"}],
        },
        "TransformJob": {
            "DataCaptureConfig": {"KmsKeyId": "capture-key"},
            "TransformOutput": {"KmsKeyId": "transform-output-key"},
            "TransformResources": {"VolumeKmsKeyId": "transform-volume-key"},
            "Environment": {"FROM": "transform"},
            "Tags": [{"Key": "a", "Value": "default"}, {"Key": "kind", "Value": "transform"}],
        },
    },
}


def processor_with_defaults(session: Session, project: Path) -> None:
    session = Session(session.boto_session, sagemaker_config=CONFIG)
    data = [ProcessingInput("s3://mybucket/d", "/opt/ml/processing/input/d")]
    plain = Processor(
        image_uri=IMAGE, instance_count=1, instance_type="ml.m5.large", sagemaker_session=session
    )
    plain.run(data, [ProcessingOutput("/opt/ml/processing/out")], logs=False)
    script = ScriptProcessor(
        image_uri=IMAGE,
        command=["python3"],
        instance_count=1,
        instance_type="ml.m5.large",
        role=OWN_ROLE,
        volume_kms_key="own-volume-key",
        output_kms_key="own-output-key",
        env={"OWN": "1"},
        tags=[{"Key": "a", "Value": "own"}],
        network_config=NetworkConfig(enable_network_isolation=False, subnets=["subnet-own"]),
        sagemaker_session=session,
    )
    script.run("process.py", data, [ProcessingOutput("/opt/ml/processing/out")], logs=False)
    framework = FrameworkProcessor(
        PyTorch,
        "2.2.0",
        instance_count=1,
        instance_type="ml.m5.large",
        py_version="py310",
        sagemaker_session=session,
    )
    outputs = [ProcessingOutput("/opt/ml/processing/out")]
    framework.run("process.py", outputs=outputs, logs=False)


def transformer_with_defaults(session: Session, project: Path) -> None:
    session = Session(session.boto_session, sagemaker_config=CONFIG)
    estimator = Estimator(
        IMAGE, instance_count=1, instance_type="ml.m5.large", sagemaker_session=session
    )
    estimator.fit("s3://mybucket/d", job_name="trained", logs=False)
    estimator.transformer(1, "ml.m5.large").transform("s3://mybucket/d", logs=False)
    own = Transformer(
        "trained",
        1,
        "ml.m5.large",
        output_path="s3://mybucket/out",
        output_kms_key="own-output-key",
        volume_kms_key="own-volume-key",
        env={"OWN": "1"},
        tags=[{"Key": "a", "Value": "own"}],
        base_transform_job_name="own",
        sagemaker_session=session,
    )
    own.transform("s3://mybucket/d", logs=False)


def tuner_with_defaults(session: Session, project: Path) -> None:
    session = Session(session.boto_session, sagemaker_config=CONFIG)
    estimator = PyTorch(
        "train.py",
        framework_version="2.2.0",
        py_version="py310",
        instance_count=1,
        instance_type="ml.m5.large",
        sagemaker_session=session,
    )
    search = HyperparameterTuner(
        estimator,
        "loss",
        {"layers": IntegerParameter(1, 4)},
        [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        tags=[{"Key": "k", "Value": "v"}],
    )
    search.fit("s3://mybucket/d")


PROGRAMS: list[Callable[[Session, Path], None]] = [
    processor_with_defaults,
    transformer_with_defaults,
    tuner_with_defaults,
]
