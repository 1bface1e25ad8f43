"""One entry of an endpoint configuration's `ProductionVariants`."""

from collections.abc import Mapping
from typing import Any


def production_variant(
    model_name: str,
    instance_type: str | None = None,
    initial_instance_count: int | None = None,
    variant_name: str = "AllTraffic",
    initial_weight: float = 1,
    accelerator_type: str | None = None,
    serverless_inference_config: Mapping[str, Any] | None = None,
    volume_size: int | None = None,
    model_data_download_timeout: int | None = None,
    container_startup_health_check_timeout: int | None = None,
) -> dict[str, Any]:
    """One entry of `ProductionVariants`."""
    variant: dict[str, Any] = {
        "VariantName": variant_name,
        "ModelName": model_name,
        "InitialVariantWeight": initial_weight,
    }
    optional = {
        "InitialInstanceCount": initial_instance_count,
        "InstanceType": instance_type,
        "AcceleratorType": accelerator_type,
        "ServerlessConfig": serverless_inference_config,
        "VolumeSizeInGB": volume_size,
        "ModelDataDownloadTimeoutInSeconds": model_data_download_timeout,
        "ContainerStartupHealthCheckTimeoutInSeconds": container_startup_health_check_timeout,
    }
    variant.update({name: value for name, value in optional.items() if value is not None})
    return variant
