"""The parts of CreateModel's and CreateEndpointConfig's requests: containers and variants."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intermodal.model import Model


def production_variant(
    model_name: str | None = None,
    instance_type: str | None = None,
    initial_instance_count: int | None = None,
    variant_name: str = "AllTraffic",
    initial_weight: float = 1,
    accelerator_type: str | None = None,
    serverless_inference_config: Mapping[str, Any] | None = None,
    volume_size: int | None = None,
    model_data_download_timeout: int | None = None,
    container_startup_health_check_timeout: int | None = None,
    managed_instance_scaling: Mapping[str, Any] | None = None,
    routing_config: Mapping[str, Any] | None = None,
    inference_ami_version: str | None = None,
) -> dict[str, Any]:
    """One entry of `ProductionVariants`; a serverless one has no instances."""
    variant: dict[str, Any] = {
        "VariantName": variant_name,
        "ModelName": model_name,
        "InitialVariantWeight": initial_weight if model_name else None,
        "AcceleratorType": accelerator_type,
        "ManagedInstanceScaling": managed_instance_scaling,
        "InferenceAmiVersion": inference_ami_version,
    }
    if serverless_inference_config:
        variant["ServerlessConfig"] = serverless_inference_config
    else:
        variant |= {
            "InitialInstanceCount": initial_instance_count or 1,
            "InstanceType": instance_type,
            "VolumeSizeInGB": volume_size,
            "ModelDataDownloadTimeoutInSeconds": model_data_download_timeout,
            "ContainerStartupHealthCheckTimeoutInSeconds": container_startup_health_check_timeout,
            "RoutingConfig": routing_config,
        }
    return {name: value for name, value in variant.items() if value not in (None, {})}


def container_def(
    image_uri: str,
    model_data_url: str | Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    container_mode: str | None = None,
    image_config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One container of CreateModel.

    Args:
        image_uri: the serving image.
        model_data_url: `s3://…/model.tar.gz`, or a `ModelDataSource`.
        env: the container's environment.
        container_mode: `SingleModel` or `MultiModel`.
        image_config: as CreateModel takes it.
    """
    container: dict[str, Any] = {"Image": image_uri, "Environment": dict(env or {})}
    if isinstance(model_data_url, Mapping):
        container["ModelDataSource"] = dict(model_data_url)
    elif model_data_url:
        container["ModelDataUrl"] = model_data_url
    if container_mode:
        container["Mode"] = container_mode
    if image_config:
        container["ImageConfig"] = dict(image_config)
    return container


def pipeline_container_def(
    models: "Sequence[Model]", instance_type: str | None = None
) -> list[dict[str, Any]]:
    """The containers of several models, in their order."""
    return [model.prepare_container_def(instance_type) for model in models]
