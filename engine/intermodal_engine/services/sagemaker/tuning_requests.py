"""What a tuning job may ask for: definitions, ranges, strategies, parents."""

from collections.abc import Mapping
from typing import Any

from intermodal_contract.statuses import TuningJobStatus, is_terminal
from intermodal_engine.lifecycle.tuning.job import KIND
from intermodal_engine.lifecycle.tuning.parameters import (
    Categorical,
    InvalidRangeError,
    Parameter,
    parameters_of,
)
from intermodal_engine.lifecycle.tuning.search import seen_of
from intermodal_engine.lifecycle.tuning.strategies import (
    NoOptimizerError,
    check_optimizer,
    grid_size,
)
from intermodal_engine.lifecycle.tuning.trials import (
    OBJECTIVE_HYPERPARAMETER,
    Trial,
    definitions_of,
    objective_of,
    ranges_of,
    training_request,
)
from intermodal_engine.services.answers import not_served
from intermodal_engine.services.call import Call, Parameters
from intermodal_engine.services.sagemaker.resources import (
    invalid,
)
from intermodal_engine.services.sagemaker.training_jobs import check_request
from intermodal_engine.store.records import Record, RecordNotFoundError
from intermodal_engine.wire.errors import ServiceError


def find_tuning_job(call: Call, name: str) -> Record:
    """A tuning job's record.

    Raises:
        ServiceError: there is none.
    """
    try:
        return call.backends.records.get(KIND, name)
    except RecordNotFoundError as error:
        raise ServiceError(
            "ResourceNotFound",
            "Amazon SageMaker can't find a tuning job with the name "
            f"{name}. Review the name and try again.",
        ) from error


def check(call: Call, parameters: Parameters) -> None:
    """Refuses what the service refuses, then what only this engine cannot do.

    Raises:
        ServiceError: naming it.
    """
    config = parameters["HyperParameterTuningJobConfig"]
    if ("TrainingJobDefinition" in parameters) == ("TrainingJobDefinitions" in parameters):
        raise invalid(
            "You must specify exactly one of `TrainingJobDefinition` and `TrainingJobDefinitions`"
        )
    if "Autotune" in parameters:
        raise not_served("`Autotune`", "give `ParameterRanges` and a `Strategy`")
    converged = config.get("TuningJobCompletionCriteria", {}).get("ConvergenceDetected", {})
    if converged.get("CompleteOnConvergence") == "Enabled":
        raise not_served("`ConvergenceDetected`", "use `BestObjectiveNotImproving`")
    definitions = definitions_of(parameters)
    names = [one.get("DefinitionName") for one in definitions]
    if len(definitions) > 1 and (None in names or len(set(names)) < len(names)):
        raise invalid(
            "Each of several training job definitions needs a `DefinitionName` of its own"
        )
    if len({objective_of(parameters, one).get("Type") for one in definitions}) > 1:
        raise invalid("All training job definitions must have the same Type of objective")
    for index, definition in enumerate(definitions):
        found = _check_definition(parameters, definition)
        values = {one.name: one.text_at(0.5) for one in found}
        example = training_request(parameters, Trial(1, "example", index, values))
        check_request(call, example)
    _check_strategy(parameters)


def _check_definition(parameters: Parameters, definition: Mapping[str, Any]) -> list[Parameter]:
    objective = objective_of(parameters, definition)
    if not objective:
        raise invalid("You must specify the objective metric of the tuning job")
    if (
        "ResourceConfig" not in definition
        and "HyperParameterTuningResourceConfig" not in definition
    ):
        raise invalid("You must specify `ResourceConfig` or `HyperParameterTuningResourceConfig`")
    ranges = ranges_of(parameters, definition)
    if ranges.get("AutoParameters"):
        raise not_served("`AutoParameters`", "give each hyperparameter a range")
    try:
        found = parameters_of(ranges)
    except InvalidRangeError as error:
        raise invalid(str(error)) from error
    if OBJECTIVE_HYPERPARAMETER in {one.name for one in found}:
        raise invalid(f"The hyperparameter {OBJECTIVE_HYPERPARAMETER} is the service's own")
    both = sorted({one.name for one in found} & set(definition.get("StaticHyperParameters", {})))
    if both:
        raise invalid(f"Hyperparameters are both static and tuned: {', '.join(both)}")
    metrics = definition["AlgorithmSpecification"].get("MetricDefinitions", [])
    if objective["MetricName"] not in [one["Name"] for one in metrics]:
        raise invalid(
            f"The objective metric {objective['MetricName']} has no MetricDefinition in the "
            "AlgorithmSpecification: nothing would tell its value"
        )
    return found


def _check_strategy(parameters: Parameters) -> None:
    config = parameters["HyperParameterTuningJobConfig"]
    strategy, limits = config["Strategy"], config["ResourceLimits"]
    if strategy == "Grid":
        _check_grid(parameters, limits)
    elif "MaxNumberOfTrainingJobs" not in limits:
        raise invalid(f"MaxNumberOfTrainingJobs is required for the strategy {strategy}")
    if limits.get("MaxNumberOfTrainingJobs", 1 << 30) < limits["MaxParallelTrainingJobs"]:
        raise invalid(
            "MaxParallelTrainingJobs must not be greater than MaxNumberOfTrainingJobs: "
            f"{limits['MaxParallelTrainingJobs']}"
        )
    if strategy == "Hyperband":
        _check_hyperband(config)
    if strategy == "Bayesian":
        try:
            check_optimizer()
        except NoOptimizerError as error:
            raise ServiceError("NotImplementedException", str(error)) from error


def _check_grid(parameters: Parameters, limits: Mapping[str, Any]) -> None:
    if "TrainingJobDefinitions" in parameters:
        raise not_served("the strategy `Grid` with several definitions", "tune each by itself")
    found = parameters_of(ranges_of(parameters, parameters["TrainingJobDefinition"]))
    if not all(isinstance(one, Categorical) for one in found):
        raise invalid("The strategy Grid supports only categorical hyperparameters")
    size, most = grid_size(found), limits.get("MaxNumberOfTrainingJobs")
    if most is not None and most != size:
        raise invalid(
            f"MaxNumberOfTrainingJobs must be left out for the strategy Grid or be {size}, the "
            f"number of combinations: {most}"
        )


def _check_hyperband(config: Mapping[str, Any]) -> None:
    given = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
    least, most = given.get("MinResource"), given.get("MaxResource")
    if least is None or most is None or least >= most:
        raise invalid(
            "HyperbandStrategyConfig needs a MinResource that is less than its MaxResource: the "
            "values of the objective that a training job reports"
        )
    if config.get("TrainingJobEarlyStoppingType") == "Auto":
        raise invalid("TrainingJobEarlyStoppingType must be Off for the strategy Hyperband")


def parents_of(call: Call, parameters: Parameters) -> dict[str, Any]:
    """What earlier tuning jobs have found, by definition, for a warm start.

    Raises:
        ServiceError: one cannot be started from.
    """
    warm = parameters.get("WarmStartConfig")
    if warm is None:
        return {}
    if "TrainingJobDefinitions" in parameters:
        raise invalid("WarmStartConfig cannot be used with TrainingJobDefinitions")
    if parameters["HyperParameterTuningJobConfig"]["Strategy"] != "Bayesian":
        raise invalid("WarmStartConfig needs the strategy Bayesian")
    seen: list[dict[str, Any]] = []
    for parent in warm["ParentHyperParameterTuningJobs"]:
        record = find_tuning_job(call, parent["HyperParameterTuningJobName"])
        if not is_terminal(TuningJobStatus(record.status)):
            raise invalid(f"The parent tuning job {record.name} has not ended: {record.status}")
        if warm["WarmStartType"] == "IdenticalDataAndAlgorithm":
            _check_identical(parameters, record)
        seen += record.state["parents"].get("0", []) + seen_of(record)
    return {"0": seen}


def _check_identical(parameters: Parameters, parent: Record) -> None:
    own, other = parameters["TrainingJobDefinition"], definitions_of(parent.request)[0]
    for member in ("AlgorithmSpecification", "InputDataConfig"):
        if own.get(member) != other.get(member):
            raise invalid(
                f"{member} differs from that of the parent tuning job {parent.name}: the "
                "WarmStartType IdenticalDataAndAlgorithm allows no other; use TransferLearning"
            )
