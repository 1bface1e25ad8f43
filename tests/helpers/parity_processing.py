"""What users of processing jobs write, as the vendor's SDK v2 was recorded running it."""

from collections.abc import Callable
from pathlib import Path

from intermodal import Session
from intermodal.huggingface import HuggingFaceProcessor
from intermodal.network import NetworkConfig
from intermodal.processing import (
    FrameworkProcessor,
    ProcessingInput,
    ProcessingOutput,
    Processor,
    ScriptProcessor,
)
from intermodal.pytorch import PyTorch, PyTorchProcessor
from intermodal.sklearn import SKLearnProcessor

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
IMAGE = "123456789012.dkr.ecr.us-west-2.amazonaws.com/my-processor:1.0"
FOLDER = "/opt/ml/processing"


def processor(session: Session, project: Path) -> None:
    whole = Processor(
        ROLE,
        IMAGE,
        2,
        "ml.m5.large",
        ["python3", "/run.py"],
        volume_size_in_gb=40,
        volume_kms_key="volume-key",
        output_kms_key="output-key",
        max_runtime_in_seconds=3600,
        base_job_name="prepare",
        sagemaker_session=session,
        env={"A": "1"},
        tags=[{"Key": "team", "Value": "ml"}],
        network_config=NetworkConfig(
            enable_network_isolation=True,
            security_group_ids=["sg-1"],
            subnets=["subnet-1"],
            encrypt_inter_container_traffic=True,
        ),
    )
    whole.run(
        inputs=[
            ProcessingInput("s3://mybucket/d", f"{FOLDER}/input/d"),
            ProcessingInput(
                source="s3://mybucket/manifest",
                destination=f"{FOLDER}/input/m",
                input_name="listed",
                s3_data_type="ManifestFile",
                s3_data_distribution_type="ShardedByS3Key",
            ),
        ],
        outputs=[
            ProcessingOutput(f"{FOLDER}/out"),
            ProcessingOutput(
                source=f"{FOLDER}/live",
                destination="s3://mybucket/live",
                output_name="live",
                s3_upload_mode="Continuous",
            ),
        ],
        arguments=["--share", "0.5"],
        experiment_config={"ExperimentName": "e", "TrialName": "t"},
        logs=False,
    )


def processor_plain(session: Session, project: Path) -> None:
    plain = Processor(ROLE, IMAGE, 1, "ml.m5.large", sagemaker_session=session)
    plain.run(logs=False)


def processor_local_data(session: Session, project: Path) -> None:
    folder = project / "data"
    folder.mkdir()
    (folder / "a.csv").write_text("1\n")
    whole = Processor(ROLE, IMAGE, 1, "ml.m5.large", sagemaker_session=session)
    whole.run(
        inputs=[ProcessingInput(str(folder), f"{FOLDER}/input/d", "d")],
        kms_key="key",
        job_name="named",
        logs=False,
    )


def script_processor(session: Session, project: Path) -> None:
    script = ScriptProcessor(ROLE, IMAGE, ["python3"], 1, "ml.m5.large", sagemaker_session=session)
    script.run(
        "process.py",
        inputs=[ProcessingInput("s3://mybucket/d", f"{FOLDER}/input/d")],
        outputs=[ProcessingOutput(f"{FOLDER}/out", output_name="rows")],
        arguments=["--share", "0.5"],
        logs=False,
    )


def script_processor_code_in_s3(session: Session, project: Path) -> None:
    script = ScriptProcessor(ROLE, IMAGE, ["python3"], 1, "ml.m5.large", sagemaker_session=session)
    script.run("s3://mybucket/code/run.py", logs=False)


def sklearn_processor(session: Session, project: Path) -> None:
    script = SKLearnProcessor("1.2-1", ROLE, 1, "ml.m5.large", sagemaker_session=session)
    script.run("process.py", logs=False)


def framework_processor(session: Session, project: Path) -> None:
    source = project / "src"
    source.mkdir()
    for name in ("process.py", "requirements.txt"):
        (source / name).write_text((project / name).read_text())
    whole = FrameworkProcessor(
        PyTorch,
        "2.2.0",
        ROLE,
        1,
        "ml.m5.large",
        py_version="py310",
        sagemaker_session=session,
    )
    whole.run(
        "process.py",
        source_dir=str(source),
        dependencies=[str(project / "deps" / "lib")],
        inputs=[ProcessingInput("s3://mybucket/d", f"{FOLDER}/input/d")],
        outputs=[ProcessingOutput(f"{FOLDER}/out")],
        arguments=["--share", "0.5"],
        logs=False,
    )


def pytorch_processor(session: Session, project: Path) -> None:
    whole = PyTorchProcessor(
        framework_version="2.2.0",
        role=ROLE,
        instance_count=1,
        instance_type="ml.g4dn.xlarge",
        py_version="py310",
        command=["python3", "-v"],
        code_location="s3://mybucket/mycode",
        output_kms_key="output-key",
        base_job_name="mine",
        sagemaker_session=session,
    )
    whole.run("process.py", kms_key="key", logs=False)


def huggingface_processor(session: Session, project: Path) -> None:
    whole = HuggingFaceProcessor(
        ROLE,
        1,
        "ml.g4dn.xlarge",
        transformers_version="4.36.0",
        pytorch_version="2.1.0",
        py_version="py310",
        sagemaker_session=session,
    )
    whole.run("process.py", logs=False)


PROGRAMS: list[Callable[[Session, Path], None]] = [
    processor,
    processor_plain,
    processor_local_data,
    script_processor,
    script_processor_code_in_s3,
    sklearn_processor,
    framework_processor,
    pytorch_processor,
    huggingface_processor,
]
