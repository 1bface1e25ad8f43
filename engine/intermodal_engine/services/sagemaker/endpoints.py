"""Endpoints: Create, Describe, Update, Delete, List."""

from typing import Any

from intermodal_engine.lifecycle.endpoint import EndpointBusyError
from intermodal_engine.lifecycle.fleet import KIND, members_of
from intermodal_engine.router.router import Health
from intermodal_engine.services.answers import not_served, when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.sagemaker.endpoint_configs import find_config, variants_of
from intermodal_engine.services.sagemaker.resources import arn, invalid, list_page, tags_of
from intermodal_engine.store.records import Record, RecordExistsError, RecordNotFoundError
from intermodal_engine.wire.errors import ServiceError


def create_endpoint(call: Call, parameters: Parameters) -> Parameters:
    """Begins to deploy a configuration; InService follows once all instances are healthy."""
    name = parameters["EndpointName"]
    endpoint_arn = arn(call, KIND, name)
    variants = variants_of(call, find_config(call, parameters["EndpointConfigName"]))
    _check_limit(call, variants)
    try:
        call.backends.endpoints.create(
            parameters,
            variants,
            arn=endpoint_arn,
            region=call.region,
            tags=tags_of(parameters),
        )
    except RecordExistsError as error:
        raise invalid(f'Cannot create already existing endpoint "{endpoint_arn}".') from error
    return {"EndpointArn": endpoint_arn}


def describe_endpoint(call: Call, parameters: Parameters) -> Parameters:
    """An endpoint, its variants, and how many instances of each are healthy."""
    record = find_endpoint(call, parameters["EndpointName"])
    state = record.state
    generation = state["current"] or state["target"] or max(map(int, state["deployments"]))
    deployment = state["deployments"][str(generation)]
    result: Parameters = {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "EndpointConfigName": deployment["config_name"],
        "EndpointStatus": record.status,
        "CreationTime": when(record.created_at),
        "LastModifiedTime": when(record.modified_at),
        "ProductionVariants": [
            _variant(call, record, generation, name, variant)
            for name, variant in deployment["variants"].items()
        ],
    }
    if "failure_reason" in state:
        result["FailureReason"] = state["failure_reason"]
    return result


def update_endpoint(call: Call, parameters: Parameters) -> Parameters:
    """Begins to deploy another configuration beside the one in service."""
    for member in ("DeploymentConfig", "RetainAllVariantProperties"):
        if parameters.get(member):
            raise not_served(f"`{member}`", "leave it out: all traffic moves at once")
    record = find_endpoint(call, parameters["EndpointName"])
    config = find_config(call, parameters["EndpointConfigName"])
    variants = variants_of(call, config)
    _check_limit(call, variants)
    try:
        call.backends.endpoints.update(record.name, config.name, variants)
    except EndpointBusyError as error:
        raise invalid(f'Cannot update in-progress endpoint "{record.arn}".') from error
    return {"EndpointArn": record.arn}


def delete_endpoint(call: Call, parameters: Parameters) -> Parameters:
    """Begins to delete an endpoint: its instances finish their requests first."""
    record = find_endpoint(call, parameters["EndpointName"])
    try:
        call.backends.endpoints.delete(record.name)
    except EndpointBusyError as error:
        raise invalid(f'Cannot update in-progress endpoint "{record.arn}".') from error
    return {}


def list_endpoints(call: Call, parameters: Parameters) -> Parameters:
    """Endpoints, newest first unless asked otherwise."""
    return list_page(call, KIND, parameters, "Endpoints", _summary)


OPERATIONS: dict[str, Operation] = {
    "CreateEndpoint": create_endpoint,
    "DescribeEndpoint": describe_endpoint,
    "UpdateEndpoint": update_endpoint,
    "DeleteEndpoint": delete_endpoint,
    "ListEndpoints": list_endpoints,
}


def find_endpoint(call: Call, name: str) -> Record:
    """An endpoint's record.

    Raises:
        ServiceError: there is none.
    """
    try:
        return call.backends.records.get(KIND, name)
    except RecordNotFoundError as error:
        raise invalid(f'Could not find endpoint "{arn(call, KIND, name)}".') from error


def _check_limit(call: Call, variants: dict[str, Any]) -> None:
    limit = call.backends.settings.max_endpoint_instances
    count = sum(variant["count"] for variant in variants.values())
    if count > limit:
        kind = next(iter(variants.values()))["instance_type"]
        raise ServiceError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{kind} for endpoint usage' is {limit} Instances, "
            f"with current utilization of 0 Instances and a request delta of {count} Instances. "
            "Start the engine with a larger `--max-endpoint-instances`.",
        )


def _variant(
    call: Call, record: Record, generation: int, name: str, variant: dict[str, Any]
) -> Parameters:
    healthy = sum(
        member.generation == generation
        and member.variant == name
        and call.backends.router.health(member.member_id) is Health.HEALTHY
        for member in members_of(record.state)
    )
    image = variant["container"]["Image"]
    return {
        "VariantName": name,
        "DeployedImages": [
            {
                "SpecifiedImage": image,
                "ResolvedImage": image,
                "ResolutionTime": when(record.created_at),
            }
        ],
        "CurrentWeight": variant["weight"],
        "DesiredWeight": variant["weight"],
        "CurrentInstanceCount": healthy,
        "DesiredInstanceCount": variant["count"],
    }


def _summary(record: Record) -> Parameters:
    return {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "CreationTime": when(record.created_at),
        "LastModifiedTime": when(record.modified_at),
        "EndpointStatus": record.status,
    }
