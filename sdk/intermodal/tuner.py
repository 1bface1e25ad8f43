"""Hyperparameter tuning: many training jobs, each with other hyperparameters, and the best one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from intermodal.estimator_base import EstimatorBase
from intermodal.jobs import Job, JobKind
from intermodal.names import base_name_from_image, short_name_from_base
from intermodal.parameter import (
    CategoricalParameter,
    ContinuousParameter,
    IntegerParameter,
    ParameterRange,
)
from intermodal.training_options import Tags
from intermodal.tuned_estimator import TunedEstimator, tuner_arguments
from intermodal.tuner_configs import (
    HyperbandStrategyConfig,
    InstanceConfig,
    StrategyConfig,
    TuningJobCompletionCriteriaConfig,
    WarmStartConfig,
    WarmStartTypes,
)
from intermodal.tuning_request import (
    NAME_LIMIT,
    checked_channels,
    training_request,
    tuning_request,
)
from intermodal.which_session import session_for

if TYPE_CHECKING:
    from intermodal.session import Session

__all__ = [
    "CategoricalParameter",
    "ContinuousParameter",
    "HyperbandStrategyConfig",
    "HyperparameterTuner",
    "InstanceConfig",
    "IntegerParameter",
    "ParameterRange",
    "StrategyConfig",
    "TuningJob",
    "TuningJobCompletionCriteriaConfig",
    "WarmStartConfig",
    "WarmStartTypes",
]


class TuningJob(Job):
    """A tuning job that was started here or found again."""

    kind: ClassVar[JobKind] = JobKind(
        "tuning job", "HyperParameterTuningJob", "hyper_parameter_tuning_job"
    )


class HyperparameterTuner:
    """Searches the hyperparameters that make an estimator's metric best.

    Args:
        estimator: what trains.
        objective_metric_name: the metric.
        hyperparameter_ranges: what hyperparameters are chosen from, by name.
        metric_definitions: `[{"Name": …, "Regex": …}]`, read from the log.
        strategy: `Bayesian`, `Random`, `Hyperband` or `Grid`.
        objective_type: `Maximize` or `Minimize`.
        max_jobs: training jobs in all; 1 where `None`, and with `Grid` as many as it takes.
        max_parallel_jobs: training jobs at a time.
        max_runtime_in_seconds: of the whole tuning job.
        tags: of the job, beside the estimator's own.
        base_tuning_job_name: what job names begin with; the image's name where `None`.
        warm_start_config: earlier jobs that this one learns from.
        strategy_config: settings of the strategy.
        completion_criteria_config: when it ends early.
        early_stopping_type: `Auto` stops training jobs that promise nothing.
        estimator_name: the estimator's, among several; see `create`.
        random_seed: the same seed searches in the same order.
        autotune: the service chooses ranges for what has none.
        hyperparameters_to_keep_static: what `autotune` leaves alone.

    Attributes:
        latest_tuning_job: the one that was started or attached to last.
    """

    def __init__(
        self,
        estimator: EstimatorBase,
        objective_metric_name: str,
        hyperparameter_ranges: Mapping[str, ParameterRange] | None,
        metric_definitions: Sequence[Mapping[str, str]] | None = None,
        strategy: str = "Bayesian",
        objective_type: str = "Maximize",
        max_jobs: int | None = None,
        max_parallel_jobs: int = 1,
        max_runtime_in_seconds: int | None = None,
        tags: Tags | None = None,
        base_tuning_job_name: str | None = None,
        warm_start_config: WarmStartConfig | None = None,
        strategy_config: StrategyConfig | None = None,
        completion_criteria_config: TuningJobCompletionCriteriaConfig | None = None,
        early_stopping_type: str = "Off",
        estimator_name: str | None = None,
        random_seed: int | None = None,
        autotune: bool = False,
        hyperparameters_to_keep_static: Sequence[str] | None = None,
    ) -> None:
        self.tuned = [
            TunedEstimator(
                estimator,
                objective_metric_name,
                dict(hyperparameter_ranges or {}),
                metric_definitions,
                estimator_name,
                hyperparameters_to_keep_static,
            )
        ]
        self.strategy = strategy
        self.objective_type = objective_type
        self.max_jobs = 1 if max_jobs is None and strategy != "Grid" else max_jobs
        self.max_parallel_jobs = max_parallel_jobs
        self.max_runtime_in_seconds = max_runtime_in_seconds
        self.tags = tags
        self.base_tuning_job_name = base_tuning_job_name
        self.warm_start_config = warm_start_config
        self.strategy_config = strategy_config
        self.completion_criteria_config = completion_criteria_config
        self.early_stopping_type = early_stopping_type
        self.random_seed = random_seed
        self.autotune = autotune
        self.latest_tuning_job: TuningJob | None = None

    @classmethod
    def create(
        cls,
        estimator_dict: Mapping[str, EstimatorBase],
        objective_metric_name_dict: Mapping[str, str],
        hyperparameter_ranges_dict: Mapping[str, Mapping[str, ParameterRange]],
        metric_definitions_dict: Mapping[str, Sequence[Mapping[str, str]]] | None = None,
        hyperparameters_to_keep_static_dict: Mapping[str, Sequence[str]] | None = None,
        **options: Any,
    ) -> Self:
        """A tuner that searches among several estimators too.

        Args:
            estimator_dict: the estimators, by a name of their own.
            objective_metric_name_dict: by the same names.
            hyperparameter_ranges_dict: by the same names.
            metric_definitions_dict: by those of the names that need any.
            hyperparameters_to_keep_static_dict: by those of the names that need any.
            options: everything else of `HyperparameterTuner`.

        Raises:
            ValueError: the names are not the same.
        """
        for argument, given in (
            ("objective_metric_name_dict", objective_metric_name_dict),
            ("hyperparameter_ranges_dict", hyperparameter_ranges_dict),
        ):
            if set(given) != set(estimator_dict):
                raise ValueError(
                    f"`{argument}` has {sorted(given)}, `estimator_dict` {sorted(estimator_dict)}"
                )
        tuners = [
            cls(
                estimator_dict[name],
                objective_metric_name_dict[name],
                hyperparameter_ranges_dict[name],
                (metric_definitions_dict or {}).get(name),
                estimator_name=name,
                hyperparameters_to_keep_static=(hyperparameters_to_keep_static_dict or {}).get(
                    name
                ),
                **options,
            )
            for name in sorted(estimator_dict)
        ]
        if not tuners:
            raise ValueError("`estimator_dict` is empty: which estimators?")
        tuners[0].tuned = [one for tuner in tuners for one in tuner.tuned]
        return tuners[0]

    @property
    def sagemaker_session(self) -> "Session":
        """The first estimator's session."""
        return self.tuned[0].estimator.sagemaker_session

    @property
    def estimator(self) -> EstimatorBase | None:
        """The estimator, where it is the only one and has no name."""
        return self.tuned[0].estimator if self.tuned[0].name is None else None

    def override_resource_config(
        self,
        instance_configs: Sequence[InstanceConfig] | Mapping[str, Sequence[InstanceConfig]],
    ) -> None:
        """Give training jobs one of several kinds of instances.

        Args:
            instance_configs: in the order of preference; by estimator's name where there are some.
        """
        for one in self.tuned:
            if not isinstance(instance_configs, Mapping):
                one.instance_configs = instance_configs
            elif one.name in instance_configs:
                one.instance_configs = instance_configs[str(one.name)]

    def fit(
        self,
        inputs: Any = None,
        job_name: str | None = None,
        include_cls_metadata: bool | Mapping[str, bool] = False,
        estimator_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
        wait: bool = True,
    ) -> None:
        """Tune.

        Args:
            inputs: as `Estimator.fit` takes them; by estimator's name where they have names.
            job_name: made from `base_tuning_job_name` or the image's name where `None`.
            include_cls_metadata: whether the job remembers the estimator's class, so that `attach`
                finds it; that of a framework is always remembered.
            estimator_kwargs: must be empty; it is for the vendor's built-in algorithms.
            wait: until the job has ended.

        Raises:
            InvalidArgumentsError: arguments that AWS would refuse; nothing was uploaded or started.
            JobFailedError: the job failed, and `wait` was asked for.
        """
        if estimator_kwargs:
            raise TypeError("`estimator_kwargs` is for the vendor's built-in algorithms only")
        channels = checked_channels(self, inputs, job_name)
        first = self.tuned[0].estimator
        base = self.base_tuning_job_name or base_name_from_image(first.training_image_uri())
        name = job_name or short_name_from_base(base, NAME_LIMIT)
        training = [
            training_request(one, job_name, wanted)
            for one, wanted in zip(self.tuned, channels, strict=True)
        ]
        request = tuning_request(self, name, training, include_cls_metadata)
        client = self.sagemaker_session.sagemaker_client
        client.create_hyper_parameter_tuning_job(**request)
        self.latest_tuning_job = TuningJob(self.sagemaker_session, name)
        if wait:
            self.latest_tuning_job.wait()

    @classmethod
    def attach(
        cls,
        tuning_job_name: str,
        sagemaker_session: "Session | None" = None,
        job_details: Mapping[str, Any] | None = None,
        estimator_cls: Any = None,
    ) -> Self:
        """A tuner of a job that was started elsewhere.

        Args:
            tuning_job_name: the job.
            sagemaker_session: boto3's own resolution where `None`.
            job_details: the job's description where it is at hand.
            estimator_cls: the estimator's class or its dotted name, or these by estimator's name;
                as the job remembers it where `None`.
        """
        session = session_for(None, sagemaker_session)
        job = TuningJob(session, tuning_job_name)
        described = job_details or job.describe()
        one = described.get("TrainingJobDefinition")
        tuners = [
            cls(**tuner_arguments(described, definition, session, estimator_cls))
            for definition in ([one] if one else described["TrainingJobDefinitions"])
        ]
        tuners[0].tuned = [each for tuner in tuners for each in tuner.tuned]
        tuners[0].latest_tuning_job = job
        return tuners[0]

    # What came of it

    def wait(self) -> None:
        """Wait until the latest job has ended.

        Raises:
            JobFailedError: it failed.
        """
        self._latest().wait()

    def stop_tuning_job(self) -> None:
        """Ask the latest job to stop."""
        self._latest().stop()

    def describe(self) -> dict[str, Any]:
        """DescribeHyperParameterTuningJob of the latest job."""
        return self._latest().describe()

    def best_training_job(self) -> str:
        """The name of the best training job so far.

        Raises:
            ValueError: there is none yet.
        """
        return str(self._best()["TrainingJobName"])

    def best_estimator(self, best_training_job: Mapping[str, Any] | None = None) -> EstimatorBase:
        """An estimator that is attached to the best training job.

        Args:
            best_training_job: `BestTrainingJob` of the description where it is at hand.
        """
        best = best_training_job or self._best()
        name = best.get("TrainingJobDefinitionName")
        named = [one for one in self.tuned if one.name == name]
        estimator = (named or self.tuned)[0].estimator
        return estimator.attach(best["TrainingJobName"], self.sagemaker_session)

    def deploy(
        self,
        initial_instance_count: int | None = None,
        instance_type: str | None = None,
        serializer: Any = None,
        deserializer: Any = None,
        accelerator_type: str | None = None,
        endpoint_name: str | None = None,
        wait: bool = True,
        **arguments: Any,
    ) -> Any:
        """Deploy the best model; see `Estimator.deploy`."""
        best = self._best()
        return self.best_estimator(best).deploy(
            initial_instance_count,
            instance_type,
            serializer,
            deserializer,
            endpoint_name=endpoint_name or best["TrainingJobName"],
            wait=wait,
            accelerator_type=accelerator_type,
            **arguments,
        )

    def transfer_learning_tuner(
        self,
        additional_parents: Sequence[str] | None = None,
        estimator: EstimatorBase | None = None,
    ) -> Self:
        """A tuner that learns from this one's latest job, perhaps for another estimator."""
        return self._warm(WarmStartTypes.TRANSFER_LEARNING, additional_parents, estimator)

    def identical_dataset_and_algorithm_tuner(
        self, additional_parents: Sequence[str] | None = None
    ) -> Self:
        """A tuner that goes on where this one's latest job ended."""
        kind = WarmStartTypes.IDENTICAL_DATA_AND_ALGORITHM
        return self._warm(kind, additional_parents, None)

    def _best(self) -> dict[str, Any]:
        best = self.describe().get("BestTrainingJob")
        if not best:
            raise ValueError(
                f"tuning job `{self._latest().name}` has no best training job yet"
                "\nhint: wait for it with wait(); a training job counts once it has "
                "reported the objective's metric"
            )
        return dict(best)

    def _latest(self) -> TuningJob:
        if self.latest_tuning_job is None:
            raise ValueError("no tuning job was started yet; call fit() first")
        return self.latest_tuning_job

    def _warm(
        self,
        kind: WarmStartTypes,
        additional_parents: Sequence[str] | None,
        estimator: EstimatorBase | None,
    ) -> Self:
        if len(self.tuned) > 1:
            raise ValueError("a tuner of several estimators cannot be started warm")
        one = self.tuned[0]
        return type(self)(
            estimator or one.estimator,
            one.objective_metric_name,
            one.ranges,
            one.metric_definitions,
            self.strategy,
            self.objective_type,
            self.max_jobs,
            self.max_parallel_jobs,
            self.max_runtime_in_seconds,
            warm_start_config=WarmStartConfig(
                kind, {self._latest().name, *(additional_parents or ())}
            ),
            strategy_config=self.strategy_config,
            completion_criteria_config=self.completion_criteria_config,
            early_stopping_type=self.early_stopping_type,
            estimator_name=one.name,
            random_seed=self.random_seed,
        )
