"""Hyperparameter tuning jobs: Create, Describe, List, Stop, Delete, and their training jobs.

https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning.html
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from intermodal_contract.statuses import TrainingJobStatus, TuningJobStatus, is_terminal
from intermodal_engine.lifecycle import training_instances
from intermodal_engine.lifecycle.attempt import JobEndedError, attempts_of
from intermodal_engine.lifecycle.tuning.job import KIND, search_of, seen_of
from intermodal_engine.lifecycle.tuning.parameters import (
    Categorical,
    InvalidRangeError,
    Parameter,
    parameters_of,
)
from intermodal_engine.lifecycle.tuning.strategies import (
    NoOptimizerError,
    check_optimizer,
    grid_size,
)
from intermodal_engine.lifecycle.tuning.trials import (
    OBJECTIVE_HYPERPARAMETER,
    Trial,
    best_of,
    definitions_of,
    objective_of,
    ranges_of,
    resources_of,
    training_request,
    trials_of,
)
from intermodal_engine.services.answers import not_served, when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.sagemaker.resources import (
    arn,
    copy_members,
    invalid,
    list_page,
    tags_of,
)
from intermodal_engine.services.sagemaker.training_jobs import check_request
from intermodal_engine.store.records import Record, RecordExistsError, RecordNotFoundError
from intermodal_engine.wire.errors import ServiceError


def create_hyper_parameter_tuning_job(call: Call, parameters: Parameters) -> Parameters:
    """Accepts a tuning job; its first training jobs begin as soon as the engine gets to it."""
    _check(call, parameters)
    name = parameters["HyperParameterTuningJobName"]
    job_arn = arn(call, KIND, name)
    try:
        call.backends.tuning_jobs.create(
            parameters,
            arn=job_arn,
            training_arn=arn(call, training_instances.KIND, ""),
            tags=tags_of(parameters),
            parents=_parents(call, parameters),
        )
    except RecordExistsError as error:
        raise ServiceError(
            "ResourceInUse",
            "Hyperparameter tuning job names must be unique within an AWS account and region, and "
            f"a tuning job with this name already exists ({job_arn})",
        ) from error
    return {"HyperParameterTuningJobArn": job_arn}


def describe_hyper_parameter_tuning_job(call: Call, parameters: Parameters) -> Parameters:
    """What a tuning job was asked for, how far it is, and the best training job so far."""
    record = _find(call, parameters["HyperParameterTuningJobName"])
    trials = trials_of(record)
    answer: Parameters = {
        **_summary(record),
        **copy_members(record.request, "HyperParameterTuningJobConfig", "WarmStartConfig"),
        **_described_definitions(record),
    }
    answer.pop("Strategy")
    answer.pop("ResourceLimits")
    objective = objective_of(record.request, definitions_of(record.request)[0])
    best = best_of(trials, is_maximized=objective.get("Type") == "Maximize")
    if best is not None:
        answer["BestTrainingJob"] = _training_job(call, record, best)
        if record.request.get("WarmStartConfig"):
            answer["OverallBestTrainingJob"] = _overall_best(call, record, best)
    if "failure_reason" in record.state:
        answer["FailureReason"] = record.state["failure_reason"]
    if best is not None:
        later = [one for one in trials if one.number > best.number and not one.is_open]
        answer["TuningJobCompletionDetails"] = {
            "NumberOfTrainingJobsObjectiveNotImproving": len(later)
        }
    return answer


def list_hyper_parameter_tuning_jobs(call: Call, parameters: Parameters) -> Parameters:
    """Tuning jobs, newest first unless asked otherwise."""
    return list_page(call, KIND, parameters, "HyperParameterTuningJobSummaries", _summary)


def list_training_jobs_for_hyper_parameter_tuning_job(
    call: Call, parameters: Parameters
) -> Parameters:
    """The training jobs of a tuning job with what each reached."""
    record = _find(call, parameters["HyperParameterTuningJobName"])
    found = [_training_job(call, record, one) for one in trials_of(record)]
    status = parameters.get("StatusEquals")
    found = [one for one in found if status in (None, one["TrainingJobStatus"])]
    is_descending = parameters.get("SortOrder", "Ascending") == "Descending"
    found = _sorted(found, parameters.get("SortBy", "Name"), is_descending=is_descending)
    token, limit = parameters.get("NextToken", "0"), parameters.get("MaxResults", 10)
    if not token.isdigit():
        raise invalid("The NextToken is not one that this listing gave")
    begin = int(token)
    answer: Parameters = {"TrainingJobSummaries": found[begin : begin + limit]}
    if len(found) > begin + limit:
        answer["NextToken"] = str(begin + limit)
    return answer


def stop_hyper_parameter_tuning_job(call: Call, parameters: Parameters) -> Parameters:
    """Begins to stop a tuning job; its running training jobs are stopped as well."""
    name = parameters["HyperParameterTuningJobName"]
    _find(call, name)
    try:
        call.backends.tuning_jobs.stop(name)
    except JobEndedError as error:
        raise invalid(
            f"The request was rejected because the hyperparameter tuning job is in status {error}."
        ) from error
    return {}


def delete_hyper_parameter_tuning_job(call: Call, parameters: Parameters) -> Parameters:
    """Deletes a tuning job that has ended; its training jobs stay."""
    record = _find(call, parameters["HyperParameterTuningJobName"])
    if not is_terminal(TuningJobStatus(record.status)):
        raise ServiceError(
            "ResourceInUse",
            f"The hyperparameter tuning job {record.name} is in status {record.status}: stop it, "
            "and delete it when it has ended.",
        )
    call.backends.records.delete(KIND, record.name)
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateHyperParameterTuningJob": create_hyper_parameter_tuning_job,
    "DescribeHyperParameterTuningJob": describe_hyper_parameter_tuning_job,
    "ListHyperParameterTuningJobs": list_hyper_parameter_tuning_jobs,
    "ListTrainingJobsForHyperParameterTuningJob": (
        list_training_jobs_for_hyper_parameter_tuning_job
    ),
    "StopHyperParameterTuningJob": stop_hyper_parameter_tuning_job,
    "DeleteHyperParameterTuningJob": delete_hyper_parameter_tuning_job,
}


def _find(call: Call, name: str) -> Record:
    try:
        return call.backends.records.get(KIND, name)
    except RecordNotFoundError as error:
        raise ServiceError(
            "ResourceNotFound",
            "Amazon SageMaker can't find a tuning job with the name "
            f"{name}. Review the name and try again.",
        ) from error


# What is asked for


def _check(call: Call, parameters: Parameters) -> None:
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


def _parents(call: Call, parameters: Parameters) -> dict[str, Any]:
    """What earlier tuning jobs have found, for a warm start."""
    warm = parameters.get("WarmStartConfig")
    if warm is None:
        return {}
    if "TrainingJobDefinitions" in parameters:
        raise invalid("WarmStartConfig cannot be used with TrainingJobDefinitions")
    if parameters["HyperParameterTuningJobConfig"]["Strategy"] != "Bayesian":
        raise invalid("WarmStartConfig needs the strategy Bayesian")
    seen: list[dict[str, Any]] = []
    for parent in warm["ParentHyperParameterTuningJobs"]:
        record = _find(call, parent["HyperParameterTuningJobName"])
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


# Answers


def _summary(record: Record) -> Parameters:
    config = record.request["HyperParameterTuningJobConfig"]
    trials = trials_of(record)
    answer: Parameters = {
        "HyperParameterTuningJobName": record.name,
        "HyperParameterTuningJobArn": record.arn,
        "HyperParameterTuningJobStatus": record.status,
        "Strategy": config["Strategy"],
        "CreationTime": when(record.created_at),
        "LastModifiedTime": when(record.modified_at),
        "TrainingJobStatusCounters": _status_counters(trials),
        "ObjectiveStatusCounters": _objective_counters(trials),
        "ResourceLimits": config["ResourceLimits"],
    }
    if "ended_at" in record.state:
        answer["HyperParameterTuningEndTime"] = when(record.state["ended_at"])
    return answer


def _described_definitions(record: Record) -> Parameters:
    """With what the service adds and the vendor's SDK reads: the objective, and the instances."""
    shown = []
    for one in definitions_of(record.request):
        metric = objective_of(record.request, one)["MetricName"]
        static = {**one.get("StaticHyperParameters", {}), OBJECTIVE_HYPERPARAMETER: metric}
        shown.append({**one, "StaticHyperParameters": static, "ResourceConfig": resources_of(one)})
    if "TrainingJobDefinitions" in record.request:
        return {"TrainingJobDefinitions": shown}
    return {"TrainingJobDefinition": shown[0]}


def _status_counters(trials: Sequence[Trial]) -> dict[str, int]:
    ended = Counter(one.status for one in trials)
    return {
        "Completed": ended[TrainingJobStatus.COMPLETED],
        "InProgress": ended[None],
        "RetryableError": 0,
        "NonRetryableError": ended[TrainingJobStatus.FAILED],
        "Stopped": ended[TrainingJobStatus.STOPPED],
    }


def _objective_counters(trials: Sequence[Trial]) -> dict[str, int]:
    found = Counter(_objective_status(one) for one in trials)
    return {word: found[word] for word in ("Succeeded", "Pending", "Failed")}


def _objective_status(trial: Trial) -> str:
    if trial.is_open:
        return "Pending"
    return "Succeeded" if trial.is_success else "Failed"


def _training_job(call: Call, record: Record, trial: Trial) -> Parameters:
    definition = definitions_of(record.request)[trial.definition]
    training = call.backends.records.find(training_instances.KIND, trial.name)
    answer: Parameters = {
        "TrainingJobName": trial.name,
        "TrainingJobArn": f"{record.state['training_arn']}{trial.name.lower()}",
        "TrainingJobStatus": trial.status or TrainingJobStatus.IN_PROGRESS,
        "CreationTime": when(record.created_at),
        "TunedHyperParameters": trial.values,
        "ObjectiveStatus": _objective_status(trial),
    }
    if "DefinitionName" in definition:
        answer["TrainingJobDefinitionName"] = definition["DefinitionName"]
    if trial.failure_reason is not None:
        answer["FailureReason"] = trial.failure_reason
    if trial.objective is not None:
        objective = objective_of(record.request, definition)
        answer["FinalHyperParameterTuningJobObjectiveMetric"] = {
            "Type": objective["Type"],
            "MetricName": objective["MetricName"],
            "Value": trial.objective,
        }
    if training is not None:
        answer["CreationTime"] = when(training.created_at)
        answer["TrainingJobStatus"] = training.status
        starts = [one.started_at for one in attempts_of(training.state) if one.started_at]
        if starts:
            answer["TrainingStartTime"] = when(starts[0])
        if "ended_at" in training.state:
            answer["TrainingEndTime"] = when(training.state["ended_at"])
    return answer


def _overall_best(call: Call, record: Record, best: Trial) -> Parameters:
    """The best of this tuning job and of those that it started from."""
    sign = -1.0 if search_of(record, 0).is_maximized else 1.0
    found = _training_job(call, record, best) | {"TuningJobName": record.name}
    value = sign * (best.objective or 0.0)
    for parent in record.request["WarmStartConfig"]["ParentHyperParameterTuningJobs"]:
        other = call.backends.records.find(KIND, parent["HyperParameterTuningJobName"])
        theirs = other and best_of(trials_of(other), is_maximized=sign < 0)
        if other and theirs and sign * (theirs.objective or 0.0) < value:
            value = sign * (theirs.objective or 0.0)
            found = _training_job(call, other, theirs) | {"TuningJobName": other.name}
    return found


def _sorted(found: list[Parameters], by: str, *, is_descending: bool) -> list[Parameters]:
    """In the order that is asked for; those without an objective come last."""
    if by == "FinalObjectiveMetricValue":
        member = "FinalHyperParameterTuningJobObjectiveMetric"
        valued = [one for one in found if member in one]
        valued.sort(key=lambda one: one[member]["Value"], reverse=is_descending)
        return valued + [one for one in found if member not in one]
    names = {
        "Name": "TrainingJobName",
        "CreationTime": "CreationTime",
        "Status": "TrainingJobStatus",
    }
    return sorted(found, key=lambda one: one[names[by]], reverse=is_descending)
