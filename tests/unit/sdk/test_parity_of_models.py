"""Models, endpoints, predictors and sessions: what they send is what the vendor's SDK v2 sends."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intermodal import Session
from intermodal.async_inference import AsyncInferenceConfig
from intermodal.deserializers import JSONDeserializer
from intermodal.estimator import Estimator
from intermodal.model import Model
from intermodal.model_monitor import DataCaptureConfig
from intermodal.multidatamodel import MultiDataModel
from intermodal.pipeline import PipelineModel
from intermodal.predictor import Predictor
from intermodal.predictor_async import AsyncPredictor
from intermodal.pytorch import PyTorchModel
from intermodal.serializers import JSONSerializer
from intermodal.session import container_def, production_variant
from tests.helpers.fake_aws import ROLE_ARN, tar_gz
from tests.helpers.fake_serving import FakeServing
from tests.helpers.parity_report import CHANGING, NEVER_SENT, OF_TRANSPORT

CASES = Path(__file__).parent / "parity" / "models"
IMAGE = "123456789012.dkr.ecr.us-west-2.amazonaws.com/my-serve:1.0"
DATA = "s3://mybucket/model/model.tar.gz"
VPC = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
TAGS = [{"Key": "a", "Value": "b"}]
LIMITS: dict[str, Any] = {
    "volume_size": 40,
    "model_data_download_timeout": 300,
    "container_startup_health_check_timeout": 200,
}
CONFIG = {
    "SchemaVersion": "1.0",
    "SageMaker": {
        "PythonSDK": {
            "Modules": {
                "Session": {"DefaultS3Bucket": "mybucket", "DefaultS3ObjectKeyPrefix": "team/x"}
            }
        },
        "TrainingJob": {
            "RoleArn": "arn:aws:iam::123456789012:role/FromDefaults",
            "OutputDataConfig": {"KmsKeyId": "out-key"},
            "ResourceConfig": {"VolumeKmsKeyId": "volume-key"},
            "VpcConfig": {"Subnets": ["subnet-9"], "SecurityGroupIds": ["sg-9"]},
            "Environment": {"FROM": "defaults"},
            "EnableInterContainerTrafficEncryption": True,
            "EnableNetworkIsolation": True,
            "Tags": [{"Key": "a", "Value": "defaults"}, {"Key": "team", "Value": "x"}],
        },
        "Model": {
            "ExecutionRoleArn": "arn:aws:iam::123456789012:role/ModelDefaults",
            "VpcConfig": {"Subnets": ["subnet-8"], "SecurityGroupIds": ["sg-8"]},
            "EnableNetworkIsolation": True,
            "PrimaryContainer": {"Environment": {"FROM": "model"}},
            "Tags": [{"Key": "kind", "Value": "model"}],
        },
        "EndpointConfig": {
            "KmsKeyId": "endpoint-key",
            "DataCaptureConfig": {"KmsKeyId": "capture-key"},
            "AsyncInferenceConfig": {"OutputConfig": {"KmsKeyId": "async-key"}},
            "Tags": [{"Key": "kind", "Value": "config"}],
        },
        "Endpoint": {"Tags": [{"Key": "kind", "Value": "endpoint"}]},
    },
}
# Listed in docs/reference/vendor-differences.md.


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeServing:
    monkeypatch.chdir(tmp_path)
    Path("inference.py").write_text("x = 1\n")
    Path("m.tar.gz").write_bytes(tar_gz({"m": b"m"}))
    aws = FakeServing()
    aws.objects["mybucket", "model/model.tar.gz"] = tar_gz({"model.params": b"m"})
    return aws


def model(session: Session, **options: Any) -> Model:
    return Model(IMAGE, DATA, ROLE_ARN, sagemaker_session=session, **options)


def pytorch_model(session: Session, name: str) -> PyTorchModel:
    return PyTorchModel(
        DATA,
        ROLE_ARN,
        "inference.py",
        framework_version="2.2.0",
        py_version="py310",
        name=name,
        sagemaker_session=session,
    )


def capture(session: Session, **more: Any) -> DataCaptureConfig:
    return DataCaptureConfig(True, 50, "s3://mybucket/c", sagemaker_session=session, **more)


def pipeline_model(session: Session) -> None:
    pipeline = PipelineModel(
        [model(session, env={"A": "1"}), pytorch_model(session, "second")],
        ROLE_ARN,
        Predictor,
        name="pipe",
        vpc_config=VPC,
        sagemaker_session=session,
        enable_network_isolation=True,
    )
    pipeline.deploy(
        2,
        "ml.m5.large",
        endpoint_name="ends",
        tags=TAGS,
        data_capture_config=capture(session),
        kms_key="key",
        **LIMITS,
    )
    pipeline.deploy(1, "ml.m5.xlarge", endpoint_name="ends", update_endpoint=True)
    pipeline.delete_model()


def pipeline_model_min(session: Session) -> None:
    pipeline = PipelineModel(
        [model(session), model(session)], "SageMakerRole", sagemaker_session=session
    )
    assert pipeline.deploy(1, "ml.m5.large") is None


def multi_data_model(session: Session) -> None:
    many = MultiDataModel(
        "many",
        "s3://mybucket/many/",
        image_uri=IMAGE,
        role=ROLE_ARN,
        env={"A": "1"},
        predictor_cls=Predictor,
        sagemaker_session=session,
    )
    assert many.add_model("m.tar.gz") == "s3://mybucket/many/m.tar.gz"
    many.add_model("m.tar.gz", "sub/b.tar.gz")
    many.add_model(DATA)
    many.add_model(DATA, "c.tar.gz")
    predictor = many.deploy(1, "ml.m5.large", tags=TAGS)
    assert sorted(many.list_models()) == [
        "c.tar.gz",
        "m.tar.gz",
        "model/model.tar.gz",
        "sub/b.tar.gz",
    ]
    predictor.predict(b"x", target_model="c.tar.gz")


def multi_data_model_of_a_framework(session: Session) -> None:
    many = MultiDataModel(
        "many",
        "s3://mybucket/many/",
        model=pytorch_model(session, "inner"),
        sagemaker_session=session,
    )
    many.deploy(1, "ml.m5.large", endpoint_name="ends")


def model_async(session: Session) -> None:
    config = AsyncInferenceConfig(
        "s3://mybucket/out",
        4,
        "key",
        {"SuccessTopic": "arn:aws:sns:us-west-2:123456789012:ok"},
        "s3://mybucket/failed",
    )
    predictor = model(session, name="later").deploy(
        1, "ml.m5.large", endpoint_name="ends", async_inference_config=config
    )
    assert isinstance(predictor, AsyncPredictor)
    predictor.serializer = JSONSerializer()
    predictor.predict_async({"a": 1})
    predictor.predict_async(
        input_path="s3://mybucket/in/x",
        initial_args={"InvocationTimeoutSeconds": 60, "ContentType": "text/csv"},
        inference_id="i1",
    )
    predictor.predict_async([1], input_path="s3://mybucket/in/y")


def model_async_default_paths(session: Session) -> None:
    model(session, name="later").deploy(
        1, "ml.m5.large", async_inference_config=AsyncInferenceConfig()
    )


def model_everything(session: Session) -> None:
    everything = model(
        session,
        name="all",
        env={"A": "1"},
        image_config={"RepositoryAccessMode": "Vpc"},
        vpc_config=VPC,
        enable_network_isolation=True,
    )
    everything.deploy(
        2,
        "ml.m5.large",
        accelerator_type="ml.eia1.medium",
        endpoint_name="ends",
        tags=TAGS,
        kms_key="key",
        data_capture_config=capture(
            session,
            kms_key_id="ckey",
            capture_options=["REQUEST"],
            csv_content_types=["text/csv", "a/b"],
            json_content_types=["application/json"],
        ),
        routing_config={"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
        inference_ami_version="al2-ami-sagemaker-inference-gpu-2",
        **LIMITS,
    )
    # The vendor's model remembers the tags of its first deployment.
    everything.deploy(1, "ml.m5.xlarge", endpoint_name="ends", tags=TAGS, update_endpoint=True)


def predictor_calls(session: Session) -> None:
    predictor = Predictor(
        "ends", session, JSONSerializer(), JSONDeserializer(), component_name="part"
    )
    predictor.predict([1], {"EnableExplanations": "`true`"}, "m.tar.gz", "blue", "i1", "a=b")
    predictor.predict([1], {"ContentType": "text/csv", "Accept": "text/csv"})
    pieces = predictor.predict_stream(
        [1], None, "blue", "i1", "a=b", target_container_hostname="one"
    )
    assert list(pieces) == [b"one\ntw", b"o\n"]


def predictor_updates(session: Session) -> None:
    predictor = model(session, name="old").deploy(
        1,
        "ml.m5.large",
        endpoint_name="ends",
        kms_key="key",
        data_capture_config=capture(session),
    )
    predictor.update_endpoint(2, "ml.m5.xlarge")
    predictor.update_endpoint(
        1,
        "ml.m5.xlarge",
        model_name="new",
        tags=[{"Key": "c", "Value": "d"}],
        kms_key="key2",
        min_instance_count=1,
        max_instance_count=3,
    )
    predictor.update_endpoint(
        data_capture_config_dict={
            "EnableCapture": False,
            "InitialSamplingPercentage": 1,
            "DestinationS3Uri": "s3://mybucket/c",
            "CaptureOptions": [{"CaptureMode": "Input"}],
        }
    )
    predictor.disable_data_capture()
    predictor.enable_data_capture()
    predictor.update_data_capture_config(DataCaptureConfig(True, 7, sagemaker_session=session))
    predictor.delete_model()
    predictor.delete_endpoint()


def predictor_delete_keeps_config(session: Session) -> None:
    predictor = model(session, name="old").deploy(1, "ml.m5.large", endpoint_name="ends")
    predictor.delete_endpoint(delete_endpoint_config=False)


def session_endpoints(session: Session) -> None:
    container = container_def(
        IMAGE, DATA, {"A": "1"}, "SingleModel", {"RepositoryAccessMode": "Platform"}
    )
    session.create_model(
        "m",
        "SageMakerRole",
        container,
        vpc_config={"Subnets": ["s"], "SecurityGroupIds": ["g"]},
        enable_network_isolation=True,
        tags=TAGS,
    )
    session.create_model("m2", "SageMakerRole", IMAGE)
    session.create_model("m3", ROLE_ARN, [container, container])
    session.create_endpoint_config(
        "c",
        "m",
        2,
        "ml.m5.large",
        tags=TAGS,
        kms_key="key",
        volume_size=5,
        model_data_download_timeout=60,
        container_startup_health_check_timeout=70,
    )
    session.create_endpoint("e", "c", tags=TAGS)
    blue = production_variant("m", "ml.m5.large", 1, "blue", 0.5)
    green = production_variant("m2", "ml.m5.large", 2, "green", 0.5)
    session.endpoint_from_production_variants("e2", [blue, green], tags=TAGS, kms_key="key")
    session.endpoint_from_model_data(
        DATA,
        IMAGE,
        1,
        "ml.m5.large",
        name="e3",
        role=ROLE_ARN,
        model_environment_vars={"A": "1"},
    )
    session.update_endpoint("e", "c")
    assert session.endpoint_in_service_or_not("e")
    assert not session.endpoint_in_service_or_not("nope")
    session.delete_endpoint("e")
    session.delete_endpoint_config("c")
    session.delete_model("m")


def session_objects(session: Session) -> None:
    uri = session.upload_string_as_file_body("text", "mybucket", "a/b.txt")
    assert uri == "s3://mybucket/a/b.txt"
    session.upload_string_as_file_body("text", "mybucket", "a/c.txt", "key")
    assert session.read_s3_file("mybucket", "a/b.txt") == "text"
    assert session.list_s3_files("mybucket", "a/") == ["a/b.txt", "a/c.txt"]
    session.upload_string_as_file_body("text", session.default_bucket(), "a/b.txt")
    session.upload_data("inference.py", extra_args={"ServerSideEncryption": "AES256"})


def defaults_file(session: Session) -> None:
    session = Session(session.boto_session, sagemaker_config=CONFIG)
    estimator = Estimator(
        IMAGE,
        instance_count=1,
        instance_type="ml.m5.large",
        sagemaker_session=session,
    )
    estimator.fit("s3://mybucket/d", logs=False)
    estimator.deploy(1, "ml.m5.large", endpoint_name="one")
    own = Model(IMAGE, DATA, name="m", env={"A": "1"}, sagemaker_session=session)
    own.deploy(
        1,
        "ml.g5.xlarge",
        endpoint_name="two",
        data_capture_config=DataCaptureConfig(True, sagemaker_session=session),
        async_inference_config=AsyncInferenceConfig(),
    )
    assert session.upload_data("inference.py") == "s3://mybucket/team/x/data/inference.py"
    first = Model(IMAGE, DATA, sagemaker_session=session)
    PipelineModel([first, first], name="pipe", sagemaker_session=session).deploy(1, "ml.m5.large")


def session_from_job(session: Session) -> None:
    estimator = Estimator(
        IMAGE,
        ROLE_ARN,
        1,
        "ml.m5.large",
        subnets=["subnet-1"],
        security_group_ids=["sg-1"],
        output_path="s3://mybucket/out",
        sagemaker_session=session,
    )
    estimator.fit("s3://mybucket/d", logs=False, job_name="job")
    assert session.create_model_from_job("job", env={"A": "1"}, tags=TAGS) == "job"
    session.create_model_from_job(
        "job",
        "other",
        "OtherRole",
        "image:2",
        "s3://mybucket/x.tar.gz",
        enable_network_isolation=True,
        vpc_config_override=None,
    )
    session.endpoint_from_job("job", 1, "ml.m5.large", name="ends")


PROGRAMS: list[Callable[[Session], None]] = [
    pipeline_model,
    pipeline_model_min,
    multi_data_model,
    multi_data_model_of_a_framework,
    model_async,
    model_async_default_paths,
    model_everything,
    predictor_calls,
    predictor_updates,
    predictor_delete_keeps_config,
    session_endpoints,
    session_objects,
    defaults_file,
    session_from_job,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_what_changes_something_is_what_the_vendor_sends(
    program: Callable[[Session], None], aws: FakeServing
) -> None:
    recorded = json.loads((CASES / f"{program.__name__}.json").read_text())

    program(Session(aws.boto_session()))

    ours = _changing((call.operation, call.params) for call in aws.calls)
    theirs = _changing((call["operation"], call["params"]) for call in recorded["calls"])
    assert ours == theirs


def test_every_recorded_case_is_replayed() -> None:
    recorded = {path.stem for path in CASES.glob("*.json")}
    assert recorded == {program.__name__ for program in PROGRAMS}


def _changing(calls: Any) -> list[tuple[str, str]]:
    """What changes something; uploads in parallel have no order, and reading may be less."""
    texts = [
        (operation, _normalised(params))
        for operation, params in calls
        if operation.startswith(CHANGING)
    ]
    return sorted(texts)


def _normalised(params: dict[str, Any]) -> str:
    kept = {
        name: value
        for name, value in params.items()
        if name not in (*OF_TRANSPORT, *NEVER_SENT) and value != []
    }
    text = json.dumps(kept, sort_keys=True, default=str)
    text = re.sub(r"\d{4}(-\d{2}){5}-\d{3}", "<TS>", text)
    # The vendor appends one more time stamp at each update, and cuts the earlier ones.
    text = re.sub(r"<TS>(-[\d-]*<TS>)+", "<TS>", text)
    text = re.sub(r"-\d{10}-[0-9a-f]{4}\b", "-<UNIQUE>", text)
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<UUID>", text)
    return re.sub(r"-\d{6}-\d{4}(?=/)", "-<MINUTE>", text)
