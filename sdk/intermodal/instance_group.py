"""Groups of equal instances in a mixed cluster."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class InstanceGroup:
    """One group of equal instances in a mixed cluster.

    Attributes:
        instance_group_name: as channels and distributions refer to it.
        instance_type: as in `ml.m5.xlarge`.
        instance_count: how many.
    """

    instance_group_name: str
    instance_type: str
    instance_count: int

    def request(self) -> dict[str, Any]:
        """The entry as CreateTrainingJob takes it."""
        return {
            "InstanceGroupName": self.instance_group_name,
            "InstanceType": self.instance_type,
            "InstanceCount": self.instance_count,
        }
