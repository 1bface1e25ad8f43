"""Whose fleets there are: those of endpoints, and those of inference components.

Both are kept at a number, changed by deployments and scaled in the same way. They differ in what
they are called, and in where a member finds its place.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FleetKind:
    """Who has a fleet.

    Attributes:
        name: the kind of its record, and its folder's name.
        log_group_prefix: of its CloudWatch Logs group, before the record's name.
    """

    name: str
    log_group_prefix: str


ENDPOINT = FleetKind("endpoint", "/aws/sagemaker/Endpoints/")
COMPONENT = FleetKind("inference-component", "/aws/sagemaker/InferenceComponents/")
FLEET_KINDS = (ENDPOINT, COMPONENT)
