"""Inference components: models that share the instances of an endpoint, in copies.

https://docs.aws.amazon.com/sagemaker/latest/dg/realtime-endpoints-deploy-models.html
"""

from typing import Any

from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.lifecycle import deployment as deployments
from intermodal_engine.lifecycle.endpoint import EndpointBusyError
from intermodal_engine.lifecycle.fleet import Member, is_bare
from intermodal_engine.lifecycle.fleet_kind import COMPONENT, ENDPOINT
from intermodal_engine.lifecycle.fleet_state import deployment_of, of_generation
from intermodal_engine.lifecycle.resizing import Resize
from intermodal_engine.router.router import Health
from intermodal_engine.services.answers import not_served, when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.sagemaker.endpoint_views import deployed_images
from intermodal_engine.services.sagemaker.endpoints import find_endpoint
from intermodal_engine.services.sagemaker.models import container_of, find_model
from intermodal_engine.services.sagemaker.resources import (
    arn,
    check_program,
    copy_members,
    invalid,
    list_page,
    tags_of,
)
from intermodal_engine.store.records import Record, RecordExistsError, RecordNotFoundError
from intermodal_engine.wire.errors import ServiceError

KIND = COMPONENT.name
_NOT_SERVED = {
    "BaseInferenceComponentName": "deploy a component with a model of its own",
    "InstanceType": "leave it out: the endpoint's variant has it",
}
_SHOWN = {
    EndpointStatus.ROLLING_BACK: EndpointStatus.UPDATING,
    EndpointStatus.UPDATE_ROLLBACK_FAILED: EndpointStatus.FAILED,
}
"""A component has fewer words than an endpoint."""

_HAS_PLACES = (EndpointStatus.IN_SERVICE, EndpointStatus.UPDATING)


def create_inference_component(call: Call, parameters: Parameters) -> Parameters:
    """Begins to put copies of a model on an endpoint's instances."""
    name = parameters["InferenceComponentName"]
    component_arn = arn(call, KIND, name)
    endpoint = find_endpoint(call, parameters["EndpointName"])
    variant = _variant_of(endpoint, parameters)
    specification = _specification(parameters)
    count = parameters.get("RuntimeConfig", {}).get("CopyCount", 1)
    _check_limit(call, count)
    try:
        call.backends.components.create(
            name,
            parameters,
            {variant: _deployable(call, endpoint, variant, specification, count)},
            arn=component_arn,
            region=call.region,
            tags=tags_of(parameters),
            belongs_to={"endpoint": endpoint.name, "variant": variant},
        )
    except RecordExistsError as error:
        raise invalid(
            f'Cannot create already existing inference component "{component_arn}".'
        ) from error
    return {"InferenceComponentArn": component_arn}


def describe_inference_component(call: Call, parameters: Parameters) -> Parameters:
    """A component, what it was told to be, and how many of its copies serve."""
    record = find_component(call, parameters["InferenceComponentName"])
    state = record.state
    generation = state["current"] or state.get("target") or max(map(int, state["deployments"]))
    deployment = deployment_of(state, generation)
    variant = deployment["variants"][state["variant"]]
    answer = {
        **_summary(record, call),
        "Specification": _described_specification(deployment, variant),
        "RuntimeConfig": {
            "DesiredCopyCount": variant["count"],
            "CurrentCopyCount": _serving(call, of_generation(state, generation)),
        },
    }
    if "failure_reason" in state:
        answer["FailureReason"] = state["failure_reason"]
    if state.get("last_deployment_config"):
        answer["LastDeploymentConfig"] = state["last_deployment_config"]
    return answer


def list_inference_components(call: Call, parameters: Parameters) -> Parameters:
    """Components, newest first unless asked otherwise."""
    filters = {"EndpointNameEquals": "endpoint", "VariantNameEquals": "variant"}
    wanted = {ours: parameters[theirs] for theirs, ours in filters.items() if theirs in parameters}
    return list_page(
        call,
        KIND,
        parameters,
        "InferenceComponents",
        lambda record: _summary(record, call),
        wanted,
    )


def update_inference_component(call: Call, parameters: Parameters) -> Parameters:
    """Begins to replace the copies by others, batch by batch; or to change their number."""
    record = find_component(call, parameters["InferenceComponentName"])
    _check_in_service(record)
    if "Specifications" in parameters:
        raise not_served("`Specifications`", "give one `Specification`")
    count = parameters.get("RuntimeConfig", {}).get("CopyCount")
    if "Specification" not in parameters:
        if count is None:
            raise invalid("You must specify `Specification` or `RuntimeConfig`")
        return _resize(call, record, count)
    variant = record.state["variant"]
    deployed = deployment_of(record.state, record.state["current"])["variants"][variant]
    specification = _updated(deployed["specification"], parameters["Specification"])
    _check(specification)
    endpoint = find_endpoint(call, record.state["endpoint"])
    wanted = deployed["count"] if count is None else count
    _check_limit(call, wanted)
    variants = {variant: _deployable(call, endpoint, variant, specification, wanted)}
    try:
        policy = parameters.get("DeploymentConfig")
        call.backends.components.update(record.name, "", variants, policy)
    except deployments.InvalidDeploymentError as error:
        raise invalid(str(error)) from error
    except EndpointBusyError as error:
        raise _busy(record) from error
    return {"InferenceComponentArn": record.arn}


def update_inference_component_runtime_config(call: Call, parameters: Parameters) -> Parameters:
    """Begins to change the number of copies."""
    record = find_component(call, parameters["InferenceComponentName"])
    return _resize(call, record, parameters["DesiredRuntimeConfig"]["CopyCount"])


def delete_inference_component(call: Call, parameters: Parameters) -> Parameters:
    """Begins to delete a component: its copies finish their requests first."""
    record = find_component(call, parameters["InferenceComponentName"])
    try:
        call.backends.components.delete(record.name)
    except EndpointBusyError as error:
        raise _busy(record) from error
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateInferenceComponent": create_inference_component,
    "DescribeInferenceComponent": describe_inference_component,
    "ListInferenceComponents": list_inference_components,
    "UpdateInferenceComponent": update_inference_component,
    "UpdateInferenceComponentRuntimeConfig": update_inference_component_runtime_config,
    "DeleteInferenceComponent": delete_inference_component,
}


def find_component(call: Call, name: str) -> Record:
    """A component's record.

    Raises:
        ServiceError: there is none.
    """
    try:
        return call.backends.records.get(KIND, name)
    except RecordNotFoundError as error:
        raise invalid(f'Could not find inference component "{arn(call, KIND, name)}".') from error


def _resize(call: Call, record: Record, count: int) -> Parameters:
    _check_in_service(record)
    _check_limit(call, count)
    try:
        call.backends.components.resize(record.name, {record.state["variant"]: Resize(count)})
    except EndpointBusyError as error:
        raise _busy(record) from error
    return {"InferenceComponentArn": record.arn}


def _check_in_service(record: Record) -> None:
    if record.status != EndpointStatus.IN_SERVICE:
        raise _busy(record)


def _busy(record: Record) -> Exception:
    return invalid(
        f'Cannot update inference component "{record.arn}" in status '
        f"{_SHOWN.get(EndpointStatus(record.status), record.status)}."
    )


def _check_limit(call: Call, count: int) -> None:
    """Each copy is a process or container of this machine."""
    limit = call.backends.settings.max_endpoint_instances
    if count > limit:
        raise ServiceError(
            "ResourceLimitExceeded",
            f"The account-level service limit for copies of an inference component is {limit}: "
            f"{count} were asked for. Start the engine with a larger `--max-endpoint-instances`.",
        )


# What is asked for


def _variant_of(endpoint: Record, parameters: Parameters) -> str:
    """The variant whose instances are used.

    Raises:
        ServiceError: there is none, or its instances have a model of their own.
    """
    current = endpoint.state["current"]
    # Instances that come for other components have it be Updating for moments.
    if current is None or endpoint.status not in _HAS_PLACES:
        raise invalid(
            f'Cannot create an inference component on endpoint "{endpoint.arn}" in status '
            f"{endpoint.status}: wait until it is InService."
        )
    variants = deployment_of(endpoint.state, current)["variants"]
    name = parameters.get("VariantName") or (next(iter(variants)) if len(variants) == 1 else None)
    if name not in variants:
        raise invalid(
            f'Endpoint "{endpoint.arn}" has no production variant {name}. It has: '
            + ", ".join(variants)
        )
    if not is_bare(variants[name]):
        raise invalid(
            f"The instances of variant {name} serve the model of their endpoint configuration: "
            "inference components need a variant without ModelName."
        )
    return str(name)


def _specification(parameters: Parameters) -> Parameters:
    if "Specifications" in parameters:
        raise not_served("`Specifications`", "give one `Specification`")
    if "Specification" not in parameters:
        raise invalid("You must specify `Specification`")
    specification: Parameters = parameters["Specification"]
    _check(specification)
    return specification


def _updated(present: Parameters, changes: Parameters) -> Parameters:
    """A specification with some of its members changed; a model and a container are either or."""
    updated = {**present, **changes}
    if "ModelName" in changes and "Container" not in changes:
        updated.pop("Container", None)
    if "Container" in changes and "ModelName" not in changes:
        updated.pop("ModelName", None)
    return updated


def _check(specification: Parameters) -> None:
    for member, instead in _NOT_SERVED.items():
        if specification.get(member):
            raise not_served(f"`{member}`", instead)
    if ("ModelName" in specification) == ("Container" in specification):
        raise invalid("You must specify exactly one of `ModelName` and `Container`")
    if "Container" in specification and "Image" not in specification["Container"]:
        raise invalid("You must specify `Image` in `Container`")
    needs = specification.get("ComputeResourceRequirements")
    if needs is None:
        raise invalid("You must specify `ComputeResourceRequirements`")
    if "AcceleratorPartitionType" in needs:
        raise not_served("`AcceleratorPartitionType`", "give whole accelerators")
    if {"NumberOfCpuCoresRequired", "NumberOfAcceleratorDevicesRequired"}.isdisjoint(needs):
        raise invalid(
            "You must specify `NumberOfCpuCoresRequired` or `NumberOfAcceleratorDevicesRequired`"
        )
    most = needs.get("MaxMemoryRequiredInMb")
    if most is not None and most < needs["MinMemoryRequiredInMb"]:
        raise invalid("MaxMemoryRequiredInMb must not be less than MinMemoryRequiredInMb")


def _deployable(
    call: Call, endpoint: Record, variant: str, specification: Parameters, count: int
) -> dict[str, Any]:
    """What a deployment needs, copied out of the model and of the endpoint's variant."""
    place = deployment_of(endpoint.state, endpoint.state["current"])["variants"][variant]
    startup = specification.get("StartupParameters", {})
    if "ModelName" in specification:
        model = find_model(call, specification["ModelName"])
        container = container_of(model)
        role = model.request.get("ExecutionRoleArn") or place["role_arn"]
        is_isolated = model.request.get("EnableNetworkIsolation", False)
    else:
        container = _container(specification["Container"])
        check_program((), container.get("Environment", {}))
        role, is_isolated = place["role_arn"], place["network_isolation"]
    return {
        "container": container,
        "role_arn": role,
        "network_isolation": is_isolated,
        "instance_type": place["instance_type"],
        "count": count,
        "weight": 1.0,
        "startup_timeout_s": startup.get("ContainerStartupHealthCheckTimeoutInSeconds"),
        "routing": place["routing"],
        "specification": specification,
        "needs": specification["ComputeResourceRequirements"],
        "strategy": specification.get("SchedulingConfig", {}).get("PlacementStrategy", "SPREAD"),
    }


def _container(given: Parameters) -> dict[str, Any]:
    """A component's container as a model's."""
    names = {"Image": "Image", "ArtifactUrl": "ModelDataUrl", "Environment": "Environment"}
    return {ours: given[theirs] for theirs, ours in names.items() if theirs in given}


# Answers


def _summary(record: Record, call: Call) -> Parameters:
    return {
        "InferenceComponentName": record.name,
        "InferenceComponentArn": record.arn,
        "EndpointName": record.state["endpoint"],
        "EndpointArn": arn(call, ENDPOINT.name, record.state["endpoint"]),
        "VariantName": record.state["variant"],
        "InferenceComponentStatus": _SHOWN.get(EndpointStatus(record.status), record.status),
        "CreationTime": when(record.created_at),
        "LastModifiedTime": when(record.modified_at),
    }


def _described_specification(deployment: dict[str, Any], variant: dict[str, Any]) -> Parameters:
    given = variant["specification"]
    shown = copy_members(
        given,
        "ModelName",
        "StartupParameters",
        "ComputeResourceRequirements",
        "DataCacheConfig",
        "SchedulingConfig",
    )
    if "Container" in given:
        shown["Container"] = {
            "DeployedImage": deployed_images(deployment, variant)[0],
            **copy_members(given["Container"], "ArtifactUrl", "Environment"),
        }
    return shown


def _serving(call: Call, members: list[Member]) -> int:
    health = call.backends.router.health
    return sum(health(member.member_id) is Health.HEALTHY for member in members)
