"""Endpoint configurations: which models, on how many instances of which type."""

from typing import Any

from intermodal_contract.channel import InvalidS3UriError, parse_s3_uri
from intermodal_engine.lifecycle.captures.rules import is_enabled
from intermodal_engine.lifecycle.on_demand import INSTANCE_TYPE
from intermodal_engine.lifecycle.resizing import first_count
from intermodal_engine.services.answers import not_served, when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.sagemaker.captures import check_destination
from intermodal_engine.services.sagemaker.models import containers_of, find_model
from intermodal_engine.services.sagemaker.resources import (
    arn,
    copy_members,
    invalid,
    list_page,
    tags_of,
)
from intermodal_engine.store.records import Record, RecordExistsError, RecordNotFoundError

KIND = "endpoint-config"

_NOT_SERVED = {
    "ExplainerConfig": "leave it out",
}
_STRATEGIES = ("RANDOM", "LEAST_OUTSTANDING_REQUESTS")


def create_endpoint_config(call: Call, parameters: Parameters) -> Parameters:
    """Stores a configuration whose models exist."""
    _check(parameters)
    for variant in _all_variants(parameters):
        if "ModelName" in variant:
            find_model(call, variant["ModelName"])
    name = parameters["EndpointConfigName"]
    config_arn = arn(call, KIND, name)
    try:
        call.backends.records.insert(
            KIND, name, arn=config_arn, request=parameters, tags=tags_of(parameters)
        )
    except RecordExistsError as error:
        raise invalid(
            f'Cannot create already existing endpoint configuration "{config_arn}".'
        ) from error
    return {"EndpointConfigArn": config_arn}


def describe_endpoint_config(call: Call, parameters: Parameters) -> Parameters:
    """A configuration as it was created, with the service's defaults filled in."""
    record = find_config(call, parameters["EndpointConfigName"])
    variants: Parameters = {
        member: [{"InitialVariantWeight": 1.0, **variant} for variant in record.request[member]]
        for member in ("ProductionVariants", "ShadowProductionVariants")
        if member in record.request
    }
    return {
        **copy_members(
            record.request,
            *("EndpointConfigName", "KmsKeyId", "ExecutionRoleArn", "VpcConfig"),
            *("DataCaptureConfig", "AsyncInferenceConfig"),
        ),
        **variants,
        "EnableNetworkIsolation": record.request.get("EnableNetworkIsolation", False),
        "EndpointConfigArn": record.arn,
        "CreationTime": when(record.created_at),
    }


def delete_endpoint_config(call: Call, parameters: Parameters) -> Parameters:
    """Deletes a configuration; endpoints that were made from it go on."""
    find_config(call, parameters["EndpointConfigName"])
    call.backends.records.delete(KIND, parameters["EndpointConfigName"])
    return {}


def list_endpoint_configs(call: Call, parameters: Parameters) -> Parameters:
    """Configurations, newest first unless asked otherwise."""
    return list_page(call, KIND, parameters, "EndpointConfigs", _summary)


OPERATIONS: dict[str, Operation] = {
    "CreateEndpointConfig": create_endpoint_config,
    "DescribeEndpointConfig": describe_endpoint_config,
    "DeleteEndpointConfig": delete_endpoint_config,
    "ListEndpointConfigs": list_endpoint_configs,
}


def find_config(call: Call, name: str) -> Record:
    """A configuration's record.

    Raises:
        ServiceError: there is none.
    """
    try:
        return call.backends.records.get(KIND, name)
    except RecordNotFoundError as error:
        raise invalid(
            f'Could not find endpoint configuration "{arn(call, KIND, name)}".'
        ) from error


def variants_of(call: Call, config: Record) -> dict[str, Any]:
    """What a deployment of the configuration needs, copied out of its models.

    Raises:
        ServiceError: a model has been deleted.
    """
    shadows = config.request.get("ShadowProductionVariants", [])
    variants = {
        variant["VariantName"]: _deployable(call, config, variant)
        for variant in config.request["ProductionVariants"]
    }
    for variant in shadows:
        variants[variant["VariantName"]] = {
            **_deployable(call, config, variant),
            "is_shadow": True,
        }
    return variants


def _deployable(call: Call, config: Record, variant: Parameters) -> dict[str, Any]:
    """What a deployment needs; a variant without a model has instances for components."""
    model = find_model(call, variant["ModelName"]) if "ModelName" in variant else None
    request = config.request if model is None else model.request
    return {
        **({"container": None} if model is None else containers_of(model)),
        "role_arn": request.get("ExecutionRoleArn", ""),
        "network_isolation": request.get("EnableNetworkIsolation", False),
        "managed_scaling": variant.get("ManagedInstanceScaling"),
        **_size(variant),
        "weight": variant.get("InitialVariantWeight", 1.0),
        "startup_timeout_s": variant.get("ContainerStartupHealthCheckTimeoutInSeconds"),
        "routing": variant.get("RoutingConfig"),
        "volume_gib": variant.get("VolumeSizeInGB"),
        "asynchronous": config.request.get("AsyncInferenceConfig"),
    }


def _size(variant: Parameters) -> dict[str, Any]:
    """How many instances of which size; serverless ones have cores by their memory."""
    config = variant.get("ServerlessConfig")
    if config is None:
        return {"instance_type": variant["InstanceType"], "count": variant["InitialInstanceCount"]}
    memory_mib = config["MemorySizeInMB"]
    needs = {"NumberOfCpuCoresRequired": memory_mib / 1024, "MaxMemoryRequiredInMb": memory_mib}
    return {
        "instance_type": INSTANCE_TYPE,
        "count": first_count(config),
        "serverless": config,
        "needs": needs,
    }


def _all_variants(parameters: Parameters) -> list[Parameters]:
    return [
        *parameters["ProductionVariants"],
        *parameters.get("ShadowProductionVariants", []),
    ]


def _check(parameters: Parameters) -> None:
    for member, instead in _NOT_SERVED.items():
        if parameters.get(member):
            raise not_served(f"`{member}`", instead)
    names = [variant["VariantName"] for variant in _all_variants(parameters)]
    if len(set(names)) < len(names):
        raise invalid("Variant names must be unique: found " + ", ".join(sorted(names)))
    for variant in _all_variants(parameters):
        _check_variant(variant, f"(variant `{variant['VariantName']}`)")
    _check_shadows(parameters)
    if "DataCaptureConfig" in parameters:
        check_destination(parameters["DataCaptureConfig"])
    _check_components(parameters)
    _check_beside_serverless(parameters)
    if "AsyncInferenceConfig" in parameters:
        _check_asynchronous(parameters)


def _check_variant(variant: Parameters, where: str) -> None:
    if "ServerlessConfig" in variant:
        _check_serverless(variant, where)
        return
    missing = [one for one in ("InstanceType", "InitialInstanceCount") if one not in variant]
    if missing:
        raise invalid(f"You must specify {' and '.join(missing)} {where}")
    strategy = variant.get("RoutingConfig", {}).get("RoutingStrategy", _STRATEGIES[0])
    if strategy not in _STRATEGIES:
        raise not_served(f"`RoutingStrategy` `{strategy}` {where}", f"use {_STRATEGIES[1]}")


def _check_serverless(variant: Parameters, where: str) -> None:
    """AWS page: serverless-endpoints-create-config."""
    config = variant["ServerlessConfig"]
    own = [one for one in ("InstanceType", "InitialInstanceCount") if one in variant]
    if own:
        raise invalid(f"ServerlessConfig cannot be used with {' and '.join(own)} {where}")
    if "ModelName" not in variant:
        raise invalid(f"You must specify ModelName {where}")
    if config["MemorySizeInMB"] % 1024:
        raise invalid(f"MemorySizeInMB must be a multiple of 1024 {where}")
    if config.get("ProvisionedConcurrency", 0) > config["MaxConcurrency"]:
        raise invalid(f"ProvisionedConcurrency must not be greater than MaxConcurrency {where}")


def _check_shadows(parameters: Parameters) -> None:
    """As AWS has it: one production variant, and one shadow of it."""
    shadows = parameters.get("ShadowProductionVariants", [])
    if shadows and (len(shadows) > 1 or len(parameters["ProductionVariants"]) > 1):
        raise invalid(
            "An endpoint configuration with a shadow variant has exactly one production variant "
            "and one shadow variant"
        )


def _check_beside_serverless(parameters: Parameters) -> None:
    """What AWS does not have with serverless variants."""
    variants = _all_variants(parameters)
    if not any("ServerlessConfig" in variant for variant in variants):
        return
    if len(variants) > 1:
        raise invalid("A serverless variant must be the only one of its endpoint configuration")
    if parameters.get("DataCaptureConfig", {}).get("EnableCapture"):
        raise invalid("DataCaptureConfig is not supported for serverless endpoints")


def _check_asynchronous(parameters: Parameters) -> None:
    """AWS page: async-inference-create-endpoint-create-endpoint-config."""
    variants = _all_variants(parameters)
    if len(variants) > 1:
        raise invalid("An asynchronous endpoint has exactly one production variant")
    if "ServerlessConfig" in variants[0]:
        raise invalid("AsyncInferenceConfig is not supported for serverless endpoints")
    if "ModelName" not in variants[0]:
        raise invalid("AsyncInferenceConfig is not supported with inference components")
    output = parameters["AsyncInferenceConfig"]["OutputConfig"]
    if not output.get("S3OutputPath"):
        raise invalid("You must specify S3OutputPath in OutputConfig of AsyncInferenceConfig")
    for member in ("S3OutputPath", "S3FailurePath"):
        try:
            parse_s3_uri(output.get(member) or output["S3OutputPath"])
        except InvalidS3UriError as error:
            raise invalid(f"{member}: {error.message}; {error.hint}") from error


def _check_components(parameters: Parameters) -> None:
    """All variants have a model, or none has, and its instances are for inference components."""
    variants = _all_variants(parameters)
    bare = [variant["VariantName"] for variant in variants if "ModelName" not in variant]
    if not bare:
        if any("ManagedInstanceScaling" in variant for variant in variants):
            raise invalid("ManagedInstanceScaling is for variants without ModelName")
        return
    if len(bare) < len(variants) or "ShadowProductionVariants" in parameters:
        raise invalid(
            "Either all production variants have a ModelName, or none has and inference components "
            f"are deployed to them: there is none for {', '.join(bare)}"
        )
    if "ExecutionRoleArn" not in parameters:
        raise invalid("ExecutionRoleArn must be given where production variants have no ModelName")
    if is_enabled(parameters.get("DataCaptureConfig")):
        raise not_served("`DataCaptureConfig` with inference components", "leave it out")
    for variant in variants:
        scaling = variant.get("ManagedInstanceScaling", {})
        least, most = scaling.get("MinInstanceCount", 1), scaling.get("MaxInstanceCount")
        if scaling.get("Status") == "ENABLED" and most is not None and least > most:
            raise invalid(
                f"MinInstanceCount ({least}) must not be greater than MaxInstanceCount ({most}) "
                f"(variant `{variant['VariantName']}`)"
            )


def _summary(record: Record) -> Parameters:
    return {
        "EndpointConfigName": record.name,
        "EndpointConfigArn": record.arn,
        "CreationTime": when(record.created_at),
    }
