"""Models of several containers: pipelines, and containers that are invoked by their names.

https://docs.aws.amazon.com/sagemaker/latest/dg/multi-container-endpoints.html
"""

from typing import Any

from intermodal_engine.lifecycle.model_files import is_multi_model
from intermodal_engine.lifecycle.served import DIRECT
from intermodal_engine.services.call import Parameters
from intermodal_engine.services.sagemaker.resources import invalid


def served(definition: Parameters) -> dict[str, Any]:
    """The containers of a model as `lifecycle.served` has them: one that has no name is numbered.

    Args:
        definition: a request of CreateModel that `check_containers` has passed.
    """
    if "PrimaryContainer" in definition:
        return {"container": definition["PrimaryContainer"]}
    containers = definition["Containers"]
    if len(containers) == 1 and not _is_direct(definition):
        return {"container": containers[0]}
    named = [
        {**one, "ContainerHostname": one.get("ContainerHostname") or f"container-{number}"}
        for number, one in enumerate(containers, start=1)
    ]
    mode = definition.get("InferenceExecutionConfig", {}).get("Mode", "Serial")
    return {"container": named[0], "containers": named, "execution_mode": mode}


def check_containers(parameters: Parameters) -> None:
    """Refuses what makes no sense of several containers.

    Raises:
        ServiceError: naming it.
    """
    if "Containers" not in parameters and "InferenceExecutionConfig" in parameters:
        raise invalid("`InferenceExecutionConfig` needs `Containers`")
    containers = parameters.get("Containers", [])
    names = [one["ContainerHostname"] for one in containers if one.get("ContainerHostname")]
    if len(containers) > 1 and names and len(names) < len(containers):
        raise invalid(
            "If you specify a `ContainerHostname` for any container, you must specify one for every"
            " container"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise invalid(f"`ContainerHostname` must be unique: found {', '.join(twice)} twice")
    if _is_direct(parameters) and not names:
        raise invalid("`InferenceExecutionConfig` `Direct` needs a `ContainerHostname` for each")
    _check_many(containers, is_direct=_is_direct(parameters))


def _check_many(containers: list[dict[str, Any]], *, is_direct: bool) -> None:
    many = sum(is_multi_model(one) for one in containers)
    if many and is_direct:
        raise invalid("A container of `Mode` `MultiModel` cannot be invoked directly")
    if many > 1:
        raise invalid("Of several containers only one may have `Mode` `MultiModel`")


def _is_direct(parameters: Parameters) -> bool:
    return bool(parameters.get("InferenceExecutionConfig", {}).get("Mode") == DIRECT)
