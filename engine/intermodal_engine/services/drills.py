"""What `intermodal drill` asks the engine for: faults, and how what they are about is doing."""

from collections.abc import Callable, Mapping
from typing import Any

from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.lifecycle import deployment_drill
from intermodal_engine.lifecycle.endpoint import EndpointLifecycle, NoSuchMemberError
from intermodal_engine.lifecycle.faults import LONGEST_S, FaultKind
from intermodal_engine.lifecycle.fleet import endpoint_of, members_of, traffic_of, zones
from intermodal_engine.lifecycle.fleet_kind import COMPONENT, ENDPOINT
from intermodal_engine.lifecycle.fleet_state import deployment_of, wanted_of
from intermodal_engine.lifecycle.spot_interruptions import check_interruptible, interrupt
from intermodal_engine.lifecycle.training_instances import KIND as TRAINING_JOB
from intermodal_engine.lifecycle.training_job import NotSpotError
from intermodal_engine.lifecycle.training_request import TrainingRequest
from intermodal_engine.lifecycle.training_status import secondary_status
from intermodal_engine.services.call import Backends
from intermodal_engine.store.records import Record, RecordNotFoundError
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.models import SERVICES

Parameters = dict[str, Any]

_STATUSES = range(400, 600)


def interrupt_spot_job(backends: Backends, parameters: Parameters) -> Parameters:
    """`intermodal drill spot`: interrupts `job`; with `only_check` no more than that it might."""
    name = _text(parameters, "job")
    try:
        if parameters.get("only_check"):
            check_interruptible(backends.records, name)
        else:
            interrupt(backends.records, backends.training_jobs, name, cause="drill")
    except RecordNotFoundError as error:
        raise _unknown("training job", name, "list-training-jobs") from error
    except NotSpotError as error:
        raise ServiceError("Conflict", str(error), status=409) from error
    request = TrainingRequest(backends.records.get(TRAINING_JOB, name))
    checkpoints = request.checkpoints
    return {
        "job": name,
        "notice_s": backends.settings.stop_grace_s,
        "capacity_wait_s": backends.settings.spot_capacity_wait_s,
        "checkpoint_s3_uri": f"s3://{checkpoints[0].bucket}/{checkpoints[0].key}"
        if checkpoints
        else None,
    }


def describe_job(backends: Backends, parameters: Parameters) -> Parameters:
    """How the training job `job` is, and what it runs on."""
    name = _text(parameters, "job")
    try:
        record = backends.records.get(TRAINING_JOB, name)
    except RecordNotFoundError as error:
        raise _unknown("training job", name, "list-training-jobs") from error
    resources = record.request["ResourceConfig"]
    groups = resources.get("InstanceGroups") or [resources]
    return {
        "status": record.status,
        "secondary_status": secondary_status(record),
        "instances": [
            {"type": one["InstanceType"], "count": one["InstanceCount"]} for one in groups
        ],
        "spot_price_ratio": backends.settings.spot_price_ratio,
    }


def describe_endpoint(backends: Backends, parameters: Parameters) -> Parameters:
    """How `endpoint`, or its inference component `component`, is, and what it runs on."""
    lifecycle, record = _fleet(backends, parameters)
    current = record.state["current"]
    wanted = {} if current is None else wanted_of(record.state, current)
    healthy = lifecycle.healthy(record) if current is not None else []
    in_service = record.status == EndpointStatus.IN_SERVICE
    members = members_of(record.state)
    return {
        "status": record.status,
        "is_whole": in_service and sum(wanted.values()) == len(healthy) == len(members),
        "config": None if current is None else deployment_of(record.state, current)["config_name"],
        "failure_reason": record.state.get("failure_reason"),
        "members": [
            {
                "instance": one.member_id,
                "variant": one.variant,
                "zone": one.zone,
                "is_healthy": one in healthy,
            }
            for one in members
        ],
        "instances": _instances(backends, record),
    }


def kill_instance(backends: Backends, parameters: Parameters) -> Parameters:
    """`intermodal drill instance`: kills an instance of `endpoint`: any, or `instance`."""
    lifecycle, record = _fleet(backends, parameters)
    wanted = parameters.get("instance")
    try:
        member = lifecycle.kill(record.name, wanted)
    except NoSuchMemberError as error:
        there = ", ".join(f"`{one.member_id}`" for one in lifecycle.healthy(record))
        what = f"no instance `{wanted}` that runs" if wanted else "no instance that serves now"
        raise ServiceError(
            "Conflict",
            f"{record.kind} `{record.name}` has {what}",
            status=409,
            fields={"hint": f"it has {there}" if there else "wait until it is InService"},
        ) from error
    return {"instance": member.member_id, "variant": member.variant, "zone": member.zone}


def begin_fault(backends: Backends, parameters: Parameters) -> Parameters:
    """Begins a fault of the kind `kind` for `seconds`; see `lifecycle/faults.py`."""
    try:
        kind = FaultKind(_text(parameters, "kind"))
    except ValueError as error:
        raise _invalid(f"there is no fault of the kind `{parameters['kind']}`") from error
    seconds = _number(parameters, "seconds", 0.1, LONGEST_S)
    if any(one.kind is FaultKind.DISK_FULL for one in backends.faults.present()):
        raise ServiceError(
            "Conflict",
            "another drill keeps the disk full, so that no fault can be written down",
            status=409,
            fields={"hint": "wait until it is over"},
        )
    what = _PARAMETERS[kind](backends, parameters)
    fault = backends.faults.begin(kind, what, seconds)
    return {"fault": fault.name, "until": fault.until}


def end_fault(backends: Backends, parameters: Parameters) -> Parameters:
    """Ends the fault `fault` before its time; harmless where it is over."""
    backends.faults.end(_text(parameters, "fault"))
    return {}


def describe_zone(backends: Backends, parameters: Parameters) -> Parameters:
    """Which endpoints have instances in `zone`."""
    zone = _text(parameters, "zone")
    kinds = (ENDPOINT, COMPONENT)
    records = [one for kind in kinds for one in backends.records.all(kind.name)]
    known = {name for record in records for name in zones(record.state["region"])}
    known |= set(zones(backends.settings.region))
    if zone not in known:
        raise ServiceError(
            "ResourceNotFound",
            f"there is no zone `{zone}`",
            status=404,
            fields={"hint": f"the zones are {', '.join(sorted(known))}"},
        )
    there = [each for each in records if any(one.zone == zone for one in members_of(each.state))]
    if not there:
        raise ServiceError(
            "Conflict",
            f"no instance of an endpoint runs in the zone `{zone}`",
            status=409,
            fields={"hint": "`intermodal status` shows where instances run"},
        )
    return {"zone": zone, "endpoints": sorted({endpoint_of(one) for one in there})}


def _zone(backends: Backends, parameters: Parameters) -> Parameters:
    return {"zone": describe_zone(backends, parameters)["zone"]}


def _latency(backends: Backends, parameters: Parameters) -> Parameters:
    delay_s = _number(parameters, "delay_s", 0.001, LONGEST_S)
    return {**_requests(backends, parameters), "delay_s": delay_s}


def _errors(backends: Backends, parameters: Parameters) -> Parameters:
    status = parameters.get("status", 500)
    if status not in _STATUSES:
        raise _invalid(f"`{status}` is no HTTP status of an error (400 to 599)")
    return {**_requests(backends, parameters), "status": status}


def _requests(backends: Backends, parameters: Parameters) -> Parameters:
    """Which requests a fault is about: those for a target, or for one variant of it."""
    _, record = _fleet(backends, parameters)
    variant = parameters.get("variant")
    current = record.state["current"]
    there = [] if current is None else deployment_of(record.state, current)["variants"]
    if variant is not None and variant not in there:
        raise ServiceError(
            "ResourceNotFound",
            f"{record.kind} `{record.name}` has no variant `{variant}`",
            status=404,
            fields={"hint": f"it has {', '.join(f'`{one}`' for one in there)}"},
        )
    fraction = _number(parameters, "fraction", 0.0, 1.0)
    return {"target": traffic_of(record), "variant": variant, "fraction": fraction}


def _throttle(_backends: Backends, parameters: Parameters) -> Parameters:
    service = parameters.get("service")
    known = sorted(one.name for one in SERVICES)
    if service is not None and service not in known:
        raise ServiceError(
            "ResourceNotFound",
            f"there is no service `{service}`",
            status=404,
            fields={"hint": f"the services are {', '.join(known)}"},
        )
    return {"service": service, "fraction": _number(parameters, "fraction", 0.0, 1.0)}


def _deployment(backends: Backends, parameters: Parameters) -> Parameters:
    _, record = _fleet(backends, {"endpoint": parameters.get("endpoint")})
    if record.state["current"] is None:
        raise _invalid(f"endpoint `{record.name}` serves nothing yet")
    return deployment_drill.parameters_of(record, _text(parameters, "config"))


def _disk_full(_backends: Backends, _parameters: Parameters) -> Parameters:
    return {}


_PARAMETERS: Mapping[FaultKind, Callable[[Backends, Parameters], Parameters]] = {
    FaultKind.ZONE: _zone,
    FaultKind.LATENCY: _latency,
    FaultKind.ERRORS: _errors,
    FaultKind.THROTTLE: _throttle,
    FaultKind.DISK_FULL: _disk_full,
    FaultKind.DEPLOYMENT: _deployment,
}
"""What a fault of each kind is about, checked."""


def _fleet(backends: Backends, parameters: Parameters) -> tuple[EndpointLifecycle, Record]:
    endpoint, component = _text(parameters, "endpoint"), parameters.get("component")
    record = backends.records.find(ENDPOINT.name, endpoint)
    if record is None:
        raise _unknown("endpoint", endpoint, "list-endpoints")
    if component is None:
        return backends.endpoints, record
    found = backends.records.find(COMPONENT.name, component)
    if found is None or found.state["endpoint"] != endpoint:
        raise _unknown("inference component", component, "list-inference-components")
    return backends.components, found


def _instances(backends: Backends, record: Record) -> list[Parameters]:
    """Types and numbers of the instances that are paid for: a component's are its endpoint's."""
    paid = backends.records.get(ENDPOINT.name, record.state.get("endpoint", record.name))
    counts: dict[str, int] = {}
    for member in members_of(paid.state):
        variants: Mapping[str, Any] = deployment_of(paid.state, member.generation)["variants"]
        kind = variants[member.variant]["instance_type"]
        counts[kind] = counts.get(kind, 0) + 1
    return [{"type": kind, "count": count} for kind, count in counts.items()]


def _text(parameters: Mapping[str, Any], name: str) -> str:
    value = parameters.get(name)
    if not isinstance(value, str):
        raise _invalid(f"`{name}` must be a text")
    return value


def _number(parameters: Mapping[str, Any], name: str, least: float, most: float) -> float:
    value = parameters.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _invalid(f"`{name}` must be a number from {least:g} to {most:g}")
    return float(value)


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def _unknown(kind: str, name: str, listing: str) -> ServiceError:
    return ServiceError(
        "ResourceNotFound",
        f"there is no {kind} `{name}`",
        status=404,
        fields={"hint": f"`intermodal exec -- aws sagemaker {listing}` names them"},
    )
