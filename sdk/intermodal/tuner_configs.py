"""How a tuning job searches, begins and ends, as its request has it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self


class WarmStartTypes(Enum):
    """What a tuning job takes from earlier ones."""

    IDENTICAL_DATA_AND_ALGORITHM = "IdenticalDataAndAlgorithm"
    TRANSFER_LEARNING = "TransferLearning"


class WarmStartConfig:
    """Earlier tuning jobs that this one learns from.

    Args:
        warm_start_type: whether data and algorithm are the same.
        parents: names of the earlier jobs.
    """

    def __init__(self, warm_start_type: WarmStartTypes, parents: Iterable[str]) -> None:
        self.type = WarmStartTypes(warm_start_type)
        self.parents = set(parents)
        if not self.parents:
            raise ValueError("`parents` is empty: which tuning jobs does this one learn from?")

    def request(self) -> dict[str, Any]:
        """`WarmStartConfig` as CreateHyperParameterTuningJob takes it."""
        return {
            "WarmStartType": self.type.value,
            "ParentHyperParameterTuningJobs": [
                {"HyperParameterTuningJobName": parent} for parent in sorted(self.parents)
            ],
        }

    @classmethod
    def described(cls, config: Mapping[str, Any] | None) -> Self | None:
        """What DescribeHyperParameterTuningJob tells."""
        if not config:
            return None
        parents = config["ParentHyperParameterTuningJobs"]
        return cls(
            WarmStartTypes(config["WarmStartType"]),
            [parent["HyperParameterTuningJobName"] for parent in parents],
        )


@dataclass
class HyperbandStrategyConfig:
    """How much the strategy `Hyperband` spends on one training job.

    Attributes:
        max_resource: the most, in what the training script counts, as epochs.
        min_resource: the least before a job is stopped.
    """

    max_resource: int
    min_resource: int

    def request(self) -> dict[str, Any]:
        """`HyperbandStrategyConfig` as CreateHyperParameterTuningJob takes it."""
        return {"MinResource": self.min_resource, "MaxResource": self.max_resource}


@dataclass
class StrategyConfig:
    """Settings of a strategy.

    Attributes:
        hyperband_strategy_config: of `Hyperband`.
    """

    hyperband_strategy_config: HyperbandStrategyConfig

    def request(self) -> dict[str, Any]:
        """`StrategyConfig` as CreateHyperParameterTuningJob takes it."""
        return {"HyperbandStrategyConfig": self.hyperband_strategy_config.request()}


@dataclass
class TuningJobCompletionCriteriaConfig:
    """When a tuning job ends before its last training job.

    Attributes:
        max_number_of_training_jobs_not_improving: after so many that were no better.
        complete_on_convergence: once no better is to be expected.
        target_objective_metric_value: once the objective has reached it.
    """

    max_number_of_training_jobs_not_improving: int | None = None
    complete_on_convergence: bool | None = None
    target_objective_metric_value: float | None = None

    def request(self) -> dict[str, Any]:
        """`TuningJobCompletionCriteria` as CreateHyperParameterTuningJob takes it."""
        request: dict[str, Any] = {}
        if self.max_number_of_training_jobs_not_improving is not None:
            count = self.max_number_of_training_jobs_not_improving
            request["BestObjectiveNotImproving"] = {"MaxNumberOfTrainingJobsNotImproving": count}
        if self.target_objective_metric_value is not None:
            request["TargetObjectiveMetricValue"] = self.target_objective_metric_value
        if self.complete_on_convergence is not None:
            word = "Enabled" if self.complete_on_convergence else "Disabled"
            request["ConvergenceDetected"] = {"CompleteOnConvergence": word}
        return request

    @classmethod
    def described(cls, criteria: Mapping[str, Any] | None) -> Self | None:
        """What DescribeHyperParameterTuningJob tells."""
        if not criteria:
            return None
        not_improving = criteria.get("BestObjectiveNotImproving", {})
        converged = criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence")
        return cls(
            not_improving.get("MaxNumberOfTrainingJobsNotImproving"),
            None if converged is None else converged == "Enabled",
            criteria.get("TargetObjectiveMetricValue"),
        )


@dataclass
class InstanceConfig:
    """Instances that training jobs may get, in the order of preference.

    Attributes:
        instance_count: how many.
        instance_type: as in `ml.m5.xlarge`.
        volume_size: GiB of storage an instance.
    """

    instance_count: int | None = None
    instance_type: str | None = None
    volume_size: int = 30

    def request(self) -> dict[str, Any]:
        """The entry as CreateHyperParameterTuningJob takes it."""
        return {
            "InstanceCount": self.instance_count,
            "InstanceType": self.instance_type,
            "VolumeSizeInGB": self.volume_size,
        }
