"""scikit-learn, XGBoost, TensorFlow and transformers: images, arguments, predictors."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from intermodal import Session, image_uris
from intermodal.errors import InvalidArgumentsError
from intermodal.huggingface import HuggingFace, HuggingFacePredictor
from intermodal.sklearn import SKLearn, SKLearnModel, SKLearnPredictor
from intermodal.tensorflow import TensorFlow, TensorFlowPredictor
from intermodal.xgboost import XGBoost, XGBoostPredictor
from tests.helpers.fake_aws import ROLE_ARN, FakeAws

HOST = "763104351884.dkr.ecr.us-west-2.amazonaws.com"


def test_tensorflow_serving_has_releases_and_tags_of_its_own() -> None:
    def image(version: str) -> str:
        return image_uris.retrieve(
            "tensorflow", "us-west-2", version, instance_type="ml.m5.large", image_scope="inference"
        )

    assert image("2.13.0") == f"{HOST}/tensorflow-inference:2.13.0-cpu"
    assert image("2.12.0") == f"{HOST}/tensorflow-inference:2.12.1-cpu"


def test_images_in_accounts_of_their_own_need_neither_scope_nor_python() -> None:
    uri = image_uris.retrieve("xgboost", "us-east-1", "1.7-1")

    assert uri == "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"


@pytest.mark.parametrize(
    ("framework", "version", "said"),
    [
        ("sklearn", "0.1", "known are 0.20.0, 0.23-1, 1.0-1, 1.2-1, 1.4-2"),
        ("xgboost", "0.1", "known are 0.90-1"),
        ("tensorflow", "1.2", "known are 1.14 and newer"),
        ("huggingface", "4.36.0", "`pytorch_version` or `tensorflow_version`"),
        ("chainer", "1.0", "known are pytorch, mxnet, tensorflow, huggingface, sklearn, xgboost"),
    ],
)
def test_an_unknown_version_is_refused_with_the_known_ones(
    framework: str, version: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        image_uris.retrieve(framework, "us-west-2", version, image_scope="training")


def test_all_that_is_wrong_with_a_framework_is_told_before_anything_is_sent(
    aws: FakeAws, session: Session
) -> None:
    with pytest.warns(DeprecationWarning, match="write `instance_"):
        estimator = SKLearn(
            "nowhere.py",
            framework_version="7",
            train_instance_count=2,
            train_instance_type="ml.m5.large",
            sagemaker_session=session,
        )

    with pytest.raises(InvalidArgumentsError) as caught:
        estimator.fit("s3://mybucket/d")

    assert "`role`: is missing" in str(caught.value)
    assert "`train_instance_count`: 2; scikit-learn trains on 1 only" in str(caught.value)
    assert "`entry_point`: there is no file" in str(caught.value)
    assert "sklearn 7; known are" in str(caught.value)
    assert aws.calls == []


def test_a_framework_without_a_script_is_refused(session: Session) -> None:
    estimator = TensorFlow(
        framework_version="2.13",
        role=ROLE_ARN,
        instance_count=1,
        instance_type="ml.m5.large",
        sagemaker_session=session,
    )

    with pytest.raises(InvalidArgumentsError, match="`entry_point`: is missing: which script"):
        estimator.fit("s3://mybucket/d")


def test_scikit_learn_on_a_gpu_is_refused(session: Session, script: Path) -> None:
    estimator = SKLearn(
        str(script),
        "1.2-1",
        role=ROLE_ARN,
        instance_type="ml.g5.xlarge",
        sagemaker_session=session,
    )

    with pytest.raises(InvalidArgumentsError, match="not for gpu"):
        estimator.fit("s3://mybucket/d")


def test_two_frameworks_below_transformers_are_refused(session: Session, script: Path) -> None:
    estimator = HuggingFace(
        "py310",
        str(script),
        "4.36.0",
        "2.1.0",
        "2.1.0",
        role=ROLE_ARN,
        instance_count=1,
        instance_type="ml.p3.2xlarge",
        sagemaker_session=session,
    )

    with pytest.raises(InvalidArgumentsError, match="exclude each other"):
        estimator.fit("s3://mybucket/d")


def test_a_job_of_transformers_is_attached_to_with_its_versions(
    session: Session, script: Path
) -> None:
    estimator = HuggingFace(
        "py310",
        str(script),
        "4.36.0",
        pytorch_version="2.1.0",
        role=ROLE_ARN,
        instance_count=1,
        instance_type="ml.p3.2xlarge",
        sagemaker_session=session,
    )
    estimator.fit("s3://mybucket/d", job_name="mine", logs=False)

    found = HuggingFace.attach("mine", session)

    assert found.framework_version == "4.36.0"
    assert found.pytorch_version == "2.1.0"
    assert found.image_uri is None
    assert found.training_image_uri() == estimator.training_image_uri()


def test_tensorflow_is_told_no_model_dir_where_that_is_false(
    aws: FakeAws, session: Session, script: Path
) -> None:
    estimator = TensorFlow(
        entry_point=str(script),
        framework_version="2.13",
        model_dir=False,
        role=ROLE_ARN,
        instance_count=2,
        instance_type="ml.m5.large",
        distribution={"multi_worker_mirrored_strategy": {"enabled": True}},
        sagemaker_session=session,
    )

    estimator.fit("s3://mybucket/d", logs=False)

    sent = aws.params("CreateTrainingJob")["HyperParameters"]
    assert "model_dir" not in sent
    assert sent["sagemaker_multi_worker_mirrored_strategy_enabled"] == "true"


def test_predictors_speak_what_their_servers_speak(session: Session) -> None:
    predictors = [
        SKLearnPredictor("e", session),
        XGBoostPredictor("e", session),
        TensorFlowPredictor("e", session),
        HuggingFacePredictor("e", session),
    ]

    assert [one.content_type for one in predictors] == [
        "application/x-npy",
        "text/libsvm",
        "application/json",
        "application/json",
    ]


def test_libsvm_is_sent_as_it_is(aws: FakeAws, session: Session) -> None:
    aws.answer_to_invocations = ("text/csv", b"0.5,0.7\n")

    assert XGBoostPredictor("e", session).predict("1:0.5 2:3") == [["0.5", "0.7"]]

    assert aws.invocations[0][1] == b"1:0.5 2:3"
    with pytest.raises(ValueError, match="is no LibSVM; give text or an open file"):
        XGBoostPredictor("e", session).predict([1.0])


def test_tensorflow_serving_is_told_model_and_method(aws: FakeAws, session: Session) -> None:
    aws.answer_to_invocations = ("application/json", json.dumps({"results": []}).encode())
    predictor = TensorFlowPredictor("e", session, model_name="m", model_version="2")

    predictor.classify({"examples": []})
    predictor.predict({"instances": []})

    told: list[Any] = [
        headers["X-Amzn-SageMaker-Custom-Attributes"] for headers, _ in aws.invocations
    ]
    assert told == [
        b"tfs-method=classify,tfs-model-name=m,tfs-model-version=2",
        b"tfs-model-name=m,tfs-model-version=2",
    ]


def test_xgboost_takes_its_arguments_in_the_vendors_order(session: Session, script: Path) -> None:
    estimator = XGBoost(
        script.name,
        "1.7-1",
        str(script.parent),
        {"depth": 3},
        "py3",
        role=ROLE_ARN,
        instance_count=1,
        instance_type="ml.m5.large",
        image_uri_region="eu-west-1",
        sagemaker_session=session,
    )

    assert estimator.source_dir == str(script.parent)
    assert estimator.hyperparameters() == {"depth": 3}
    assert estimator.training_image_uri().startswith("141502667606.dkr.ecr.eu-west-1.")


@pytest.mark.parametrize(
    ("framework", "name"),
    [
        ("huggingface", "HuggingFace"),
        ("mxnet", "MXNet"),
        ("pytorch", "PyTorch"),
        ("sklearn", "SKLearn"),
        ("tensorflow", "TensorFlow"),
        ("xgboost", "XGBoost"),
    ],
)
def test_classes_are_where_the_vendor_has_them(framework: str, name: str) -> None:
    package = import_module(f"intermodal.{framework}")

    for kind, home in (
        ("", "estimator"),
        ("Model", "model"),
        ("Predictor", "model"),
        ("Processor", "processing"),
    ):
        own = getattr(import_module(f"intermodal.{framework}.{home}"), f"{name}{kind}")
        assert getattr(package, f"{name}{kind}") is own
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        package.Nothing  # noqa: B018


def test_a_dry_run_shows_where_the_code_of_scikit_learn_would_lie(
    aws: FakeAws, session: Session, script: Path
) -> None:
    model = SKLearnModel(
        "s3://mybucket/model.tar.gz",
        ROLE_ARN,
        str(script),
        framework_version="1.2-1",
        name="mine",
        sagemaker_session=session,
    )

    shown = model.deploy(1, "ml.m5.large", dry_run=True)

    container = shown.requests["CreateModel"]["PrimaryContainer"]
    assert container["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"].endswith("/mine/sourcedir.tar.gz")
    assert container["ModelDataUrl"] == "s3://mybucket/model.tar.gz"
    assert "PutObject" not in aws.operations()
