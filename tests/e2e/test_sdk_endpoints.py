"""Our SDK's models, predictors and sessions against a real engine."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from intermodal import LocalSession
from intermodal.deserializers import JSONDeserializer
from intermodal.model import Model
from intermodal.multidatamodel import MultiDataModel
from intermodal.pipeline import PipelineModel
from intermodal.predictor import Predictor
from intermodal.pytorch import PyTorchModel
from intermodal.s3 import S3Downloader
from intermodal.serializers import JSONSerializer
from tests.helpers.engine import RunningEngine
from tests.helpers.fake_aws import tar_gz
from tests.helpers.script_mode import ROLE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

VERSION = "2.13.0"
SCRIPT = """
from pathlib import Path

def model_fn(model_dir):
    return int(Path(model_dir, "factor").read_text())

def predict_fn(data, model):
    return [model * int(one) for one in data]
"""


@pytest.fixture(scope="module")
def session(engine: RunningEngine) -> LocalSession:
    return LocalSession(engine.home, default_bucket="demo")


@pytest.fixture(scope="module")
def model_of(session: LocalSession, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes a model that multiplies."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "inference.py").write_text(SCRIPT)

    def make(factor: int) -> PyTorchModel:
        archive = folder / f"{factor}.tar.gz"
        archive.write_bytes(tar_gz({"factor": str(factor).encode()}))
        return PyTorchModel(
            str(archive),
            ROLE,
            str(folder / "inference.py"),
            framework_version=VERSION,
            sagemaker_session=session,
        )

    return make


@pytest.fixture(scope="module")
def predictor(model_of: Callable[[int], Model]) -> Iterator[Predictor]:
    predictor: Predictor = model_of(2).deploy(
        1,
        "ml.m5.large",
        serializer=JSONSerializer(),
        deserializer=JSONDeserializer(),
        endpoint_name="times",
        tags={"team": "x"},
    )
    yield predictor
    predictor.delete_model()
    predictor.delete_endpoint()


def test_an_endpoint_is_asked_changed_and_moved_to_another_model(
    predictor: Predictor, session: LocalSession, model_of: Callable[[int], Model]
) -> None:
    assert predictor.predict([1, 2], target_variant="AllTraffic", inference_id="i") == [2, 4]
    assert session.endpoint_in_service_or_not("times")
    assert not session.endpoint_in_service_or_not("other")

    predictor.update_endpoint(2, "ml.m5.xlarge")
    described = session.describe_endpoint("times")
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert predictor.predict([1]) == [2]
    config_arn = session.sagemaker_client.describe_endpoint_config(
        EndpointConfigName=described["EndpointConfigName"]
    )["EndpointConfigArn"]
    assert session.list_tags(config_arn) == [{"Key": "team", "Value": "x"}]

    model_of(3).deploy(1, "ml.m5.large", endpoint_name="times", update_endpoint=True)
    assert predictor.predict([1, 2]) == [3, 6]


def test_many_models_are_served_and_added_while_they_are(
    model_of: Callable[[int], Model], session: LocalSession, tmp_path: Path
) -> None:
    many = MultiDataModel("many", "s3://demo/many", model=model_of(1), sagemaker_session=session)
    predictor = many.deploy(
        1, "ml.m5.large", serializer=JSONSerializer(), deserializer=JSONDeserializer()
    )
    for factor in (2, 3):
        path = tmp_path / f"{factor}.tar.gz"
        path.write_bytes(
            tar_gz({"factor": str(factor).encode(), "code/inference.py": SCRIPT.encode()})
        )
        many.add_model(str(path), f"deep/{factor}.tar.gz")
    listed = sorted(many.list_models())
    assert listed == ["/deep/2.tar.gz", "/deep/3.tar.gz"]
    assert [predictor.predict([1, 2], target_model=one) for one in listed] == [[2, 4], [3, 6]]
    assert predictor.predict([1], target_model="deep/2.tar.gz") == [2]
    predictor.delete_model()
    predictor.delete_endpoint()


def test_models_in_a_row_are_deployed_as_one(
    model_of: Callable[[int], Model], session: LocalSession
) -> None:
    row = PipelineModel(
        [model_of(2), model_of(5)], ROLE, predictor_cls=Predictor, sagemaker_session=session
    )
    predictor = row.deploy(
        1, "ml.m5.large", serializer=JSONSerializer(), deserializer=JSONDeserializer()
    )
    assert predictor.predict([1, 2]) == [10, 20]
    predictor.delete_endpoint()
    row.delete_model()


def test_models_in_a_row_are_run_over_a_folder(
    model_of: Callable[[int], Model], session: LocalSession, tmp_path: Path
) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "a.json").write_text("[1, 2]")
    row = PipelineModel([model_of(2), model_of(5)], ROLE, sagemaker_session=session)
    transformer = row.transformer(1, "ml.m5.large", accept="application/json")
    transformer.transform(str(folder), content_type="application/json", logs=False)
    found = S3Downloader.list(str(transformer.output_path), sagemaker_session=session)
    (uri,) = [one for one in found if one.endswith(".out")]
    assert json.loads(S3Downloader.read_file(uri, sagemaker_session=session)) == [10, 20]


def test_an_answer_is_streamed(predictor: Predictor) -> None:
    parts = list(predictor.predict_stream([1, 2]))
    assert b"".join(parts).strip().startswith(b"[")


def test_a_folder_goes_up_and_comes_back_as_it_was(session: LocalSession, tmp_path: Path) -> None:
    source = tmp_path / "data"
    for index in range(50):
        path = source / f"part {index % 3}" / f"{index:02d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([index]) * 1000 * index)

    uri = session.upload_data(source, key_prefix="tree")
    session.download_data(tmp_path / "back", "demo", "tree")

    assert uri == "s3://demo/tree"
    names = sorted(path.relative_to(source) for path in source.rglob("*.bin"))
    back = tmp_path / "back"
    assert sorted(path.relative_to(back) for path in back.rglob("*") if path.is_file()) == names
    assert all((back / name).read_bytes() == (source / name).read_bytes() for name in names)
    session.upload_string_as_file_body("text", "demo", "tree/note")
    assert session.read_s3_file("demo", "tree/note") == "text"
