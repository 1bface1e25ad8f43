"""Endpoints: Create, Describe, Update, Delete, List."""

from typing import Any

from intermodal_engine.lifecycle import deployment as deployments
from intermodal_engine.lifecycle.async_inference.accepted import is_async
from intermodal_engine.lifecycle.endpoint import EndpointBusyError
from intermodal_engine.lifecycle.fleet import is_bare
from intermodal_engine.lifecycle.fleet_kind import COMPONENT, ENDPOINT
from intermodal_engine.lifecycle.resizing import Resize, UnknownVariantError
from intermodal_engine.services.answers import when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.sagemaker.captures import capture_of_update
from intermodal_engine.services.sagemaker.endpoint_configs import find_config, variants_of
from intermodal_engine.services.sagemaker.endpoint_views import described
from intermodal_engine.services.sagemaker.resources import arn, invalid, list_page, tags_of
from intermodal_engine.store.records import Record, RecordExistsError, RecordNotFoundError
from intermodal_engine.wire.errors import ServiceError


def create_endpoint(call: Call, parameters: Parameters) -> Parameters:
    """Begins to deploy a configuration; InService follows once all instances are healthy."""
    name = parameters["EndpointName"]
    endpoint_arn = arn(call, ENDPOINT.name, name)
    config = find_config(call, parameters["EndpointConfigName"])
    variants = variants_of(call, config)
    _check_limit(call, variants)
    try:
        call.backends.endpoints.create(
            name,
            parameters,
            variants,
            arn=endpoint_arn,
            region=call.region,
            tags=tags_of(parameters),
            capture=config.request.get("DataCaptureConfig"),
        )
    except RecordExistsError as error:
        raise invalid(f'Cannot create already existing endpoint "{endpoint_arn}".') from error
    return {"EndpointArn": endpoint_arn}


def describe_endpoint(call: Call, parameters: Parameters) -> Parameters:
    """An endpoint, its variants, and how many instances of each are healthy."""
    return described(call, find_endpoint(call, parameters["EndpointName"]))


def update_endpoint(call: Call, parameters: Parameters) -> Parameters:
    """Begins to deploy another configuration beside the one in service, as its policy says."""
    record = find_endpoint(call, parameters["EndpointName"])
    config = find_config(call, parameters["EndpointConfigName"])
    policy = _deployment_config(record, parameters)
    variants = variants_of(call, config)
    if parameters.get("RetainAllVariantProperties"):
        variants = _retained(record, variants, parameters)
    _check_components(call, record, variants)
    _check_mode(record, variants)
    _check_limit(call, variants)
    try:
        deployments.check(policy)
        capture = capture_of_update(record, config, parameters)
        call.backends.endpoints.update(record.name, config.name, variants, policy, capture)
    except deployments.InvalidDeploymentError as error:
        raise invalid(str(error)) from error
    except EndpointBusyError as error:
        raise invalid(f'Cannot update in-progress endpoint "{record.arn}".') from error
    return {"EndpointArn": record.arn}


def update_endpoint_weights_and_capacities(call: Call, parameters: Parameters) -> Parameters:
    """Begins to change weights and numbers of instances of variants in service."""
    record = find_endpoint(call, parameters["EndpointName"])
    wanted = parameters["DesiredWeightsAndCapacities"]
    for entry in wanted:
        _check_capacity(record, entry)
    changes = {
        entry["VariantName"]: Resize(
            entry.get("DesiredInstanceCount"),
            entry.get("DesiredWeight"),
            entry.get("ServerlessUpdateConfig"),
        )
        for entry in wanted
    }
    _check_resized(call, record, changes)
    try:
        call.backends.endpoints.resize(record.name, changes)
    except UnknownVariantError as error:
        raise invalid(
            f'The variant name(s) "{error}" is/are not present within endpoint configuration '
            f'"{record.request["EndpointConfigName"]}".'
        ) from error
    except EndpointBusyError as error:
        raise invalid(f'Cannot update in-progress endpoint "{record.arn}".') from error
    return {"EndpointArn": record.arn}


def delete_endpoint(call: Call, parameters: Parameters) -> Parameters:
    """Begins to delete an endpoint: its instances finish their requests first."""
    record = find_endpoint(call, parameters["EndpointName"])
    components = _components_of(call, record)
    if components:
        raise invalid(
            f'Cannot delete endpoint "{record.arn}" with inference components. Delete these first: '
            + ", ".join(one.name for one in components)
        )
    try:
        call.backends.endpoints.delete(record.name)
    except EndpointBusyError as error:
        raise invalid(f'Cannot update in-progress endpoint "{record.arn}".') from error
    return {}


def list_endpoints(call: Call, parameters: Parameters) -> Parameters:
    """Endpoints, newest first unless asked otherwise."""
    return list_page(call, ENDPOINT.name, parameters, "Endpoints", _summary)


OPERATIONS: dict[str, Operation] = {
    "CreateEndpoint": create_endpoint,
    "DescribeEndpoint": describe_endpoint,
    "UpdateEndpoint": update_endpoint,
    "UpdateEndpointWeightsAndCapacities": update_endpoint_weights_and_capacities,
    "DeleteEndpoint": delete_endpoint,
    "ListEndpoints": list_endpoints,
}


def find_endpoint(call: Call, name: str) -> Record:
    """An endpoint's record.

    Raises:
        ServiceError: there is none.
    """
    try:
        return call.backends.records.get(ENDPOINT.name, name)
    except RecordNotFoundError as error:
        raise invalid(f'Could not find endpoint "{arn(call, ENDPOINT.name, name)}".') from error


def _check_limit(call: Call, variants: dict[str, Any]) -> None:
    limit = call.backends.settings.max_endpoint_instances
    count = sum(
        (variant.get("serverless") or {}).get("MaxConcurrency", variant["count"])
        for variant in variants.values()
    )
    if count > limit:
        kind = next(iter(variants.values()))["instance_type"]
        raise ServiceError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{kind} for endpoint usage' is {limit} Instances, "
            f"with current utilization of 0 Instances and a request delta of {count} Instances. "
            "Start the engine with a larger `--max-endpoint-instances`.",
        )


def _deployment_config(record: Record, parameters: Parameters) -> dict[str, Any]:
    """How to deploy: as asked, or as the last time."""
    given: dict[str, Any] = parameters.get("DeploymentConfig", {})
    if given or not parameters.get("RetainDeploymentConfig"):
        return given
    last: dict[str, Any] = record.state.get("last_deployment_config", {})
    return last


def _retained(record: Record, variants: dict[str, Any], parameters: Parameters) -> dict[str, Any]:
    """Variants with the numbers and weights that those of the same name have in service."""
    excluded = {
        one["VariantPropertyType"] for one in parameters.get("ExcludeRetainedVariantProperties", [])
    }
    kept = {"DesiredInstanceCount": "count", "DesiredWeight": "weight"}
    members = [ours for theirs, ours in kept.items() if theirs not in excluded]
    state = record.state
    present = state["deployments"].get(str(state["current"]), {}).get("variants", {})
    return {
        name: variant | {member: present[name][member] for member in members if name in present}
        for name, variant in variants.items()
    }


def _components_of(call: Call, record: Record) -> list[Record]:
    every = call.backends.records.all(COMPONENT.name)
    return [one for one in every if one.state["endpoint"] == record.name]


def _check_components(call: Call, record: Record, variants: dict[str, Any]) -> None:
    """What has inference components keeps a place for them."""
    for component in _components_of(call, record):
        name = component.state["variant"]
        if name not in variants or not is_bare(variants[name]):
            raise invalid(
                f"The inference component {component.name} is on the variant {name}, which would "
                "have no place for it. Delete it first."
            )


def _check_mode(record: Record, variants: dict[str, Any]) -> None:
    """Requests in a queue keep an endpoint that takes them, and callers one that answers them."""
    state = record.state
    present = state["deployments"].get(str(state["current"]), {}).get("variants", {})
    if present and any(map(is_async, present.values())) != any(map(is_async, variants.values())):
        raise invalid(
            "An endpoint cannot be changed from real-time to asynchronous inference or back: "
            "create another endpoint"
        )


def _check_capacity(record: Record, entry: Parameters) -> None:
    where = f"(variant `{entry['VariantName']}`)"
    current = record.state["current"]
    variants = record.state["deployments"].get(str(current), {}).get("variants", {})
    config = variants.get(entry["VariantName"], {}).get("serverless")
    update = entry.get("ServerlessUpdateConfig")
    if update is not None and not config:
        raise invalid(f"ServerlessUpdateConfig is for serverless variants {where}")
    if config and "DesiredInstanceCount" in entry:
        raise invalid(f"A serverless variant has no DesiredInstanceCount {where}")
    if update is not None:
        changed = {**config, **update}
        if changed.get("ProvisionedConcurrency", 0) > changed["MaxConcurrency"]:
            raise invalid(f"ProvisionedConcurrency must not be greater than MaxConcurrency {where}")
    is_asynchronous = is_async(variants.get(entry["VariantName"], {}))
    if entry.get("DesiredInstanceCount") == 0 and not is_asynchronous:
        raise invalid(
            "DesiredInstanceCount must be at least 1 for an endpoint that hosts a model by itself "
            f"{where}"
        )


def _check_resized(call: Call, record: Record, changes: dict[str, Resize]) -> None:
    """The account's limit, for what the fleet would be."""
    current = record.state["current"]
    if current is None:
        return
    variants = record.state["deployments"][str(current)]["variants"]
    _check_limit(
        call,
        {
            name: variant
            | ({"count": changes[name].count} if name in changes and changes[name].count else {})
            | _serverless_of(variant, changes.get(name))
            for name, variant in variants.items()
        },
    )


def _serverless_of(variant: dict[str, Any], change: Resize | None) -> dict[str, Any]:
    if change is None or change.serverless is None:
        return {}
    return {"serverless": {**variant["serverless"], **change.serverless}}


def _summary(record: Record) -> Parameters:
    return {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "CreationTime": when(record.created_at),
        "LastModifiedTime": when(record.modified_at),
        "EndpointStatus": record.status,
    }
