"""The end of a drill that updates an endpoint to a model that should fail.

A bad model is the rollout's own business, which goes back by itself. One that turned out to be good
is in service, and what served before is deployed again, whatever has become of the drill.
"""

from typing import Any

from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.lifecycle.endpoint import EndpointBusyError, EndpointLifecycle
from intermodal_engine.lifecycle.faults import Fault
from intermodal_engine.lifecycle.fleet_kind import ENDPOINT
from intermodal_engine.lifecycle.fleet_state import deployment_of
from intermodal_engine.store.records import Record, RecordNotFoundError, Records

_UNDER_WAY = (EndpointStatus.CREATING, EndpointStatus.UPDATING, EndpointStatus.ROLLING_BACK)


def parameters_of(record: Record, config: str) -> dict[str, Any]:
    """What is to be known of an endpoint before it is updated to the configuration of a drill."""
    present = deployment_of(record.state, record.state["current"])
    return {
        "endpoint": record.name,
        "config": config,
        "before": present["config_name"],
        "variants": present["variants"],
        "capture": present["capture"],
    }


def go_back(records: Records, endpoints: EndpointLifecycle, fault: Fault) -> bool:
    """Has an endpoint serve again what it served before, if it does not.

    Returns:
        Whether nothing is left to do; while it is being updated, it is not known yet.
    """
    known = fault.parameters
    record = records.find(ENDPOINT.name, known["endpoint"])
    if record is None:
        return True
    if record.status in _UNDER_WAY:
        return False
    current = record.state["current"]
    if record.status != EndpointStatus.IN_SERVICE or (
        deployment_of(record.state, current)["config_name"] != known["config"]
    ):
        return True
    try:
        endpoints.update(record.name, known["before"], known["variants"], capture=known["capture"])
    except (EndpointBusyError, RecordNotFoundError):
        return False
    return True
