"""What DescribeEndpoint shows of an endpoint's fleets and of the deployment under way."""

from typing import Any

from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.lifecycle.fleet import is_bare
from intermodal_engine.lifecycle.fleet_state import deployment_of, of_generation
from intermodal_engine.lifecycle.rollout import Phase
from intermodal_engine.lifecycle.served import containers_of
from intermodal_engine.router.router import Health
from intermodal_engine.services.answers import when
from intermodal_engine.services.call import Call, Parameters
from intermodal_engine.services.sagemaker.captures import summary_of
from intermodal_engine.store.records import Record

_PHASES = {
    Phase.LAUNCHING: ("Creating", "Launching instances"),
    Phase.BAKING: ("Baking", "The new fleet is watched before it gets more traffic"),
    Phase.TERMINATING: ("Baking", "The old fleet is kept for a while"),
}


def described(call: Call, record: Record) -> Parameters:
    """An endpoint, its variants, and how many instances of each are healthy."""
    state = record.state
    generation = state["current"] or state["target"] or max(map(int, state["deployments"]))
    deployment = deployment_of(state, generation)
    result: Parameters = {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "EndpointConfigName": deployment["config_name"],
        "EndpointStatus": record.status,
        "CreationTime": when(record.created_at),
        "LastModifiedTime": when(record.modified_at),
        **_variants(call, record, generation),
    }
    if deployment.get("capture"):
        result["DataCaptureConfig"] = summary_of(deployment["capture"])
    config = next(iter(deployment["variants"].values())).get("asynchronous")
    if config:
        result["AsyncInferenceConfig"] = config
    if "failure_reason" in state:
        result["FailureReason"] = state["failure_reason"]
    if state.get("last_deployment_config"):
        result["LastDeploymentConfig"] = state["last_deployment_config"]
    if state["current"] is not None and state.get("target") is not None:
        result["PendingDeploymentSummary"] = _pending(call, record)
    return result


def _pending(call: Call, record: Record) -> Parameters:
    target = record.state["target"]
    return {
        "EndpointConfigName": deployment_of(record.state, target)["config_name"],
        "StartTime": when(record.state["rollout"]["began_at"]),
        **_variants(call, record, target, is_pending=True),
    }


def _variants(
    call: Call, record: Record, generation: int, *, is_pending: bool = False
) -> Parameters:
    """`ProductionVariants`, and `ShadowProductionVariants` where there are any."""
    variants = deployment_of(record.state, generation)["variants"]
    shown: dict[str, list[Parameters]] = {"ProductionVariants": []}
    for name, variant in variants.items():
        summary = _variant(call, record, generation, name, variant)
        if is_pending and not variant.get("serverless"):
            summary["InstanceType"] = variant["instance_type"]
        status = _status(record, is_pending=is_pending)
        if status is not None:
            summary["VariantStatus"] = [status]
        member = "ShadowProductionVariants" if variant.get("is_shadow") else "ProductionVariants"
        shown.setdefault(member, []).append(summary)
    return {**shown}


def _variant(
    call: Call, record: Record, generation: int, name: str, variant: dict[str, Any]
) -> Parameters:
    members = [one for one in of_generation(record.state, generation) if one.variant == name]
    health = call.backends.router.health
    healthy = sum(is_bare(variant) or health(one.member_id) is Health.HEALTHY for one in members)
    share = record.state.get("traffic", {}).get(str(generation), 1.0)
    summary: Parameters = {
        "VariantName": name,
        "CurrentWeight": variant["weight"] * share,
        "DesiredWeight": variant["weight"],
        **_numbers(variant, healthy),
    }
    if not is_bare(variant):
        deployment = deployment_of(record.state, generation)
        summary["DeployedImages"] = deployed_images(deployment, variant)
    if variant.get("managed_scaling"):
        summary["ManagedInstanceScaling"] = variant["managed_scaling"]
    if variant.get("routing"):
        summary["RoutingConfig"] = variant["routing"]
    return summary


def _numbers(variant: dict[str, Any], healthy: int) -> Parameters:
    config = variant.get("serverless")
    if config:
        return {"CurrentServerlessConfig": config, "DesiredServerlessConfig": config}
    return {"CurrentInstanceCount": healthy, "DesiredInstanceCount": variant["count"]}


def deployed_images(deployment: dict[str, Any], variant: dict[str, Any]) -> list[Parameters]:
    """What was asked for, and by digest what runs; an environment that stands in has none."""
    shown: list[Parameters] = [{"SpecifiedImage": one.image} for one in containers_of(variant)]
    for image, resolved in zip(shown, variant.get("resolved_images", ()), strict=False):
        if resolved:
            image["ResolvedImage"] = resolved
            image["ResolutionTime"] = when(deployment["resolved_at"])
    return shown


def _status(record: Record, *, is_pending: bool) -> Parameters | None:
    """What is being done to a variant; None where nothing is."""
    state = record.state
    if is_pending or record.status == EndpointStatus.CREATING:
        rollout = state.get("rollout")
        if rollout is None:
            return None
        word, message = _PHASES[rollout["phase"]]
        return {"Status": word, "StatusMessage": message, "StartTime": when(rollout["began_at"])}
    if "resize" in state:
        message = "Changing weights and numbers of instances"
        began = when(state["resize"]["began_at"])
        return {"Status": "Updating", "StatusMessage": message, "StartTime": began}
    return None
