"""What users of hyperparameter tuning write, as the vendor's SDK v2 was recorded running it."""

from collections.abc import Callable
from pathlib import Path

from intermodal import Session
from intermodal.estimator import Estimator
from intermodal.inputs import TrainingInput
from intermodal.pytorch import PyTorch
from intermodal.tuner import (
    CategoricalParameter,
    ContinuousParameter,
    HyperbandStrategyConfig,
    HyperparameterTuner,
    InstanceConfig,
    IntegerParameter,
    StrategyConfig,
    TuningJobCompletionCriteriaConfig,
    WarmStartConfig,
    WarmStartTypes,
)

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
IMAGE = "123456789012.dkr.ecr.us-west-2.amazonaws.com/my-train:1.0"
METRICS = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]


def tuner(session: Session, project: Path) -> None:
    estimator = PyTorch(
        "train.py",
        role=ROLE,
        framework_version="2.2.0",
        py_version="py310",
        instance_count=1,
        instance_type="ml.m5.large",
        hyperparameters={"epochs": 3, "lr": 0.1},
        tags=[{"Key": "team", "Value": "ml"}],
        sagemaker_session=session,
    )
    search = HyperparameterTuner(
        estimator,
        "loss",
        {
            "lr": ContinuousParameter(0.001, 0.1, scaling_type="Logarithmic"),
            "layers": IntegerParameter(1, 4),
            "kind": CategoricalParameter(["sgd", "adam"]),
        },
        METRICS,
        objective_type="Minimize",
        max_jobs=4,
        max_parallel_jobs=2,
        early_stopping_type="Auto",
        random_seed=7,
        tags=[{"Key": "k", "Value": "v"}],
    )
    search.fit({"train": "s3://mybucket/d"})


def tuner_of_a_plain_image(session: Session, project: Path) -> None:
    estimator = Estimator(
        IMAGE,
        ROLE,
        2,
        "ml.m5.large",
        hyperparameters={"a": 1, "b": 2},
        output_path="s3://mybucket/out",
        use_spot_instances=True,
        max_run=100,
        max_wait=200,
        checkpoint_s3_uri="s3://mybucket/c",
        subnets=["subnet-1"],
        security_group_ids=["sg-1"],
        encrypt_inter_container_traffic=True,
        environment={"A": "1"},
        max_retry_attempts=2,
        volume_kms_key="volume-key",
        sagemaker_session=session,
    )
    search = HyperparameterTuner(
        estimator,
        "loss",
        {"a": IntegerParameter(1, 4), "c": CategoricalParameter(["x", 2])},
        METRICS,
        strategy="Random",
        max_runtime_in_seconds=3600,
        base_tuning_job_name="search",
        warm_start_config=WarmStartConfig(WarmStartTypes.TRANSFER_LEARNING, {"earlier"}),
        completion_criteria_config=TuningJobCompletionCriteriaConfig(5, True, 0.1),
    )
    search.fit(TrainingInput("s3://mybucket/d", content_type="text/csv"))


def tuner_with_hyperband(session: Session, project: Path) -> None:
    estimator = Estimator(IMAGE, ROLE, 1, "ml.m5.large", sagemaker_session=session)
    search = HyperparameterTuner(
        estimator,
        "loss",
        {"a": IntegerParameter(1, 4)},
        METRICS,
        strategy="Hyperband",
        strategy_config=StrategyConfig(HyperbandStrategyConfig(max_resource=10, min_resource=1)),
        max_jobs=3,
    )
    search.override_resource_config(
        [InstanceConfig(1, "ml.m5.large", 40), InstanceConfig(1, "ml.m5.xlarge", 40)]
    )
    search.fit("s3://mybucket/d", job_name="named", include_cls_metadata=False)


def tuner_with_autotune(session: Session, project: Path) -> None:
    estimator = Estimator(
        IMAGE,
        ROLE,
        1,
        "ml.m5.large",
        hyperparameters={"a": 1, "b": 2, "c": 3},
        sagemaker_session=session,
    )
    search = HyperparameterTuner(
        estimator,
        "loss",
        {"a": IntegerParameter(1, 4)},
        METRICS,
        max_jobs=2,
        autotune=True,
        hyperparameters_to_keep_static=["b"],
    )
    search.fit("s3://mybucket/d")


def tuner_of_two(session: Session, project: Path) -> None:
    def estimator(script: str) -> PyTorch:
        return PyTorch(
            script,
            role=ROLE,
            framework_version="2.2.0",
            py_version="py310",
            instance_count=1,
            instance_type="ml.m5.large",
            sagemaker_session=session,
        )

    search = HyperparameterTuner.create(
        estimator_dict={"one": estimator("train.py"), "two": estimator("process.py")},
        objective_metric_name_dict={"one": "loss", "two": "loss"},
        hyperparameter_ranges_dict={
            "one": {"lr": ContinuousParameter(0.001, 0.1)},
            "two": {"kind": CategoricalParameter(["sgd", "adam"])},
        },
        metric_definitions_dict={"one": METRICS, "two": METRICS},
        max_jobs=4,
    )
    search.fit({"one": "s3://mybucket/d", "two": "s3://mybucket/e"}, include_cls_metadata={})


PROGRAMS: list[Callable[[Session, Path], None]] = [
    tuner,
    tuner_of_a_plain_image,
    tuner_with_hyperband,
    tuner_with_autotune,
    tuner_of_two,
]
