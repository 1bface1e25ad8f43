"""One estimator of a tuning job: its ranges, and its training jobs' definition."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from intermodal.errors import InvalidArgumentsError
from intermodal.estimator_base import EstimatorBase
from intermodal.framework import Framework
from intermodal.inputs import Channel, Inputs
from intermodal.names import base_from_name
from intermodal.parameter import ParameterRange, described_ranges, ranges_request
from intermodal.training_options import Findings
from intermodal.tuner_configs import (
    InstanceConfig,
    TuningJobCompletionCriteriaConfig,
    WarmStartConfig,
)

RANGE_LIMIT = 30
_CLASS_NAME = "sagemaker_estimator_class_name"
_CLASS_MODULE = "sagemaker_estimator_module"
_OBJECTIVE = "_tuning_objective_metric"
# What CreateTrainingJob takes and a definition does not.
_NOT_OF_A_DEFINITION = (
    "TrainingJobName",
    "Tags",
    "ExperimentConfig",
    "DebugHookConfig",
    "DebugRuleConfigurations",
    "TensorBoardOutputConfig",
    "ProfilerConfig",
    "InfraCheckConfig",
    "RemoteDebugConfig",
    "SessionChainingConfig",
)
_HOMES: Mapping[str, str] = {
    "Estimator": "intermodal.estimator",
    "HuggingFace": "intermodal.huggingface.estimator",
    "MXNet": "intermodal.mxnet.estimator",
    "PyTorch": "intermodal.pytorch.estimator",
    "SKLearn": "intermodal.sklearn.estimator",
    "TensorFlow": "intermodal.tensorflow.estimator",
    "XGBoost": "intermodal.xgboost.estimator",
}


@dataclass
class TunedEstimator:
    """One estimator of a tuning job.

    Attributes:
        estimator: what trains.
        objective_metric_name: what is to be made best.
        ranges: what hyperparameters are chosen from, by name.
        metric_definitions: how metrics are read from the log.
        name: of its definition; `None` where it is the only one.
        keep_static: hyperparameters that autotune leaves alone.
        instance_configs: instead of the estimator's own instances.
    """

    estimator: EstimatorBase
    objective_metric_name: str
    ranges: dict[str, ParameterRange]
    metric_definitions: Sequence[Mapping[str, str]] | None = None
    name: str | None = None
    keep_static: Sequence[str] | None = None
    instance_configs: Sequence[InstanceConfig] | None = None

    @property
    def is_json(self) -> bool:
        """Whether the training program decodes hyperparameters."""
        return isinstance(self.estimator, Framework)

    def check(self, findings: Findings, inputs: Inputs | None, *, autotune: bool) -> list[Channel]:
        """Note what is wrong with it; returns the channels that the inputs mean."""
        if not self.objective_metric_name:
            findings.add("objective_metric_name", "is missing: which metric is to be made best?")
        if not self.ranges and not autotune:
            findings.add("hyperparameter_ranges", "is empty; give ranges, or `autotune=True`")
        if len(self.ranges) > RANGE_LIMIT:
            findings.add(
                "hyperparameter_ranges", f"{len(self.ranges)} of them; AWS takes {RANGE_LIMIT}"
            )
        for name, one in self.ranges.items():
            what = "is no parameter range" if not isinstance(one, ParameterRange) else one.problem()
            if what:
                findings.add("hyperparameter_ranges", f"`{name}`: {what}")
        self._check_metrics(findings)
        self._check_static(findings, autotune=autotune)
        try:
            return self.estimator.checked_channels(inputs, None)
        except InvalidArgumentsError as error:
            findings.problems += error.problems
            return []

    def definition(
        self, training_request: Mapping[str, Any], *, autotune: bool, include_class: bool
    ) -> dict[str, Any]:
        """`TrainingJobDefinition`, from the request of one training job."""
        definition = {
            key: value for key, value in training_request.items() if key not in _NOT_OF_A_DEFINITION
        }
        static = self._static(definition.pop("HyperParameters", {}), include_class=include_class)
        if autotune:
            kept = set(self.keep_static or ())
            static = {name: value for name, value in static.items() if name in kept}
        definition["StaticHyperParameters"] = static
        algorithm = definition["AlgorithmSpecification"]
        metrics = [dict(metric) for metric in self.metric_definitions or []]
        definition["AlgorithmSpecification"] = {
            "TrainingInputMode": algorithm["TrainingInputMode"],
            "TrainingImage": algorithm["TrainingImage"],
            **({"MetricDefinitions": metrics} if metrics else {}),
        }
        resources = self._resources(definition.pop("ResourceConfig"))
        definition["HyperParameterTuningResourceConfig"] = resources
        return definition

    def auto_parameters(self, training_request: Mapping[str, Any]) -> list[dict[str, str]]:
        """What autotune finds ranges for: each hyperparameter, with its value as a hint."""
        static = self._static(training_request.get("HyperParameters", {}), include_class=False)
        kept = set(self.keep_static or ())
        return [
            {"Name": name, "ValueHint": value} for name, value in static.items() if name not in kept
        ]

    def parameter_ranges(self) -> dict[str, Any]:
        """`ParameterRanges` of its hyperparameters."""
        return ranges_request(self.ranges, is_json=self.is_json)

    def _static(self, sent: Mapping[str, str], *, include_class: bool) -> dict[str, str]:
        static = {name: value for name, value in sent.items() if name not in self.ranges}
        if include_class or self.is_json:
            kind = type(self.estimator)
            static[_CLASS_NAME] = json.dumps(kind.__name__)
            static[_CLASS_MODULE] = json.dumps(kind.__module__)
        return static

    def _resources(self, config: Mapping[str, Any]) -> dict[str, Any]:
        key = config.get("VolumeKmsKeyId")
        encrypted = {"VolumeKmsKeyId": key} if key else {}
        if self.instance_configs:
            configs = [one.request() for one in self.instance_configs]
            return {**encrypted, "InstanceConfigs": configs}
        names = ("InstanceCount", "InstanceType", "VolumeSizeInGB")
        return {**encrypted, **{name: config[name] for name in names if name in config}}

    def _check_metrics(self, findings: Findings) -> None:
        defined = [metric.get("Name") for metric in self.metric_definitions or []]
        if self.is_json and self.objective_metric_name not in defined:
            findings.add(
                "metric_definitions",
                f"none is called `{self.objective_metric_name}`; the objective needs one",
            )

    def _check_static(self, findings: Findings, *, autotune: bool) -> None:
        if self.keep_static is None:
            return
        if not autotune:
            findings.add("hyperparameters_to_keep_static", "is for `autotune=True`")
        unknown = sorted(set(self.keep_static) - set(self.estimator.hyperparameters()))
        for name in unknown:
            findings.add(
                "hyperparameters_to_keep_static", f"`{name}` is no hyperparameter of the estimator"
            )


def tuner_arguments(
    described: Mapping[str, Any], definition: Mapping[str, Any], session: Any, estimator_cls: Any
) -> dict[str, Any]:
    """What a tuner must be given to describe the same job, of one estimator's definition.

    Args:
        described: the answer of DescribeHyperParameterTuningJob.
        definition: one of its training job definitions.
        session: the estimator's session.
        estimator_cls: a class or its dotted name, or these by definition; told by the definition
            where `None`.

    Raises:
        ValueError: the definition remembers a class that is not there.
    """
    config = described["HyperParameterTuningJobConfig"]
    limits = config["ResourceLimits"]
    name = definition.get("DefinitionName")
    ranges = definition.get("HyperParameterRanges") or config.get("ParameterRanges") or {}
    objective = definition.get("TuningObjective") or config["HyperParameterTuningJobObjective"]
    chosen = estimator_cls.get(name) if isinstance(estimator_cls, Mapping) else estimator_cls
    criteria = config.get("TuningJobCompletionCriteria")
    return {
        "estimator": described_estimator(definition, session, chosen),
        "objective_metric_name": objective["MetricName"],
        "hyperparameter_ranges": described_ranges(ranges),
        "metric_definitions": definition["AlgorithmSpecification"].get("MetricDefinitions"),
        "strategy": config["Strategy"],
        "objective_type": objective["Type"],
        "max_jobs": limits.get("MaxNumberOfTrainingJobs"),
        "max_parallel_jobs": limits["MaxParallelTrainingJobs"],
        "max_runtime_in_seconds": limits.get("MaxRuntimeInSeconds"),
        "base_tuning_job_name": base_from_name(described["HyperParameterTuningJobName"]),
        "warm_start_config": WarmStartConfig.described(described.get("WarmStartConfig")),
        "completion_criteria_config": TuningJobCompletionCriteriaConfig.described(criteria),
        "early_stopping_type": config.get("TrainingJobEarlyStoppingType", "Off"),
        "estimator_name": name,
        "random_seed": config.get("RandomSeed"),
    }


def described_estimator(
    definition: Mapping[str, Any], session: Any, estimator_cls: Any
) -> EstimatorBase:
    """The estimator that a definition of DescribeHyperParameterTuningJob tells.

    Args:
        definition: one of the job's.
        session: the estimator's session.
        estimator_cls: a class or its dotted name; told by the definition where `None`.
    """
    static = dict(definition.get("StaticHyperParameters", {}))
    kind = _estimator_class(estimator_cls, static.pop(_CLASS_NAME, None))
    static.pop(_CLASS_MODULE, None)
    static.pop(_OBJECTIVE, None)
    resources = definition.get("HyperParameterTuningResourceConfig") or definition["ResourceConfig"]
    preferred = (resources.get("InstanceConfigs") or [{}])[0]
    description = {
        **definition,
        "TrainingJobName": "",
        "HyperParameters": static,
        "ResourceConfig": {**preferred, **resources},
    }
    return kind(sagemaker_session=session, **kind.attached_arguments(description))


def _estimator_class(given: Any, sent_name: str | None) -> type[EstimatorBase]:
    if isinstance(given, str):
        module, _, name = given.rpartition(".")
        found: type[EstimatorBase] = getattr(import_module(module), name)
        return found
    if given is not None:
        known: type[EstimatorBase] = given
        return known
    # The vendor's SDK sends its own modules; the class's name is the same here.
    name = str(json.loads(sent_name)) if sent_name else "Estimator"
    if name not in _HOMES:
        raise ValueError(
            f"the tuning job's estimator is a `{name}`, which is not known here; "
            "give `estimator_cls`, the class or its dotted name"
        )
    told: type[EstimatorBase] = getattr(import_module(_HOMES[name]), name)
    return told
