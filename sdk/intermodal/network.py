"""The network of a processing job."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from intermodal.defaults import PROCESSING_NETWORK, Defaults, fill


@dataclass
class NetworkConfig:
    """The network of a processing job.

    Attributes:
        enable_network_isolation: the containers reach nothing outside.
        security_group_ids: in the VPC of the subnets.
        subnets: of the VPC that the instances join.
        encrypt_inter_container_traffic: between instances.
    """

    enable_network_isolation: bool | None = None
    security_group_ids: Sequence[str] | None = None
    subnets: Sequence[str] | None = None
    encrypt_inter_container_traffic: bool | None = None

    def request(self) -> dict[str, Any]:
        """`NetworkConfig` as CreateProcessingJob takes it."""
        request: dict[str, Any] = {"EnableNetworkIsolation": bool(self.enable_network_isolation)}
        if self.encrypt_inter_container_traffic is not None:
            encrypted = self.encrypt_inter_container_traffic
            request["EnableInterContainerTrafficEncryption"] = encrypted
        vpc = {"SecurityGroupIds": self.security_group_ids, "Subnets": self.subnets}
        given = {name: list(values) for name, values in vpc.items() if values is not None}
        return {**request, "VpcConfig": given} if given else request


def network_by_default(given: NetworkConfig | None, defaults: Defaults) -> NetworkConfig | None:
    """What was given, and what the defaults say of the rest; `None` where neither says anything."""
    network = NetworkConfig() if given is None else replace(given)
    fill(network, PROCESSING_NETWORK, defaults)
    return None if given is None and network == NetworkConfig() else network
