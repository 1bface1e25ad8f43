"""Tuners: what they refuse, attach to, deploy, and start warm."""

from pathlib import Path
from typing import Any

import pytest

from intermodal import Session
from intermodal.errors import InvalidArgumentsError, JobFailedError
from intermodal.estimator import Estimator
from intermodal.pytorch import PyTorch
from intermodal.tuner import (
    CategoricalParameter,
    ContinuousParameter,
    HyperparameterTuner,
    IntegerParameter,
    TuningJobCompletionCriteriaConfig,
    WarmStartConfig,
    WarmStartTypes,
)
from tests.helpers.fake_aws import ROLE_ARN, FakeAws

METRICS = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]


@pytest.fixture
def estimator(session: Session, script: Path) -> PyTorch:
    return PyTorch(
        str(script),
        role=ROLE_ARN,
        framework_version="2.2.0",
        instance_count=1,
        instance_type="ml.m5.large",
        hyperparameters={"lr": 0.1, "epochs": 2},
        sagemaker_session=session,
    )


def tuner(estimator: PyTorch, **changes: Any) -> HyperparameterTuner:
    given: dict[str, Any] = {
        "objective_metric_name": "loss",
        "hyperparameter_ranges": {"lr": ContinuousParameter(0.01, 0.1)},
        "metric_definitions": METRICS,
        **changes,
    }
    return HyperparameterTuner(estimator, **given)


def test_all_that_is_wrong_is_told_before_anything_is_sent(
    aws: FakeAws, session: Session, script: Path
) -> None:
    estimator = PyTorch(
        str(script), framework_version="2.2.0", instance_count=0, sagemaker_session=session
    )
    search = tuner(
        estimator,
        objective_metric_name="accuracy",
        hyperparameter_ranges={
            "a": IntegerParameter(5, 1),
            "b": IntegerParameter(0.5, 1),
            "c": CategoricalParameter([]),
            "d": 7,
        },
        strategy="Guess",
        objective_type="Best",
        early_stopping_type="Now",
        max_jobs=0,
        max_parallel_jobs=0,
        hyperparameters_to_keep_static=["z"],
    )

    with pytest.raises(InvalidArgumentsError) as caught:
        search.fit("nowhere", job_name="n" * 33)

    said = "\n".join(caught.value.problems)
    for argument in (
        "job_name",
        "max_jobs",
        "max_parallel_jobs",
        "strategy",
        "objective_type",
        "early_stopping_type",
        "metric_definitions",
        "role",
        "instance_count",
        "instance_type",
        "inputs",
    ):
        assert f"`{argument}`: " in said
    assert "`a`: its `min_value`, 5, is above its `max_value`, 1" in said
    assert "`b`: 0.5 is no whole number" in said
    assert "`c`: it has no values" in said
    assert "`d`: is no parameter range" in said
    assert "`hyperparameters_to_keep_static`: is for `autotune=True`" in said
    assert "`z` is no hyperparameter of the estimator" in said
    assert aws.calls == []


def test_a_grid_is_of_values_alone(estimator: PyTorch) -> None:
    with pytest.raises(InvalidArgumentsError, match="`Grid` takes `CategoricalParameter` only"):
        tuner(estimator, strategy="Grid").fit("s3://mybucket/d")


def test_without_ranges_there_must_be_autotune(estimator: PyTorch) -> None:
    with pytest.raises(InvalidArgumentsError, match="give ranges, or `autotune=True`"):
        tuner(estimator, hyperparameter_ranges={}).fit("s3://mybucket/d")


def test_the_best_model_is_deployed(aws: FakeAws, estimator: PyTorch) -> None:
    estimator.fit("s3://mybucket/d", job_name="best-one", logs=False)
    search = tuner(estimator)
    search.fit("s3://mybucket/d")
    aws.best_training_job = "best-one"

    assert search.best_training_job() == "best-one"
    predictor = search.deploy(1, "ml.m5.large")

    assert predictor.endpoint_name == "best-one"


def test_before_a_training_job_has_reported_there_is_no_best_one(estimator: PyTorch) -> None:
    search = tuner(estimator)
    with pytest.raises(ValueError, match=r"call fit\(\) first"):
        search.best_training_job()
    search.fit("s3://mybucket/d", job_name="t")

    with pytest.raises(ValueError, match="`t` has no best training job yet"):
        search.best_training_job()


def test_a_failed_job_says_why(aws: FakeAws, estimator: PyTorch) -> None:
    aws.job_end, aws.job_reason = "Failed", "all training jobs failed"

    with pytest.raises(JobFailedError, match="tuning job `t` failed: all training jobs failed"):
        tuner(estimator).fit("s3://mybucket/d", job_name="t")


def test_a_job_is_attached_to_with_all_that_it_remembers(
    session: Session, estimator: PyTorch
) -> None:
    started = tuner(
        estimator,
        hyperparameter_ranges={
            "lr": ContinuousParameter(0.01, 0.1, "Logarithmic"),
            "layers": IntegerParameter(1, 3),
            "kind": CategoricalParameter(["a", "b"]),
        },
        objective_type="Minimize",
        max_jobs=9,
        warm_start_config=WarmStartConfig(WarmStartTypes.TRANSFER_LEARNING, {"earlier"}),
        completion_criteria_config=TuningJobCompletionCriteriaConfig(3, False, 0.5),
    )
    started.fit("s3://mybucket/d", job_name="t")

    found = HyperparameterTuner.attach("t", session)

    assert isinstance(found.estimator, PyTorch)
    assert found.estimator.framework_version == "2.2.0"
    assert found.estimator.hyperparameters() == {"epochs": 2}
    assert (found.max_jobs, found.objective_type) == (9, "Minimize")
    assert found.completion_criteria_config == started.completion_criteria_config
    assert found.warm_start_config is not None
    assert found.warm_start_config.parents == {"earlier"}
    assert set(found.tuned[0].ranges) == {"lr", "layers", "kind"}
    found.wait()
    found.stop_tuning_job()


def test_a_job_of_the_vendors_sdk_is_attached_to(aws: FakeAws, session: Session) -> None:
    plain = Estimator("img:1", ROLE_ARN, 1, "ml.m5.large", sagemaker_session=session)
    search = HyperparameterTuner(plain, "loss", {"a": IntegerParameter(1, 2)}, METRICS)
    search.fit("s3://mybucket/d", job_name="t")
    definition = aws.params("CreateHyperParameterTuningJob")["TrainingJobDefinition"]
    theirs = {
        "sagemaker_estimator_class_name": '"PyTorch"',
        "sagemaker_estimator_module": '"sagemaker.pytorch.estimator"',
        "_tuning_objective_metric": "loss",
    }
    details = {
        **search.describe(),
        "TrainingJobDefinition": {**definition, "StaticHyperParameters": theirs},
    }

    named = HyperparameterTuner.attach(
        "t", session, details, estimator_cls="intermodal.estimator.Estimator"
    )

    assert isinstance(named.estimator, Estimator)
    assert named.estimator.hyperparameters() == {}
    theirs["sagemaker_estimator_class_name"] = '"Chainer"'
    with pytest.raises(ValueError, match="is a `Chainer`, which is not known here"):
        HyperparameterTuner.attach("t", session, details)


def test_a_tuner_goes_on_where_another_ended(aws: FakeAws, estimator: PyTorch) -> None:
    search = tuner(estimator)
    search.fit("s3://mybucket/d", job_name="first")

    search.identical_dataset_and_algorithm_tuner(["other"]).fit("s3://mybucket/d")

    assert aws.params("CreateHyperParameterTuningJob")["WarmStartConfig"] == {
        "WarmStartType": "IdenticalDataAndAlgorithm",
        "ParentHyperParameterTuningJobs": [
            {"HyperParameterTuningJobName": "first"},
            {"HyperParameterTuningJobName": "other"},
        ],
    }
    search.transfer_learning_tuner(estimator=estimator).fit("s3://mybucket/d", wait=False)


def test_names_of_several_estimators_must_be_the_same(estimator: PyTorch) -> None:
    with pytest.raises(ValueError, match="`hyperparameter_ranges_dict` has"):
        HyperparameterTuner.create({"a": estimator}, {"a": "loss"}, {"b": {}})
