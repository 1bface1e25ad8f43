"""What users of batch transform write, as the vendor's SDK v2 was recorded running it."""

from collections.abc import Callable
from pathlib import Path

from intermodal import Session
from intermodal.estimator import Estimator
from intermodal.model import Model
from intermodal.pytorch import PyTorch, PyTorchModel
from intermodal.transformer import Transformer

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
IMAGE = "123456789012.dkr.ecr.us-west-2.amazonaws.com/my-model:1.0"
MODEL = "s3://mybucket/model/model.tar.gz"


def transformer(session: Session, project: Path) -> None:
    source = project / "src"
    source.mkdir()
    for name in ("inference.py", "process.py", "run.sh", "train.py"):
        (source / name).write_text("x = 1\n")
    model = PyTorchModel(
        model_data=MODEL,
        role=ROLE,
        entry_point="inference.py",
        source_dir=str(source),
        framework_version="2.2",
        py_version="py310",
        sagemaker_session=session,
    )
    made = model.transformer(
        1,
        "ml.m5.large",
        strategy="MultiRecord",
        assemble_with="Line",
        output_path="s3://mybucket/tout",
        accept="text/csv",
        max_concurrent_transforms=2,
        max_payload=6,
    )
    made.transform(
        "s3://mybucket/data/train",
        content_type="text/csv",
        split_type="Line",
        input_filter="$[1:]",
        output_filter="$",
        join_source="Input",
    )


def transformer_of_a_plain_model(session: Session, project: Path) -> None:
    model = Model(IMAGE, MODEL, ROLE, env={"A": "1"}, sagemaker_session=session)
    made = model.transformer(
        2, "ml.m5.large", env={"B": "2"}, tags=[{"Key": "k", "Value": "v"}], volume_kms_key="key"
    )
    made.transform("s3://mybucket/d", logs=False)


def transformer_alone(session: Session, project: Path) -> None:
    session.sagemaker_client.create_model(
        ModelName="there-already",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": MODEL},
    )
    made = Transformer(
        "there-already",
        1,
        "ml.m5.large",
        output_kms_key="output-key",
        env={"A": "1"},
        sagemaker_session=session,
    )
    made.transform(
        "s3://mybucket/manifest",
        data_type="ManifestFile",
        compression_type="Gzip",
        model_client_config={"InvocationsTimeoutInSeconds": 60, "InvocationsMaxRetries": 1},
        experiment_config={"ExperimentName": "e"},
        logs=False,
    )


def transformer_of_an_estimator(session: Session, project: Path) -> None:
    estimator = Estimator(
        IMAGE, ROLE, 1, "ml.m5.large", tags=[{"Key": "k", "Value": "v"}], sagemaker_session=session
    )
    estimator.fit("s3://mybucket/d", logs=False)
    made = estimator.transformer(1, "ml.m5.large", output_path="s3://mybucket/tout")
    made.transform("s3://mybucket/d", job_name="named", logs=False)


def transformer_of_pytorch(session: Session, project: Path) -> None:
    estimator = PyTorch(
        "train.py",
        role=ROLE,
        framework_version="2.2.0",
        py_version="py310",
        instance_count=1,
        instance_type="ml.m5.large",
        base_job_name="mine",
        sagemaker_session=session,
    )
    estimator.fit("s3://mybucket/d", logs=False)
    made = estimator.transformer(1, "ml.m5.large", env={"B": "2"}, model_server_workers=2)
    made.transform("s3://mybucket/d", content_type="text/csv", logs=False)


PROGRAMS: list[Callable[[Session, Path], None]] = [
    transformer,
    transformer_of_a_plain_model,
    transformer_alone,
    transformer_of_an_estimator,
    transformer_of_pytorch,
]
