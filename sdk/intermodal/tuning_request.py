"""The exact CreateHyperParameterTuningJob request that a tuner means, and what AWS would refuse."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from intermodal.errors import InvalidArgumentsError
from intermodal.inputs import Channel
from intermodal.names import name_from_base
from intermodal.training_options import Findings, check_job_name
from intermodal.training_request import tag_list
from intermodal.tuned_estimator import TunedEstimator

if TYPE_CHECKING:
    from intermodal.tuner import HyperparameterTuner

NAME_LIMIT = 32
_WORDS: Mapping[str, tuple[str, ...]] = {
    "strategy": ("Bayesian", "Random", "Hyperband", "Grid"),
    "objective_type": ("Maximize", "Minimize"),
    "early_stopping_type": ("Off", "Auto"),
}


def checked_channels(
    tuner: "HyperparameterTuner", inputs: Any, job_name: str | None
) -> list[list[Channel]]:
    """The channels of each estimator that `fit(inputs)` means.

    Raises:
        InvalidArgumentsError: with everything that is wrong with the job.
    """
    findings = Findings({})
    if job_name is not None:
        check_job_name(findings, "job_name", job_name)
        if len(job_name) > NAME_LIMIT:
            findings.add("job_name", f"{len(job_name)} characters; AWS takes {NAME_LIMIT}")
    _check_limits(findings, tuner)
    for argument, known in _WORDS.items():
        value = getattr(tuner, argument)
        if value not in known:
            findings.add(argument, f"{value!r} is none of {', '.join(known)}")
    if tuner.strategy == "Grid":
        _check_grid(findings, tuner.tuned)
    wanted = [
        one.check(findings, _inputs_of(one, inputs), autotune=tuner.autotune) for one in tuner.tuned
    ]
    if findings.problems:
        raise InvalidArgumentsError("HyperparameterTuner.fit", findings.problems)
    return wanted


def tuning_request(
    tuner: "HyperparameterTuner",
    name: str,
    training_requests: Sequence[Mapping[str, Any]],
    include_class: bool | Mapping[str, bool],
) -> dict[str, Any]:
    """The request's parameters; what is empty is left out.

    Args:
        tuner: what the user said.
        name: the tuning job's name.
        training_requests: what each estimator would send for one training job.
        include_class: whether definitions remember the estimators' classes, perhaps by name.
    """
    definitions = []
    for one, training in zip(tuner.tuned, training_requests, strict=True):
        wants = include_class
        if isinstance(wants, Mapping):
            wants = wants.get(str(one.name), False)
        definitions.append(one.definition(training, autotune=tuner.autotune, include_class=wants))
    config = _config(tuner)
    request: dict[str, Any] = {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": config,
        "Tags": _tags(tuner),
    }
    first = tuner.tuned[0]
    if first.name is None:
        config |= {
            "HyperParameterTuningJobObjective": _objective(tuner, first),
            "ParameterRanges": _ranges(tuner, first, training_requests[0]),
        }
        request["TrainingJobDefinition"] = definitions[0]
    else:
        request["TrainingJobDefinitions"] = [
            {
                **definition,
                "DefinitionName": one.name,
                "TuningObjective": _objective(tuner, one),
                "HyperParameterRanges": _ranges(tuner, one, training),
            }
            for one, definition, training in zip(
                tuner.tuned, definitions, training_requests, strict=True
            )
        ]
    if tuner.warm_start_config is not None:
        request["WarmStartConfig"] = tuner.warm_start_config.request()
    if tuner.autotune:
        request["Autotune"] = {"Mode": "Enabled"}
    return {key: value for key, value in request.items() if value != []}


def training_request(
    one: TunedEstimator, job_name: str | None, channels: Sequence[Channel]
) -> dict[str, Any]:
    """What the estimator would send for one training job; uploads what must be uploaded."""
    return one.estimator.training_request(
        job_name or name_from_base(one.estimator.base_name()), channels
    )


def _config(tuner: "HyperparameterTuner") -> dict[str, Any]:
    limits = {
        "MaxNumberOfTrainingJobs": tuner.max_jobs,
        "MaxParallelTrainingJobs": tuner.max_parallel_jobs,
        "MaxRuntimeInSeconds": tuner.max_runtime_in_seconds,
    }
    config: dict[str, Any] = {
        "Strategy": tuner.strategy,
        "ResourceLimits": {name: value for name, value in limits.items() if value is not None},
        "TrainingJobEarlyStoppingType": tuner.early_stopping_type,
    }
    if tuner.random_seed is not None:
        config["RandomSeed"] = tuner.random_seed
    if tuner.strategy_config is not None:
        config["StrategyConfig"] = tuner.strategy_config.request()
    if tuner.completion_criteria_config is not None:
        config["TuningJobCompletionCriteria"] = tuner.completion_criteria_config.request()
    return config


def _objective(tuner: "HyperparameterTuner", one: TunedEstimator) -> dict[str, str]:
    return {"Type": tuner.objective_type, "MetricName": one.objective_metric_name}


def _ranges(
    tuner: "HyperparameterTuner", one: TunedEstimator, training: Mapping[str, Any]
) -> dict[str, Any]:
    ranges = one.parameter_ranges()
    if tuner.autotune:
        ranges["AutoParameters"] = one.auto_parameters(training)
    return ranges


def _tags(tuner: "HyperparameterTuner") -> list[dict[str, str]]:
    tags = tag_list(tuner.tags)
    own = tag_list(tuner.tuned[0].estimator.tags)
    both = [*tags, *(tag for tag in own if tag not in tags)]
    return tuner.sagemaker_session.defaults.with_tags(both, "TrainingJob")


def _inputs_of(one: TunedEstimator, inputs: Any) -> Any:
    if one.name is None or not isinstance(inputs, Mapping):
        return inputs
    return inputs.get(one.name)


def _check_limits(findings: Findings, tuner: "HyperparameterTuner") -> None:
    for argument in ("max_jobs", "max_parallel_jobs", "max_runtime_in_seconds"):
        value = getattr(tuner, argument)
        if value is not None:
            findings.at_least(argument, value, 1)


def _check_grid(findings: Findings, tuned: Sequence[TunedEstimator]) -> None:
    for one in tuned:
        for name, chosen in one.ranges.items():
            if getattr(chosen, "kind", "") != "Categorical":
                findings.add(
                    "hyperparameter_ranges",
                    f"`{name}`: the strategy `Grid` takes `CategoricalParameter` only",
                )
