"""Models of the registry's packages: their containers are copied when the model is made.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry-deploy.html
"""

from typing import Any

from intermodal_engine.services.call import Call, Parameters
from intermodal_engine.services.sagemaker.model_packages import find_package
from intermodal_engine.services.sagemaker.resources import copy_members, invalid

_APPROVED = "Approved"
_OF_A_CONTAINER = ("ContainerHostname", "Image", "ModelDataUrl", "ModelDataSource")
"""What a model takes over of a package's container."""


def unpacked(call: Call, parameters: Parameters) -> Parameters:
    """The request with the containers of model packages in their place: packages may be deleted.

    Raises:
        ServiceError: there is no such package, or it may not be deployed.
    """
    given = [*parameters.get("Containers", [])]
    if "PrimaryContainer" in parameters:
        given.append(parameters["PrimaryContainer"])
    if not any("ModelPackageName" in container for container in given):
        return parameters
    containers = [one for container in given for one in _unpacked_container(call, container)]
    others = {
        name: value
        for name, value in parameters.items()
        if name not in {"PrimaryContainer", "Containers"}
    }
    return {**others, "Containers": containers}


def _unpacked_container(call: Call, container: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of its package, with its own variables over theirs."""
    name = container.get("ModelPackageName")
    if name is None:
        return [container]
    both = sorted(container.keys() & {"Image", "ModelDataUrl", "ModelDataSource"})
    if both:
        raise invalid(f"{', '.join(both)} cannot be given with ModelPackageName {name}")
    own = container.get("Environment", {})
    specification = container.get("InferenceSpecificationName")
    return [
        {
            **copy_members(one, *_OF_A_CONTAINER),
            **copy_members(container, "Mode", "MultiModelConfig"),
            "Environment": {**one.get("Environment", {}), **own},
        }
        for one in _containers_of(call, name, specification)
    ]


def _containers_of(call: Call, name_or_arn: str, specification: str | None) -> list[dict[str, Any]]:
    """The containers of a package that may be deployed.

    Args:
        call: the call.
        name_or_arn: as `find_package` takes it.
        specification: `InferenceSpecificationName`; None: the package's own specification.

    Raises:
        ServiceError: there is none, it is a version that nobody approved, or it has no containers.
    """
    record = find_package(call, name_or_arn)
    approval = record.state.get("approval")
    if record.state["type"] == "Versioned" and approval != _APPROVED:
        raise invalid(
            f"Cannot create a model from ModelPackage {record.arn}: its ModelApprovalStatus is "
            f"{approval} and must be {_APPROVED}. Approve it with UpdateModelPackage."
        )
    found = record.request.get("InferenceSpecification")
    if specification is not None:
        others = record.request.get("AdditionalInferenceSpecifications", [])
        found = next((one for one in others if one["Name"] == specification), None)
    if found is None:
        wanted = f"named {specification}" if specification else "of its own"
        raise invalid(f"ModelPackage {record.arn} has no inference specification {wanted}")
    containers: list[dict[str, Any]] = found["Containers"]
    return containers
