"""Hyperparameter tuning jobs: Create, Describe, List, Stop, Delete, and their training jobs.

https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning.html
"""

from collections import Counter
from collections.abc import Sequence

from intermodal_contract.statuses import TrainingJobStatus, TuningJobStatus, is_terminal
from intermodal_engine.lifecycle import training_instances
from intermodal_engine.lifecycle.attempt import JobEndedError, attempts_of
from intermodal_engine.lifecycle.tuning.job import KIND
from intermodal_engine.lifecycle.tuning.search import search_of
from intermodal_engine.lifecycle.tuning.trials import (
    OBJECTIVE_HYPERPARAMETER,
    Trial,
    best_of,
    definitions_of,
    objective_of,
    resources_of,
    trials_of,
)
from intermodal_engine.services.answers import page_of, when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.sagemaker.resources import (
    arn,
    copy_members,
    invalid,
    list_page,
    tags_of,
)
from intermodal_engine.services.sagemaker.tuning_requests import (
    check,
    find_tuning_job,
    parents_of,
)
from intermodal_engine.store.records import Record, RecordExistsError
from intermodal_engine.wire.errors import ServiceError


def create_hyper_parameter_tuning_job(call: Call, parameters: Parameters) -> Parameters:
    """Accepts a tuning job; its first training jobs begin as soon as the engine gets to it."""
    check(call, parameters)
    name = parameters["HyperParameterTuningJobName"]
    job_arn = arn(call, KIND, name)
    try:
        call.backends.tuning_jobs.create(
            parameters,
            arn=job_arn,
            training_arn=arn(call, training_instances.KIND, ""),
            tags=tags_of(parameters),
            parents=parents_of(call, parameters),
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
    record = find_tuning_job(call, parameters["HyperParameterTuningJobName"])
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
    record = find_tuning_job(call, parameters["HyperParameterTuningJobName"])
    found = [_training_job(call, record, one) for one in trials_of(record)]
    status = parameters.get("StatusEquals")
    found = [one for one in found if status in (None, one["TrainingJobStatus"])]
    is_descending = parameters.get("SortOrder", "Ascending") == "Descending"
    found = _sorted(found, parameters.get("SortBy", "Name"), is_descending=is_descending)
    limit = parameters.get("MaxResults", 10)
    page, more = page_of(found, parameters.get("NextToken"), limit, invalid)
    return {"TrainingJobSummaries": page, **more}


def stop_hyper_parameter_tuning_job(call: Call, parameters: Parameters) -> Parameters:
    """Begins to stop a tuning job; its running training jobs are stopped as well."""
    name = parameters["HyperParameterTuningJobName"]
    find_tuning_job(call, name)
    try:
        call.backends.tuning_jobs.stop(name)
    except JobEndedError as error:
        raise invalid(
            f"The request was rejected because the hyperparameter tuning job is in status {error}."
        ) from error
    return {}


def delete_hyper_parameter_tuning_job(call: Call, parameters: Parameters) -> Parameters:
    """Deletes a tuning job that has ended; its training jobs stay."""
    record = find_tuning_job(call, parameters["HyperParameterTuningJobName"])
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
