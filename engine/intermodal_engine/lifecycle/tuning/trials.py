"""The trials of a tuning job: what is kept of each, and the training job that it is."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from intermodal_contract.statuses import TrainingJobStatus
from intermodal_engine.lifecycle.tuning.strategies import Values
from intermodal_engine.store.records import Record

OBJECTIVE_HYPERPARAMETER = "_tuning_objective_metric"
"""Tells a training job which metric counts."""

_NAME_LIMIT = 32
_CARRIED_OVER = (
    "RoleArn",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "RetryStrategy",
    "Environment",
)


@dataclass(slots=True)
class Trial:
    """One trial, as it is kept in the tuning job's record.

    Attributes:
        number: 1 for the first.
        name: of its training job.
        definition: position of its training job definition.
        values: what is tuned.
        status: the training job's, once it has ended.
        objective: what it reached, once it has ended.
        failure_reason: the training job's.
    """

    number: int
    name: str
    definition: int
    values: Values
    status: str | None = None
    objective: float | None = None
    failure_reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether its training job has not ended, as far as is known."""
        return self.status is None

    @property
    def is_success(self) -> bool:
        """Whether it has an objective that counts."""
        return self.objective is not None and self.status != TrainingJobStatus.FAILED


def trials_of(record: Record) -> list[Trial]:
    """Those of a tuning job, in order."""
    return [Trial(**one) for one in record.state["trials"]]


def dump(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """The form in which `trials_of` reads them."""
    return [asdict(one) for one in trials]


def definitions_of(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The training job definitions of a tuning job: one, or several with names."""
    several: list[dict[str, Any]] = request.get("TrainingJobDefinitions", [])
    return several or [request["TrainingJobDefinition"]]


def ranges_of(request: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, Any]:
    """What of a definition is tuned."""
    config = request["HyperParameterTuningJobConfig"]
    found: dict[str, Any] = definition.get("HyperParameterRanges") or config.get(
        "ParameterRanges", {}
    )
    return found


def objective_of(request: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, str]:
    """`Type` and `MetricName` of what a definition is tuned for."""
    config = request["HyperParameterTuningJobConfig"]
    found: dict[str, str] = (
        definition.get("TuningObjective") or config.get("HyperParameterTuningJobObjective") or {}
    )
    return found


def training_job_name(tuning_job: str, number: int) -> str:
    """The name of a trial's training job, as AWS writes it; the same at each asking."""
    digest = hashlib.sha256(f"{tuning_job}/{number}".encode()).hexdigest()[:8]
    return f"{tuning_job[:_NAME_LIMIT]}-{number:03d}-{digest}"


def training_request(request: Mapping[str, Any], trial: Trial) -> dict[str, Any]:
    """The parameters of CreateTrainingJob for a trial."""
    definition = definitions_of(request)[trial.definition]
    training = {name: definition[name] for name in _CARRIED_OVER if name in definition}
    objective = objective_of(request, definition)["MetricName"]
    training |= {
        "TrainingJobName": trial.name,
        "AlgorithmSpecification": dict(definition["AlgorithmSpecification"]),
        "HyperParameters": {
            **definition.get("StaticHyperParameters", {}),
            **trial.values,
            OBJECTIVE_HYPERPARAMETER: objective,
        },
        "ResourceConfig": resources_of(definition),
    }
    if "CheckpointConfig" in definition:
        # Trials do not go on from one another's checkpoints.
        uri = definition["CheckpointConfig"]["S3Uri"].rstrip("/")
        training["CheckpointConfig"] = {
            **definition["CheckpointConfig"],
            "S3Uri": f"{uri}/{trial.name}",
        }
    return training


def resources_of(definition: Mapping[str, Any]) -> dict[str, Any]:
    """`ResourceConfig`, or what is preferred in `HyperParameterTuningResourceConfig`."""
    flexible = definition.get("HyperParameterTuningResourceConfig")
    if flexible is None:
        return dict(definition["ResourceConfig"])
    first = (flexible.get("InstanceConfigs") or [flexible])[0]
    wanted = {**flexible, **first}
    names = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
    return {"VolumeSizeInGB": 1, **{name: wanted[name] for name in names if name in wanted}}


def best_of(trials: Sequence[Trial], *, is_maximized: bool) -> Trial | None:
    """The trial that reached the best objective; the earliest of equals."""
    found = [one for one in trials if one.is_success]
    sign = -1.0 if is_maximized else 1.0
    return min(found, key=lambda one: (sign * (one.objective or 0.0), one.number), default=None)
