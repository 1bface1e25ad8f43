"""From a trained model to an endpoint that answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from intermodal import Session
from intermodal.deserializers import JSONDeserializer
from intermodal.errors import EndpointFailedError, InvalidArgumentsError
from intermodal.estimator import Estimator
from intermodal.model import Model
from intermodal.mxnet import MXNet, MXNetModel
from intermodal.predictor import Predictor
from intermodal.pytorch import PyTorch, PyTorchModel
from intermodal.serializers import JSONSerializer
from intermodal_contract.catalogue import releases
from tests.helpers.fake_aws import ROLE_ARN, FakeAws, tar_gz

MODEL = ("mybucket", "model.tar.gz")
MODEL_DATA = "s3://mybucket/model.tar.gz"


def trained(session: Session, script: Path) -> PyTorch:
    estimator = PyTorch(
        str(script),
        framework_version="2.2.0",
        role=ROLE_ARN,
        instance_count=1,
        instance_type="ml.m5.large",
        sagemaker_session=session,
    )
    estimator.fit(job_name="job", logs=False)
    return estimator


def environment(aws: FakeAws) -> dict[str, str]:
    return dict(aws.params("CreateModel")["PrimaryContainer"]["Environment"])


def test_a_model_that_brings_its_own_inference_code_is_not_repacked(
    aws: FakeAws, session: Session, script: Path
) -> None:
    place = ("sagemaker-us-west-2-123456789012", "job/output/model.tar.gz")
    aws.objects[place] = tar_gz({"model.pt": b"m", "code/inference.py": b"def model_fn(d): ..."})

    trained(session, script).deploy(1, "ml.m5.large")

    container = aws.params("CreateModel")["PrimaryContainer"]
    assert container["ModelDataUrl"] == "s3://" + "/".join(place)
    assert environment(aws)["SAGEMAKER_PROGRAM"] == "inference.py"
    assert environment(aws)["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
    assert [key for _, key in aws.objects if key.endswith("model.tar.gz")] == [place[1]]


def test_a_model_without_code_gets_the_training_code(
    aws: FakeAws, session: Session, script: Path
) -> None:
    trained(session, script).deploy(1, "ml.m5.large", model_name="model")

    packed = aws.archive("sagemaker-us-west-2-123456789012", "model/model.tar.gz")
    assert packed == {"model.txt": b"m", "code/train.py": b"print('hello')\n"}
    assert environment(aws)["SAGEMAKER_PROGRAM"] == "train.py"


def test_code_given_to_deploy_wins_over_the_training_code(
    aws: FakeAws, session: Session, script: Path
) -> None:
    folder = script.parent / "serving"
    folder.mkdir()
    (folder / "serve_it.py").write_text("x = 1\n")

    trained(session, script).deploy(
        1, "ml.m5.large", entry_point="serve_it.py", source_dir=str(folder), model_name="model"
    )

    packed = aws.archive("sagemaker-us-west-2-123456789012", "model/model.tar.gz")
    assert sorted(packed) == ["code/serve_it.py", "model.txt"]
    assert environment(aws)["SAGEMAKER_PROGRAM"] == "serve_it.py"


def test_a_source_folder_replaces_the_models_code_and_dependencies_lie_in_lib(
    aws: FakeAws, session: Session, tmp_path: Path
) -> None:
    aws.objects[MODEL] = tar_gz({"model.pt": b"m", "code/old.py": b"old"})
    source, helpers = tmp_path / "src", tmp_path / "helpers"
    for path in (source / "inference.py", source / "__pycache__" / "x.pyc", helpers / "a.py"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("x = 1\n")
    model = Model(
        "image",
        MODEL_DATA,
        ROLE_ARN,
        entry_point="inference.py",
        source_dir=source,
        dependencies=[helpers],
        name="model",
        sagemaker_session=session,
    )

    model.create()

    packed = aws.archive("sagemaker-us-west-2-123456789012", "model/model.tar.gz")
    assert sorted(packed) == ["code/inference.py", "code/lib/helpers/a.py", "model.pt"]


def test_a_local_model_is_uploaded(aws: FakeAws, session: Session, tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    archive.write_bytes(tar_gz({"model.pt": b"m"}))

    Model("image", f"file://{archive}", ROLE_ARN, name="m", sagemaker_session=session).create()

    url = aws.params("CreateModel")["PrimaryContainer"]["ModelDataUrl"]
    assert url == "s3://sagemaker-us-west-2-123456789012/m/model.tar.gz"
    assert aws.archive("sagemaker-us-west-2-123456789012", "m/model.tar.gz")


def test_a_framework_model_tells_the_serving_program_its_workers(
    aws: FakeAws, session: Session
) -> None:
    model = MXNetModel(
        MODEL_DATA,
        ROLE_ARN,
        framework_version="1.9.0",
        model_server_workers=3,
        sagemaker_session=session,
    )

    model.create("ml.g5.xlarge")

    image = aws.params("CreateModel")["PrimaryContainer"]["Image"]
    assert image.endswith("/mxnet-inference:1.9.0-gpu-py38")
    assert environment(aws)["SAGEMAKER_MODEL_SERVER_WORKERS"] == "3"


def test_a_framework_model_without_a_version_says_so_with_what_else_is_wrong(
    session: Session,
) -> None:
    with pytest.raises(InvalidArgumentsError) as raised:
        MXNetModel(MODEL_DATA, entry_point="inference.py", sagemaker_session=session).create()

    problems = raised.value.problems
    newest = [one.version for one in releases() if one.framework == "mxnet"][-1]
    assert f"`framework_version` is missing: which mxnet? As in {newest!r}" in problems
    assert [one for one in problems if one.startswith("`role`")]
    assert [one for one in problems if one.startswith("`entry_point`")]


@pytest.mark.parametrize("other", [None, {"Subnets": ["s2"], "SecurityGroupIds": ["g2"]}])
def test_a_model_may_have_another_vpc_than_its_training(
    other: dict[str, list[str]] | None, aws: FakeAws, session: Session, script: Path
) -> None:
    estimator = MXNet(
        str(script),
        role=ROLE_ARN,
        instance_count=1,
        instance_type="ml.m5.large",
        framework_version="1.4.1",
        subnets=["s1"],
        security_group_ids=["g1"],
        sagemaker_session=session,
    )
    estimator.fit(logs=False)

    estimator.deploy(1, "ml.m5.large", vpc_config_override=other)

    assert aws.params("CreateModel").get("VpcConfig") == other


def test_an_endpoint_that_fails_raises_with_its_reason(aws: FakeAws, session: Session) -> None:
    aws.endpoint_statuses = ["Creating", "Failed"]
    aws.endpoint_reason = "The container did not pass the ping health check"
    model = Model("image", MODEL_DATA, ROLE_ARN, sagemaker_session=session)

    with pytest.raises(EndpointFailedError) as raised:
        model.deploy(1, "ml.m5.large", endpoint_name="end")

    assert "endpoint `end` is Failed: The container did not pass" in str(raised.value)
    assert "`/aws/sagemaker/Endpoints/end`" in str(raised.value)


def test_an_endpoint_that_fails_is_not_blamed_for_what_an_earlier_one_of_its_name_logged(
    aws: FakeAws, session: Session
) -> None:
    aws.endpoint_statuses = ["Creating", "Failed"]
    aws.endpoint_log = [(-5, "the old cause"), (5, "the cause")]

    with pytest.raises(EndpointFailedError, match=r"AllTraffic/i-1 \| the cause") as raised:
        Model("image", MODEL_DATA, ROLE_ARN, sagemaker_session=session).deploy(1, "ml.m5.large")

    assert "the old cause" not in str(raised.value)


def test_where_the_training_script_could_not_serve_the_error_says_that_it_did(
    aws: FakeAws, session: Session, script: Path
) -> None:
    aws.endpoint_statuses = ["Creating", "Failed"]
    estimator = trained(session, script)

    with pytest.raises(EndpointFailedError, match="the training script was imported to serve"):
        estimator.deploy(1, "ml.m5.large", endpoint_name="end")

    with pytest.raises(EndpointFailedError) as raised:
        estimator.deploy(1, "ml.m5.large", endpoint_name="end", entry_point=str(script))
    assert "training script" not in str(raised.value)


def test_a_model_has_its_name_before_it_is_created(
    aws: FakeAws, session: Session, script: Path
) -> None:
    estimator = trained(session, script)
    model = estimator.create_model()

    # Else update_endpoint(model_name=model.name) would keep the old model and say nothing.
    assert model.name is not None
    assert model.name.startswith("pytorch-training-")
    assert model.create("ml.m5.large") == model.name
    assert aws.params("CreateModel")["ModelName"] == model.name
    assert estimator.create_model(name="mine").name == "mine"


def test_deploy_tags_model_configuration_and_endpoint(aws: FakeAws, session: Session) -> None:
    model = Model("image", MODEL_DATA, ROLE_ARN, sagemaker_session=session)

    model.deploy(2, "ml.m5.large", tags={"team": "a"}, wait=False)

    for operation in ("CreateModel", "CreateEndpointConfig", "CreateEndpoint"):
        assert aws.params(operation)["Tags"] == [{"Key": "team", "Value": "a"}]
    assert "sagemaker.DescribeEndpoint" not in aws.operations()


def test_the_predictor_sends_and_reads_what_its_serializers_say(
    aws: FakeAws, session: Session
) -> None:
    predictor = Predictor("end", session, JSONSerializer(), JSONDeserializer())

    answer = predictor.predict([[1, 2]], target_variant="blue", custom_attributes="a=1")

    assert answer == [[1.0, 2.0]]
    _, body = aws.invocations[0]
    assert json.loads(body) == [[1, 2]]
    assert aws.params("InvokeEndpoint") == {
        "EndpointName": "end",
        "ContentType": "application/json",
        "Accept": "application/json",
        "TargetVariant": "blue",
        "CustomAttributes": "a=1",
        "Body": "<bytes>",
    }


def test_a_pytorch_endpoint_speaks_numpy_by_itself(aws: FakeAws, session: Session) -> None:
    numpy = pytest.importorskip("numpy")
    predictor = PyTorchModel(
        MODEL_DATA, ROLE_ARN, framework_version="2.2.0", sagemaker_session=session
    ).deploy(1, "ml.m5.large")

    answer = predictor.predict(numpy.ones((1, 2)))

    assert answer.tolist() == [[1.0, 2.0]]
    assert predictor.content_type == "application/x-npy"
    assert aws.invocations[0][1].startswith(b"\x93NUMPY")


def test_deleting_removes_endpoint_configuration_and_models(aws: FakeAws, session: Session) -> None:
    model = Model("image", MODEL_DATA, ROLE_ARN, sagemaker_session=session)
    predictor: Any = model.deploy(1, "ml.m5.large", endpoint_name="end")

    predictor.delete_model()
    predictor.delete_endpoint()

    assert aws.params("DeleteModel") == {"ModelName": model.name}
    assert aws.params("DeleteEndpoint") == {"EndpointName": "end"}
    assert aws.params("DeleteEndpointConfig") == {"EndpointConfigName": "end"}


def test_an_attached_estimator_trains_and_deploys_like_the_one_it_came_from(
    aws: FakeAws, session: Session, script: Path
) -> None:
    first = PyTorch(
        str(script),
        framework_version="2.2.0",
        role=ROLE_ARN,
        instance_count=2,
        instance_type="ml.g5.xlarge",
        hyperparameters={"epochs": 3, "name": "abc"},
        max_run=60,
        sagemaker_session=session,
    )
    first.fit("s3://mybucket/data", job_name="job-1", logs=False)

    again = PyTorch.attach("job-1", sagemaker_session=session)

    assert again.hyperparameters() == {"epochs": 3, "name": "abc"}
    assert (again.framework_version, again.py_version) == ("2.2.0", "py310")
    assert (again.instance_count, again.instance_type, again.max_run) == (2, "ml.g5.xlarge", 60)
    assert str(again.model_data).endswith("/job-1/output/model.tar.gz")
    again.fit("s3://mybucket/data", job_name="job-2", logs=False)
    requests = [call.params for call in aws.calls if call.operation == "CreateTrainingJob"]
    for request in requests:
        del request["TrainingJobName"], request["HyperParameters"]["sagemaker_job_name"]
    assert requests[0] == requests[1]
    again.deploy(1, "ml.m5.large", model_name="model")
    packed = aws.archive("sagemaker-us-west-2-123456789012", "model/model.tar.gz")
    assert "code/train.py" in packed


def test_a_model_that_was_left_uncompressed_is_deployed_from_its_prefix(
    aws: FakeAws, session: Session
) -> None:
    estimator = Estimator(
        "image:1",
        ROLE_ARN,
        1,
        "ml.m5.large",
        disable_output_compression=True,
        sagemaker_session=session,
    )
    estimator.fit(job_name="job", logs=False)

    estimator.deploy(1, "ml.m5.large")

    container = aws.params("CreateModel")["PrimaryContainer"]
    assert "ModelDataUrl" not in container
    source = container["ModelDataSource"]["S3DataSource"]
    assert source["S3Uri"].endswith("/job/output/model.tar.gz/")
    assert (source["S3DataType"], source["CompressionType"]) == ("S3Prefix", "None")


def test_an_estimator_that_was_not_trained_says_so(session: Session, script: Path) -> None:
    estimator = PyTorch(str(script), framework_version="2.2.0", sagemaker_session=session)

    with pytest.raises(ValueError, match=r"call fit\(\) first"):
        estimator.deploy(1, "ml.m5.large")


def test_a_model_of_a_job_that_still_runs_is_not_there(
    aws: FakeAws, session: Session, script: Path
) -> None:
    estimator = PyTorch(
        str(script),
        framework_version="2.2.0",
        role=ROLE_ARN,
        instance_count=1,
        instance_type="ml.m5.large",
        sagemaker_session=session,
    )
    estimator.fit(wait=False)

    with pytest.raises(ValueError, match="is InProgress and has no model"):
        _ = estimator.model_data
