"""The recorded requests of the vendor's SDK v2, replayed: what creates something is the same."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intermodal import Session
from intermodal.estimator import Estimator
from intermodal.inputs import ShuffleConfig, TrainingInput
from intermodal.model import Model
from intermodal.mxnet import MXNet, MXNetModel
from intermodal.pytorch import PyTorch
from intermodal.serverless import ServerlessInferenceConfig
from tests.helpers import (
    parity_defaults,
    parity_frameworks,
    parity_processing,
    parity_registry,
    parity_transform,
    parity_tuning,
)
from tests.helpers.fake_aws import ROLE_ARN, FakeAws, tar_gz
from tests.helpers.parity_report import CHANGING, NEVER_SENT, OF_TRANSPORT, PAGE, page

CASES = Path(__file__).parent / "parity"
OWN_IMAGE = "123456789012.dkr.ecr.us-west-2.amazonaws.com/my-train:1.0"
# Listed in docs/reference/vendor-differences.md.
# boto3 sends a checksum whether or not one is asked for.
WITHOUT_A_DEFAULT_BUCKET = ("tensorflow", "huggingface_hub_model")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("train.py", "inference.py", "process.py", "deps/lib/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    (tmp_path / "requirements.txt").write_text("numpy\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def deck(session: Session, project: Path) -> None:
    source = project / "deck"
    source.mkdir()
    for name in ("train.py", "inference.py", "process.py"):
        (source / name).write_text("x = 1\n")
    estimator = MXNet(
        "train.py",
        role=ROLE_ARN,
        instance_count=1,
        instance_type="ml.p3.2xlarge",
        framework_version="1.4.1",
        py_version="py3",
        source_dir=str(source),
        sagemaker_session=session,
    )
    estimator.fit("s3://mybucket/data/train")
    estimator.deploy(initial_instance_count=2, instance_type="ml.m5.xlarge")


def deck_v1_names(session: Session, project: Path) -> None:
    with pytest.warns(DeprecationWarning, match="write `instance_"):
        estimator = MXNet(
            "train.py",
            role=ROLE_ARN,
            train_instance_count=1,
            train_instance_type="ml.p3.2xlarge",
            framework_version="1.4.1",
            sagemaker_session=session,
        )
    estimator.fit("s3://mybucket/data/train")


def mxnet_mpi(session: Session, project: Path) -> None:
    estimator = MXNet(
        "train.py",
        role=ROLE_ARN,
        instance_count=2,
        instance_type="ml.p3.2xlarge",
        framework_version="1.9.0",
        distribution={"mpi": {"enabled": True}},
        sagemaker_session=session,
    )
    estimator.fit("s3://mybucket/d", logs=False)


def mxnet_model(session: Session, project: Path) -> None:
    model = MXNetModel(
        model_data="s3://mybucket/model/model.tar.gz",
        role=ROLE_ARN,
        entry_point="inference.py",
        framework_version="1.4.1",
        name="mymodel",
        sagemaker_session=session,
    )
    model.deploy(1, "ml.m5.xlarge", endpoint_name="ee")


def generic_min(session: Session, project: Path) -> None:
    estimator = Estimator(OWN_IMAGE, "SageMakerRole", 1, "ml.m5.large", sagemaker_session=session)
    estimator.fit("s3://mybucket/data/train")
    estimator.deploy(1, "ml.m5.large")


def pytorch_torchrun(session: Session, project: Path) -> None:
    source = project / "src"
    source.mkdir()
    for name in ("train.py", "requirements.txt"):
        (source / name).write_text((project / name).read_text())
    estimator = PyTorch(
        "train.py",
        role=ROLE_ARN,
        framework_version="2.2.0",
        py_version="py310",
        source_dir=str(source),
        dependencies=[str(project / "deps" / "lib")],
        instance_count=2,
        instance_type="ml.p4d.24xlarge",
        distribution={"torch_distributed": {"enabled": True}},
        hyperparameters={
            "epochs": 3,
            "lr": 0.1,
            "name": "abc",
            "flag": True,
            "lst": [1, 2],
            "d": {"a": 1},
            "none": None,
        },
        sagemaker_session=session,
    )
    estimator.fit(
        {
            "train": "s3://mybucket/data/train",
            "test": TrainingInput(
                "s3://mybucket/data/train",
                distribution="ShardedByS3Key",
                content_type="text/csv",
                input_mode="FastFile",
                shuffle_config=ShuffleConfig(7),
            ),
        }
    )
    estimator.deploy(1, "ml.m5.xlarge")


def model_serverless(session: Session, project: Path) -> None:
    model = Model(
        OWN_IMAGE, "s3://mybucket/model/model.tar.gz", ROLE_ARN, sagemaker_session=session
    )
    model.deploy(
        serverless_inference_config=ServerlessInferenceConfig(4096, 10), endpoint_name="my-sls"
    )


def default_bucket(session: Session, project: Path) -> None:
    assert session.default_bucket() == session.default_bucket()


def upload_data(session: Session, project: Path) -> None:
    folder = project / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.csv").write_text("1\n")
    (folder / "sub" / "b.csv").write_text("2\n")
    assert session.upload_data(str(folder), key_prefix="data").endswith("/data")
    assert session.upload_data(str(folder / "a.csv"), key_prefix="x/y").endswith("/x/y/a.csv")
    assert session.upload_data(str(folder), "mybucket", "p") == "s3://mybucket/p"


PROGRAMS: list[Callable[[Session, Path], None]] = [
    deck,
    deck_v1_names,
    mxnet_mpi,
    mxnet_model,
    generic_min,
    pytorch_torchrun,
    model_serverless,
    default_bucket,
    upload_data,
    *parity_defaults.PROGRAMS,
    *parity_frameworks.PROGRAMS,
    *parity_processing.PROGRAMS,
    *parity_registry.PROGRAMS,
    *parity_transform.PROGRAMS,
    *parity_tuning.PROGRAMS,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_what_creates_something_is_what_the_vendor_sends(
    program: Callable[[Session, Path], None], project: Path
) -> None:
    recorded = json.loads((CASES / f"{program.__name__}.json").read_text())
    aws = FakeAws()
    aws.objects["mybucket", "model/model.tar.gz"] = tar_gz({"model.params": b"m"})

    program(Session(aws.boto_session()), project)

    ours = [(call.operation, _normalised(call.params)) for call in aws.calls]
    theirs = [(call["operation"], _normalised(call["params"])) for call in recorded["calls"]]
    if program.__name__ in WITHOUT_A_DEFAULT_BUCKET:
        theirs = [call for call in theirs if call[0] != "CreateBucket"]
    assert _creating(ours) == _creating(theirs)
    archives = [sorted(aws.archive(*place)) for place in _archives(aws, recorded)]
    assert archives == recorded["archives"]


def test_the_report_is_that_of_the_recorded_cases() -> None:
    stale = "`python -m tests.helpers.parity_report` writes it anew"
    assert PAGE.read_text() == page(), stale


def test_every_recorded_case_is_replayed() -> None:
    assert {path.stem for path in CASES.glob("*.json")} == {
        program.__name__ for program in PROGRAMS
    }


def test_the_reference_program_needs_at_most_ten_calls_besides_polling(project: Path) -> None:
    aws = FakeAws()

    deck(Session(aws.boto_session()), project)

    polls = ("DescribeTrainingJob", "DescribeEndpoint", "DescribeLogStreams", "GetLogEvents")
    calls = [call.operation for call in aws.calls if call.operation not in polls]
    assert len(calls) <= 10, calls


def _creating(calls: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """What changes something, in order; uploads in parallel have none."""
    changing = [call for call in calls if call[0].startswith(CHANGING)]
    return sorted(changing, key=lambda call: (call[0], call[1].get("Key", "")))


def _archives(aws: FakeAws, recorded: dict[str, Any]) -> list[tuple[str, str]]:
    uploads = [
        (call.params["Bucket"], call.params["Key"])
        for call in aws.calls
        if call.operation == "PutObject" and call.params["Key"].endswith(".tar.gz")
    ]
    assert len(uploads) == len(recorded["archives"])
    return uploads


def _normalised(params: dict[str, Any]) -> dict[str, Any]:
    kept = {
        name: value for name, value in params.items() if name not in (*NEVER_SENT, *OF_TRANSPORT)
    }
    text = re.sub(r"\d{4}(-\d{2}){5}-\d{3}|\d{6}-\d{4}(\d{2})?", "<TS>", json.dumps(kept))
    # A tuning job remembers the estimator's class, and each SDK has its own.
    text = re.sub(r"sagemaker(\.\w+\.estimator)", r"intermodal\1", text)
    return dict(json.loads(text))
