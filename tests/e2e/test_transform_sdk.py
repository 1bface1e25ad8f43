"""Our SDK's transformers against a running engine: folders go in, predictions come out."""

import json
from pathlib import Path
from typing import Any

import pytest

from intermodal import LocalSession
from intermodal.errors import JobFailedError
from intermodal.inputs import BatchDataCaptureConfig
from intermodal.model import Model
from intermodal.pytorch import PyTorch
from intermodal.s3 import S3Downloader
from intermodal.transformer import Transformer
from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import BUCKET, INFERENCE_IMAGE, ROLE, store_model
from tests.helpers.transform import SUMS

pytestmark = pytest.mark.e2e

TRAIN = f"""
import pathlib
{SUMS}
if __name__ == "__main__":
    pathlib.Path(os.environ["SM_MODEL_DIR"], "weights.txt").write_text("2")
"""


@pytest.fixture
def session(engine: RunningEngine, clients: dict[str, Any]) -> LocalSession:
    return LocalSession(engine.home)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "a.csv").write_text("1,2\n3,4\n")
    (folder / "b.csv").write_text("5,6\n")
    return folder


def results(session: LocalSession, uri: str) -> dict[str, str]:
    found = S3Downloader.list(uri, sagemaker_session=session)
    files = [one for one in found if one.endswith(".out")]
    return {Path(one).name: S3Downloader.read_file(one, sagemaker_session=session) for one in files}


def test_what_an_estimator_trained_is_moved_over_a_local_folder(
    session: LocalSession, tmp_path: Path, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    estimator = PyTorch(
        str(script), role=ROLE, instance_count=1, instance_type="local",
        framework_version="2.13.0", sagemaker_session=session,
    )  # fmt: skip
    estimator.fit(logs=False)
    transformer = estimator.transformer(1, "local", assemble_with="Line", accept="text/csv")

    transformer.transform(
        str(rows), content_type="text/csv", split_type="Line", join_source="Input"
    )

    assert transformer.output_path is not None
    found = results(session, transformer.output_path)
    assert found == {"a.csv.out": "1,2,6\n3,4,14\n", "b.csv.out": "5,6,22\n"}
    assert "request 2 lines" in capsys.readouterr().out
    assert transformer.latest_transform_job is not None
    again = Transformer.attach(transformer.latest_transform_job.name, session)
    again.wait(logs=False)
    assert again.output_path == transformer.output_path


@pytest.fixture
def transformer(session: LocalSession, clients: dict[str, Any]) -> Transformer:
    uri = store_model(clients["s3"], "sums", SUMS, weights="2")
    model = Model(INFERENCE_IMAGE, uri, ROLE, sagemaker_session=session)
    return model.transformer(
        1, "ml.m5.large", output_path=f"s3://{BUCKET}/out", env={"PAUSE_S": "0.2"}
    )


def test_a_failed_job_raises_with_the_object_and_the_offset(
    transformer: Transformer, rows: Path
) -> None:
    (rows / "b.csv").write_text("5,6\nseven\n")
    transformer.strategy = "SingleRecord"
    with pytest.raises(JobFailedError, match=r"b\.csv, byte 4: "):
        transformer.transform(str(rows), content_type="text/csv", split_type="Line", logs=False)


def test_a_job_is_stopped(transformer: Transformer, rows: Path) -> None:
    for number in range(50):
        (rows / f"{number}.csv").write_text("1\n")
    transformer.transform(str(rows), content_type="text/csv", split_type="Line", wait=False)
    transformer.stop_transform_job()
    assert transformer.latest_transform_job is not None
    assert transformer.latest_transform_job.describe()["TransformJobStatus"] == "Stopped"


def test_a_batch_is_captured(session: LocalSession, clients: dict[str, Any], rows: Path) -> None:
    uri = store_model(clients["s3"], "captured", SUMS, weights="2")
    model = Model(INFERENCE_IMAGE, uri, ROLE, sagemaker_session=session)
    transformer = model.transformer(1, "ml.m5.large", accept="text/csv", assemble_with="Line")
    place = f"s3://{BUCKET}/captured-by-sdk"
    transformer.transform(
        str(rows),
        content_type="text/csv",
        split_type="Line",
        batch_data_capture_config=BatchDataCaptureConfig(place, generate_inference_id=True),
        logs=False,
    )
    listed = S3Downloader.list(place, sagemaker_session=session)
    manifests = [
        json.loads(S3Downloader.read_file(one, sagemaker_session=session)) for one in listed
    ]
    assert [manifest[1:] for manifest in manifests] == [
        ["a.csv", "b.csv"],
        ["a.csv.out", "b.csv.out"],
    ]
    made = results(session, str(transformer.output_path))
    assert [row.split(",")[0] for row in made["a.csv.out"].split()] == ["6", "14"]
