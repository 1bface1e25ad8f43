"""Application Auto Scaling for variants and inference components: targets, policies, activities.

https://docs.aws.amazon.com/autoscaling/application/APIReference/Welcome.html
"""

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from intermodal_engine.lifecycle.async_inference.accepted import is_async
from intermodal_engine.lifecycle.fleet import is_bare
from intermodal_engine.lifecycle.fleet_kind import COMPONENT, ENDPOINT
from intermodal_engine.lifecycle.fleet_state import deployment_of
from intermodal_engine.lifecycle.scaling import ACTIVITY, POLICY, TARGET, Scaled
from intermodal_engine.lifecycle.scaling_policy import PREDEFINED
from intermodal_engine.services.answers import not_served, page_of, when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.store.records import Record, RecordExistsError
from intermodal_engine.wire.errors import ServiceError

PAGE_LIMIT = 50
_RESOURCES = {
    "sagemaker:variant:DesiredInstanceCount": re.compile(r"endpoint/([^/]+)/variant/([^/]+)"),
    "sagemaker:inference-component:DesiredCopyCount": re.compile(r"inference-component/([^/]+)"),
}
"""What is scaled, by dimension."""
_IDENTITY = ("ServiceNamespace", "ResourceId", "ScalableDimension")
_CONFIGS = {
    "StepScaling": "StepScalingPolicyConfiguration",
    "TargetTrackingScaling": "TargetTrackingScalingPolicyConfiguration",
}


def register_scalable_target(call: Call, parameters: Parameters) -> Parameters:
    """Registers what is scaled, or changes its bounds; a capacity out of them is changed."""
    scaled = _scaled(call, parameters)
    name = _name(parameters)
    known = call.backends.records.find(TARGET, name)
    request = {**(known.request if known else {}), **parameters}
    _check_bounds(call, scaled, request)
    request.setdefault("RoleARN", _role(call))
    arn = f"arn:aws:application-autoscaling:{call.region}:{call.account_id}:scalable-target/{name}"
    state = {"scaled": asdict(scaled)}
    try:
        call.backends.records.insert(
            TARGET, name, arn=arn, request=request, state=state, tags=parameters.get("Tags", {})
        )
    except RecordExistsError:
        with call.backends.records.edit(TARGET, name) as draft:
            draft.request = request
    call.backends.scaling.wake_target(name)
    return {"ScalableTargetARN": arn}


def deregister_scalable_target(call: Call, parameters: Parameters) -> Parameters:
    """Forgets a target with its policies and their alarms; its capacity stays."""
    target = _target(call, parameters)
    for policy in _of(call, POLICY, parameters):
        _delete_policy(call, policy)
    call.backends.records.delete(TARGET, target.name)
    return {}


def describe_scalable_targets(call: Call, parameters: Parameters) -> Parameters:
    """What is registered."""
    ids = parameters.get("ResourceIds")
    found = [
        one
        for one in _of(call, TARGET, {**parameters, "ResourceId": None})
        if not ids or one.request["ResourceId"] in ids
    ]
    return _page(parameters, found, "ScalableTargets", _described_target)


def put_scaling_policy(call: Call, parameters: Parameters) -> Parameters:
    """Makes a policy, or another one of an old one; target tracking brings its own alarms."""
    target = _target(call, parameters)
    kind = parameters.get("PolicyType", "StepScaling")
    config = _config(parameters, kind)
    name = f"{target.name}|{parameters['PolicyName']}"
    request = {
        **{member: parameters[member] for member in (*_IDENTITY, "PolicyName")},
        "PolicyType": kind,
        "config": config,
        "target": target.name,
    }
    policy = _kept_policy(call, name, request)
    call.backends.scaling.silence(policy)
    alarms: list[str] = []
    if kind == "TargetTrackingScaling":
        scaled = Scaled(**target.state["scaled"])
        alarms = call.backends.scaling.ring_by(name, scaled, call.region, call.account_id)
    return {"PolicyARN": policy.arn, "Alarms": [_alarm(call, one) for one in alarms]}


def delete_scaling_policy(call: Call, parameters: Parameters) -> Parameters:
    """Forgets a policy and the alarms that it brought."""
    for policy in _of(call, POLICY, parameters):
        if policy.request["PolicyName"] == parameters["PolicyName"]:
            _delete_policy(call, policy)
            return {}
    raise _not_found("scaling policy", parameters)


def describe_scaling_policies(call: Call, parameters: Parameters) -> Parameters:
    """Policies with their alarms."""
    names = parameters.get("PolicyNames")
    found = [
        one
        for one in _of(call, POLICY, parameters)
        if not names or one.request["PolicyName"] in names or one.arn in names
    ]
    return _page(parameters, found, "ScalingPolicies", lambda one: _described_policy(call, one))


def describe_scaling_activities(call: Call, parameters: Parameters) -> Parameters:
    """What was changed, newest first."""
    found = sorted(_of(call, ACTIVITY, parameters), key=lambda one: -one.created_at)
    return _page(parameters, found, "ScalingActivities", _described_activity)


OPERATIONS: dict[str, Operation] = {
    "DeleteScalingPolicy": delete_scaling_policy,
    "DeregisterScalableTarget": deregister_scalable_target,
    "DescribeScalableTargets": describe_scalable_targets,
    "DescribeScalingActivities": describe_scaling_activities,
    "DescribeScalingPolicies": describe_scaling_policies,
    "PutScalingPolicy": put_scaling_policy,
    "RegisterScalableTarget": register_scalable_target,
}
"""Operations by name."""


# What a request is about


def _scaled(call: Call, parameters: Parameters) -> Scaled:
    """The variant or component that a request names.

    Raises:
        ServiceError: it is something else, or not there.
    """
    if parameters["ServiceNamespace"] != "sagemaker":
        raise not_served(
            f"`ServiceNamespace` `{parameters['ServiceNamespace']}`", "that of `sagemaker`"
        )
    dimension, resource_id = parameters["ScalableDimension"], parameters["ResourceId"]
    pattern = _RESOURCES.get(dimension)
    if pattern is None:
        raise not_served(f"`{dimension}`", f"scale one of {', '.join(_RESOURCES)}")
    found = pattern.fullmatch(resource_id)
    if found is None:
        raise _invalid(
            "Unsupported service namespace, resource type or scalable dimension: ResourceId "
            f"{resource_id} is not of the form endpoint/NAME/variant/NAME or "
            "inference-component/NAME that belongs to the dimension"
        )
    if len(found.groups()) == 1:
        return _component(call, found[1])
    return _variant(call, Scaled(found[1], found[2]))


def _variant(call: Call, scaled: Scaled) -> Scaled:
    endpoint = call.backends.records.find(ENDPOINT.name, scaled.endpoint)
    current = None if endpoint is None else endpoint.state["current"]
    if endpoint is None or current is None:
        raise _invalid(f"Could not find endpoint {scaled.endpoint}")
    variants = deployment_of(endpoint.state, current)["variants"]
    if scaled.variant not in variants:
        raise _invalid(f"Endpoint {scaled.endpoint} has no production variant {scaled.variant}")
    if (variants[scaled.variant].get("managed_scaling") or {}).get("Status") == "ENABLED":
        raise _invalid(
            f"The instances of variant {scaled.variant} follow its inference components "
            "(ManagedInstanceScaling): scale these"
        )
    return scaled


def _component(call: Call, name: str) -> Scaled:
    record = call.backends.records.find(COMPONENT.name, name)
    if record is None or record.state["current"] is None:
        raise _invalid(f"Could not find inference component {name}")
    return Scaled(record.state["endpoint"], record.state["variant"], name)


def _name(parameters: Parameters) -> str:
    return f"{parameters['ResourceId']}|{parameters['ScalableDimension']}"


def _target(call: Call, parameters: Parameters) -> Record:
    target = call.backends.records.find(TARGET, _name(parameters))
    if target is None:
        raise _not_found("scalable target", parameters)
    return target


def _of(call: Call, kind: str, parameters: Parameters) -> list[Record]:
    """The records of a kind that a request is about, by name."""
    wanted = {name: parameters[name] for name in _IDENTITY if parameters.get(name) is not None}
    return sorted(
        (
            one
            for one in call.backends.records.all(kind)
            if all(one.request[name] == value for name, value in wanted.items())
        ),
        key=lambda one: one.name,
    )


def _role(call: Call) -> str:
    return (
        f"arn:aws:iam::{call.account_id}:role/aws-service-role/"
        "sagemaker.application-autoscaling.amazonaws.com/"
        "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    )


def _check_bounds(call: Call, scaled: Scaled, request: Parameters) -> None:
    missing = [name for name in ("MinCapacity", "MaxCapacity") if name not in request]
    if missing:
        raise _invalid(f"{missing[0]} is required when a scalable target is registered")
    least, most = request["MinCapacity"], request["MaxCapacity"]
    if least > most:
        raise _invalid(f"MinCapacity ({least}) must not be greater than MaxCapacity ({most})")
    if least < 1 and not scaled.component and not _may_be_empty(call, scaled):
        raise _invalid(
            "Minimum capacity cannot be less than 1 for a variant that hosts a model by itself"
        )


def _may_be_empty(call: Call, scaled: Scaled) -> bool:
    """Whether a variant may have no instance: those for components, and asynchronous ones."""
    state = call.backends.records.get(ENDPOINT.name, scaled.endpoint).state
    variant = deployment_of(state, state["current"])["variants"][scaled.variant]
    return is_bare(variant) or is_async(variant)


# Policies


def _config(parameters: Parameters, kind: str) -> dict[str, Any]:
    member = _CONFIGS.get(kind)
    if member is None:
        raise not_served(f"`PolicyType` `{kind}`", f"use one of {', '.join(_CONFIGS)}")
    config: dict[str, Any] | None = parameters.get(member)
    if config is None:
        raise _invalid(f"{member} is required for PolicyType {kind}")
    if kind == "StepScaling":
        _check_steps(config)
    else:
        _check_tracking(config)
    return config


def _check_steps(config: dict[str, Any]) -> None:
    if "AdjustmentType" not in config or not config.get("StepAdjustments"):
        raise _invalid("AdjustmentType and StepAdjustments are required for step scaling")
    for step in config["StepAdjustments"]:
        lower, upper = step.get("MetricIntervalLowerBound"), step.get("MetricIntervalUpperBound")
        if lower is None and upper is None and len(config["StepAdjustments"]) > 1:
            raise _invalid("A step without bounds must be the only one")
        if lower is not None and upper is not None and lower >= upper:
            raise _invalid(
                f"MetricIntervalLowerBound ({lower}) must be below MetricIntervalUpperBound "
                f"({upper})"
            )


def _check_tracking(config: dict[str, Any]) -> None:
    own, predefined = (
        config.get("CustomizedMetricSpecification"),
        config.get("PredefinedMetricSpecification"),
    )
    if (own is None) == (predefined is None):
        raise _invalid(
            "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must "
            "be given"
        )
    if config["TargetValue"] <= 0:
        raise _invalid("TargetValue must be greater than 0")
    if own is not None and ("Metrics" in own or "MetricName" not in own):
        raise not_served("metric math in `CustomizedMetricSpecification`", "name one metric")
    if predefined is not None and predefined["PredefinedMetricType"] not in PREDEFINED:
        raise not_served(
            f"`PredefinedMetricType` `{predefined['PredefinedMetricType']}`",
            f"use one of {', '.join(sorted(PREDEFINED))}",
        )


def _kept_policy(call: Call, name: str, request: Parameters) -> Record:
    records = call.backends.records
    arn = (
        f"arn:aws:autoscaling:{call.region}:{call.account_id}:scalingPolicy:{uuid.uuid4()}:"
        f"resource/sagemaker/{request['ResourceId']}:policyName/{request['PolicyName']}"
    )
    try:
        return records.insert(POLICY, name, arn=arn, request=request, state={"alarms": []})
    except RecordExistsError:
        with records.edit(POLICY, name) as draft:
            draft.request = request
        return records.get(POLICY, name)


def _delete_policy(call: Call, policy: Record) -> None:
    call.backends.scaling.silence(policy)
    call.backends.records.delete(POLICY, policy.name)


# Answers


def _described_target(record: Record) -> Parameters:
    request = record.request
    suspended = dict.fromkeys(
        ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"),
        False,
    )
    return {
        **{name: request[name] for name in (*_IDENTITY, "MinCapacity", "MaxCapacity", "RoleARN")},
        "SuspendedState": {**suspended, **request.get("SuspendedState", {})},
        "CreationTime": when(record.created_at),
        "ScalableTargetARN": record.arn,
    }


def _described_policy(call: Call, record: Record) -> Parameters:
    request = record.request
    return {
        **{name: request[name] for name in (*_IDENTITY, "PolicyName", "PolicyType")},
        _CONFIGS[request["PolicyType"]]: request["config"],
        "PolicyARN": record.arn,
        "Alarms": [_alarm(call, one) for one in record.state.get("alarms", [])],
        "CreationTime": when(record.created_at),
    }


def _described_activity(record: Record) -> Parameters:
    answer: Parameters = {
        **{name: record.request[name] for name in (*_IDENTITY, "Description")},
        "ActivityId": record.name,
        "Cause": record.state["cause"],
        "StartTime": when(record.created_at),
        "StatusCode": record.status,
    }
    if "ended_at" in record.state:
        answer["EndTime"] = when(record.state["ended_at"])
        answer["StatusMessage"] = record.state["message"]
    return answer


def _alarm(call: Call, name: str) -> Parameters:
    arn = f"arn:aws:cloudwatch:{call.region}:{call.account_id}:alarm:{name}"
    return {"AlarmName": name, "AlarmARN": arn}


def _page(
    parameters: Parameters,
    records: Sequence[Record],
    member: str,
    describe: Callable[[Record], Parameters],
) -> Parameters:
    limit = min(parameters.get("MaxResults", PAGE_LIMIT), PAGE_LIMIT)
    page, more = page_of(records, parameters.get("NextToken"), limit, _wrong_token)
    return {member: [describe(one) for one in page], **more}


def _wrong_token(message: str) -> ServiceError:
    return ServiceError("InvalidNextTokenException", message)


def _not_found(what: str, parameters: Parameters) -> ServiceError:
    return ServiceError(
        "ObjectNotFoundException",
        f"No {what} found for service namespace: {parameters['ServiceNamespace']}, resource ID: "
        f"{parameters['ResourceId']}, scalable dimension: {parameters['ScalableDimension']}",
    )


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)
