"""Streams, asynchronous answers, autoscaling, and what deploy() does not take."""

from typing import Any

import pytest

import intermodal
from intermodal import Session
from intermodal.async_inference import AsyncInferenceConfig, AsyncInferenceResponse, WaiterConfig
from intermodal.deserializers import JSONDeserializer
from intermodal.errors import (
    AsyncInferenceModelError,
    InternalStreamFailureError,
    InvalidArgumentsError,
    ModelStreamError,
    ObjectNotExistedError,
    PollingTimeoutError,
)
from intermodal.iterators import ByteIterator, LineIterator
from intermodal.model import Model
from intermodal.multidatamodel import MultiDataModel
from intermodal.pipeline import PipelineModel
from intermodal.predictor import Predictor
from intermodal.predictor_async import AsyncPredictor
from intermodal.serializers import JSONSerializer
from tests.helpers.fake_aws import ROLE_ARN
from tests.helpers.fake_serving import FakeServing

OUTPUT = ("mybucket", "async/out/answer.out")
FAILURE = ("mybucket", "async/failed/answer.err")


@pytest.fixture
def aws() -> FakeServing:
    return FakeServing()


@pytest.fixture
def predictor(aws: FakeServing) -> Predictor:
    return Predictor("end", Session(aws.boto_session()), JSONSerializer(), JSONDeserializer())


@pytest.fixture
def later(predictor: Predictor) -> AsyncPredictor:
    return AsyncPredictor(predictor)


# Streams


def test_a_stream_comes_in_its_pieces_or_in_lines(aws: FakeServing, predictor: Predictor) -> None:
    aws.parts = [b"one\ntw", b"o", b"\n\nlast"]

    assert list(predictor.predict_stream([1], iterator=ByteIterator)) == aws.parts
    assert list(predictor.predict_stream([1], iterator=LineIterator)) == [
        b"one",
        b"two",
        b"",
        b"last",
    ]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("ModelStreamError", ModelStreamError),
        ("InternalStreamFailure", InternalStreamFailureError),
    ],
)
def test_what_breaks_a_stream_off_is_raised_after_what_had_come(
    aws: FakeServing, predictor: Predictor, kind: str, error: type[Exception]
) -> None:
    aws.stream_error = (kind, b'{"Message": "out of memory", "ErrorCode": "X"}')
    pieces = predictor.predict_stream([1])

    assert [next(pieces), next(pieces)] == aws.parts
    with pytest.raises(error, match="out of memory"):
        next(pieces)


# Asynchronous answers


def test_an_asynchronous_answer_is_read_once_it_is_there(
    aws: FakeServing, later: AsyncPredictor
) -> None:
    answer = later.predict_async({"a": 1})

    with pytest.raises(ObjectNotExistedError, match="no answer at `s3://mybucket/async/out"):
        answer.get_result()
    aws.objects[OUTPUT] = b'{"b": 2}'
    assert answer.get_result() == {"b": 2}
    del aws.objects[OUTPUT]
    assert answer.get_result() == {"b": 2}


def test_waiting_for_an_answer_ends_when_it_comes(aws: FakeServing, later: AsyncPredictor) -> None:
    asked = 0

    def comes_late(operation: str) -> None:
        nonlocal asked
        asked += operation == "GetObject"
        if asked == 3:
            aws.objects[OUTPUT] = b"[1]"

    aws.faults.append(comes_late)

    assert later.predict({"a": 1}) == [1]


def test_what_failed_is_raised_in_the_models_words(aws: FakeServing, later: AsyncPredictor) -> None:
    aws.objects[FAILURE] = b"ValueError: no such column"

    with pytest.raises(AsyncInferenceModelError, match="no such column") as raised:
        later.predict({"a": 1})
    assert "s3://mybucket/async/failed/answer.err" in (raised.value.hint or "")


def test_waiting_gives_up_in_the_end(later: AsyncPredictor) -> None:
    with pytest.raises(PollingTimeoutError, match="no answer at"):
        later.predict({"a": 1}, waiter_config=WaiterConfig(max_attempts=1, delay=0))


def test_an_answer_without_a_failure_path_is_just_not_there(later: AsyncPredictor) -> None:
    with pytest.raises(ObjectNotExistedError):
        AsyncInferenceResponse(later, "s3://mybucket/x", None).get_result()


def test_an_asynchronous_predictor_does_all_that_the_other_does(
    aws: FakeServing, later: AsyncPredictor
) -> None:
    later.deserializer = JSONDeserializer("application/x")

    assert later.accept == ("application/x",)
    later.autoscale(0, 4, 5.0)
    with pytest.raises(ValueError, match="`data` or `input_path` is missing"):
        later.predict_async()


# Autoscaling


def test_a_variant_follows_the_traffic(aws: FakeServing, predictor: Predictor) -> None:
    arn = predictor.autoscale(1, 4, 70.0, scale_in_cooldown=600)

    variant = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/end/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    assert arn == "arn:policy"
    assert aws.params("RegisterScalableTarget") == {
        **variant,
        "MinCapacity": 1,
        "MaxCapacity": 4,
    }
    policy = aws.params("PutScalingPolicy")
    assert policy["PolicyType"] == "TargetTrackingScaling"
    assert policy["TargetTrackingScalingPolicyConfiguration"] == {
        "TargetValue": 70.0,
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
        },
        "ScaleInCooldown": 600,
        "ScaleOutCooldown": 300,
    }

    predictor.stop_autoscaling()
    assert aws.params("DeregisterScalableTarget") == variant


def test_autoscaling_between_impossible_bounds_is_refused(
    aws: FakeServing, predictor: Predictor
) -> None:
    with pytest.raises(ValueError, match="`max_capacity`: 1 is below `min_capacity`, 3"):
        predictor.autoscale(3, 1, 70.0)
    assert aws.calls == []


# What is refused before anything is sent


def a_model(session: Session, **options: Any) -> Model:
    return Model("image", "s3://mybucket/m.tar.gz", ROLE_ARN, sagemaker_session=session, **options)


@pytest.mark.parametrize("argument", ["inference_recommendation_id", "resources", "accept_eula"])
def test_what_deploy_leaves_out_is_refused_with_what_to_do_instead(
    aws: FakeServing, argument: str
) -> None:
    arguments: dict[str, Any] = {argument: "x"}

    with pytest.raises(InvalidArgumentsError, match=f"`{argument}`: "):
        a_model(Session(aws.boto_session())).deploy(1, "ml.m5.large", **arguments)
    assert aws.calls == []


def test_a_misspelt_argument_of_deploy_is_named(aws: FakeServing) -> None:
    arguments: dict[str, Any] = {"routing_cofig": {}}

    with pytest.raises(TypeError, match="did you mean `routing_config`"):
        a_model(Session(aws.boto_session())).deploy(1, "ml.m5.large", **arguments)


def test_a_deployment_that_cannot_be_is_told_with_all_its_faults(aws: FakeServing) -> None:
    session = Session(aws.boto_session())
    with pytest.raises(InvalidArgumentsError) as raised:
        a_model(session).deploy(0, "ml.nothing", volume_size=0, update_endpoint=True)

    named = [problem.split("`")[1] for problem in raised.value.problems]
    assert named == ["initial_instance_count", "instance_type", "endpoint_name", "volume_size"]
    with pytest.raises(InvalidArgumentsError, match="a serverless one has none"):
        a_model(session).deploy(
            serverless_inference_config={"MemorySizeInMB": 1024, "MaxConcurrency": 1},
            async_inference_config=AsyncInferenceConfig(),
        )
    assert aws.calls == []


def test_a_pipeline_names_the_model_that_is_at_fault(aws: FakeServing) -> None:
    session = Session(aws.boto_session())
    pipeline = PipelineModel(
        [a_model(session), a_model(session, entry_point="nowhere.py")], sagemaker_session=session
    )

    with pytest.raises(InvalidArgumentsError) as raised:
        pipeline.deploy(1, "ml.m5.large")

    assert raised.value.problems[0].startswith("`role`: is missing")
    assert raised.value.problems[1].startswith("`models[1]`: `entry_point`: there is no file")
    assert aws.calls == []


def test_a_pipeline_is_created_and_run_over_data(aws: FakeServing) -> None:
    session = Session(aws.boto_session())
    models = [a_model(session), a_model(session)]
    pipeline = PipelineModel(models, ROLE_ARN, name="row", sagemaker_session=session)

    transformer = pipeline.transformer(2, "ml.m5.large", accept="text/csv", env={"A": "b"})

    (created,) = [one.params for one in aws.calls if one.operation == "CreateModel"]
    assert (created["ModelName"], len(created["Containers"])) == ("row", 2)
    assert (transformer.model_name, transformer.base_transform_job_name) == ("row", "row")
    assert (transformer.accept, transformer.env) == ("text/csv", {"A": "b"})


def test_many_models_take_their_image_from_one_model_or_from_the_user(aws: FakeServing) -> None:
    session = Session(aws.boto_session())
    with pytest.raises(ValueError, match="`role` is the `model`'s own"):
        MultiDataModel("many", "s3://mybucket/many", model=a_model(session), role=ROLE_ARN)
    with pytest.raises(ValueError, match="is no S3 prefix"):
        MultiDataModel("many", "/models")

    many = MultiDataModel("many", "s3://mybucket/many", model=a_model(session))
    with pytest.raises(ValueError, match="there is no file `nowhere`"):
        many.add_model("nowhere")


def test_the_new_classes_are_found_where_the_vendors_are() -> None:
    assert intermodal.PipelineModel is PipelineModel
    assert intermodal.pipeline.PipelineModel is PipelineModel
    assert intermodal.multidatamodel.MultiDataModel is MultiDataModel
    assert intermodal.production_variant("m")["ModelName"] == "m"
