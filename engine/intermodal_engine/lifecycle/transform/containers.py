"""The containers of a transform job's instances: one each, or several one after the other.

Several are hosts of their own, beside the folder of their instance, which has the objects.
"""

from dataclasses import dataclass
from typing import Any

from intermodal_engine.lifecycle.served import Served, containers_of
from intermodal_engine.lifecycle.transform_request import TransformRequest


@dataclass(frozen=True, slots=True)
class ContainerRequest(TransformRequest):
    """A view of a job's request for one container of one instance.

    Attributes:
        instance: host name of the instance.
        served: the container.
    """

    instance: str
    served: Served

    @property
    def host(self) -> str:
        """The container's host name: the instance's, where it is the only one."""
        return f"{self.instance}-{self.served.number}" if self.served.name else self.instance

    @property
    def hosts(self) -> tuple[str, ...]:
        """Instances reach each other; containers of a row need nobody."""
        return (self.host,) if self.served.name else TransformRequest.hosts.__get__(self)

    @property
    def title(self) -> str:
        """What to call it."""
        return f"{self.instance}/{self.served.name}" if self.served.name else self.instance

    @property
    def container(self) -> dict[str, Any]:
        """The container's definition."""
        return dict(self.served.definition)


def containers(request: TransformRequest) -> list[ContainerRequest]:
    """All containers of all instances, those of an instance in their order."""
    return [
        ContainerRequest(request.record, instance, served)
        for instance in request.hosts
        for served in containers_of(request.record.state)
    ]
