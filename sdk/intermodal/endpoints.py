"""Models, endpoint configurations and endpoints on the wire."""

from collections.abc import Mapping, Sequence
from typing import Any

from intermodal.identity import Identity
from intermodal.production_variants import container_def, production_variant
from intermodal.training_options import Tags
from intermodal.training_request import tag_list
from intermodal.waiters import EndpointWaiter

Container = Mapping[str, Any]
_CARRIED_OVER = ("KmsKeyId", "DataCaptureConfig", "AsyncInferenceConfig", "ExplainerConfig")


class Endpoints(Identity):
    """What a session does with models and endpoints."""

    # Models

    def create_model(
        self,
        name: str,
        role: str,
        container_defs: Container | Sequence[Container] | str | None = None,
        vpc_config: Mapping[str, Any] | None = None,
        enable_network_isolation: bool = False,
        primary_container: Container | str | None = None,
        tags: Tags | None = None,
    ) -> str:
        """Create a model of one container or of several.

        Args:
            name: the model's.
            role: what the containers run as; a name or an ARN.
            container_defs: of `container_def`, or an image's name.
            vpc_config: `{"Subnets": […], "SecurityGroupIds": […]}`.
            enable_network_isolation: the containers reach nothing outside.
            primary_container: the old name of `container_defs`.
            tags: the model's.

        Returns:
            Its name.
        """
        if container_defs and primary_container:
            raise ValueError("`container_defs` and `primary_container` are the same; give one")
        request = {
            "ModelName": name,
            "ExecutionRoleArn": self.expand_role(role),
            **_containers(container_defs or primary_container),
        }
        optional = {
            "VpcConfig": vpc_config,
            "EnableNetworkIsolation": enable_network_isolation,
            "Tags": self._tags(tags, "Model"),
        }
        request |= {key: value for key, value in optional.items() if value}
        self.sagemaker_client.create_model(**request)
        return name

    def describe_model(self, name: str) -> dict[str, Any]:
        """DescribeModel."""
        return dict(self.sagemaker_client.describe_model(ModelName=name))

    def delete_model(self, model_name: str) -> None:
        """DeleteModel."""
        self.sagemaker_client.delete_model(ModelName=model_name)

    # Endpoint configurations

    def create_endpoint_config(
        self,
        name: str,
        model_name: str | None = None,
        initial_instance_count: int | None = None,
        instance_type: str | None = None,
        accelerator_type: str | None = None,
        tags: Tags | None = None,
        kms_key: str | None = None,
        data_capture_config_dict: Mapping[str, Any] | None = None,
        volume_size: int | None = None,
        model_data_download_timeout: int | None = None,
        container_startup_health_check_timeout: int | None = None,
        explainer_config_dict: Mapping[str, Any] | None = None,
        async_inference_config_dict: Mapping[str, Any] | None = None,
        serverless_inference_config_dict: Mapping[str, Any] | None = None,
        routing_config: Mapping[str, Any] | None = None,
        inference_ami_version: str | None = None,
        production_variants: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """Create an endpoint configuration of these variants, else of one; returns its name."""
        variant = production_variant(
            model_name,
            instance_type,
            initial_instance_count,
            accelerator_type=accelerator_type,
            serverless_inference_config=serverless_inference_config_dict,
            volume_size=volume_size,
            model_data_download_timeout=model_data_download_timeout,
            container_startup_health_check_timeout=container_startup_health_check_timeout,
            routing_config=routing_config,
            inference_ami_version=inference_ami_version,
        )
        optional = {
            "KmsKeyId": kms_key,
            "DataCaptureConfig": data_capture_config_dict,
            "AsyncInferenceConfig": async_inference_config_dict,
            "ExplainerConfig": explainer_config_dict,
        }
        self.sagemaker_client.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=list(production_variants or [variant]),
            Tags=self._tags(tags, "EndpointConfig"),
            **{key: value for key, value in optional.items() if value},
        )
        return name

    def create_endpoint_config_from_existing(
        self,
        existing_config_name: str,
        new_config_name: str,
        new_tags: Tags | None = None,
        new_kms_key: str | None = None,
        new_data_capture_config_dict: Mapping[str, Any] | None = None,
        new_production_variants: Sequence[Mapping[str, Any]] | None = None,
        new_explainer_config_dict: Mapping[str, Any] | None = None,
    ) -> str:
        """Create an endpoint configuration like another; what is not given is carried over."""
        existing = self.sagemaker_client.describe_endpoint_config(
            EndpointConfigName=existing_config_name
        )
        carried = tag_list(new_tags) or self.list_tags(existing["EndpointConfigArn"])
        kept = {key: existing[key] for key in _CARRIED_OVER if existing.get(key)}
        new = {
            "KmsKeyId": new_kms_key,
            "DataCaptureConfig": new_data_capture_config_dict,
            "ExplainerConfig": new_explainer_config_dict,
            "Tags": self._tags(carried, "EndpointConfig"),
        }
        self.sagemaker_client.create_endpoint_config(
            EndpointConfigName=new_config_name,
            ProductionVariants=list(new_production_variants or existing["ProductionVariants"]),
            **kept | {key: value for key, value in new.items() if value},
        )
        return new_config_name

    def delete_endpoint_config(self, endpoint_config_name: str) -> None:
        """DeleteEndpointConfig."""
        self.sagemaker_client.delete_endpoint_config(EndpointConfigName=endpoint_config_name)

    def list_tags(self, resource_arn: str, max_results: int = 50) -> list[dict[str, str]]:
        """The tags of a resource that the caller may give, so not AWS's own."""
        pages = self.sagemaker_client.get_paginator("list_tags").paginate(
            ResourceArn=resource_arn, PaginationConfig={"PageSize": max_results}
        )
        tags = [tag for page in pages for tag in page["Tags"]]
        return [tag for tag in tags if not tag["Key"].lower().startswith("aws:")]

    # Endpoints

    def endpoint_from_production_variants(
        self,
        name: str,
        production_variants: Sequence[Mapping[str, Any]],
        tags: Tags | None = None,
        kms_key: str | None = None,
        wait: bool = True,
        data_capture_config_dict: Mapping[str, Any] | None = None,
        async_inference_config_dict: Mapping[str, Any] | None = None,
        explainer_config_dict: Mapping[str, Any] | None = None,
    ) -> str:
        """Create an endpoint configuration and an endpoint, both of that name.

        Raises:
            EndpointFailedError: it did not come into service, and `wait` was asked for.
        """
        optional = {
            "Tags": self._tags(tags, "EndpointConfig"),
            "KmsKeyId": kms_key,
            "DataCaptureConfig": data_capture_config_dict,
            "AsyncInferenceConfig": async_inference_config_dict,
            "ExplainerConfig": explainer_config_dict,
        }
        self.sagemaker_client.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=list(production_variants),
            **{key: value for key, value in optional.items() if value},
        )
        return self.create_endpoint(name, name, tags, wait=wait)

    def endpoint_from_model_data(
        self,
        model_s3_location: str | Mapping[str, Any],
        image_uri: str,
        initial_instance_count: int,
        instance_type: str,
        name: str,
        role: str,
        wait: bool = True,
        model_environment_vars: Mapping[str, str] | None = None,
        model_vpc_config: Mapping[str, Any] | None = None,
    ) -> str:
        """Create model, endpoint configuration and endpoint, all of that name.

        Raises:
            EndpointFailedError: it did not come into service, and `wait` was asked for.
        """
        container = container_def(image_uri, model_s3_location, model_environment_vars)
        self.create_model(name, role, container, vpc_config=model_vpc_config)
        self.create_endpoint_config(name, name, initial_instance_count, instance_type)
        return self.create_endpoint(name, name, wait=wait)

    def create_endpoint(
        self,
        endpoint_name: str,
        config_name: str,
        tags: Tags | None = None,
        wait: bool = True,
    ) -> str:
        """Create an endpoint of a configuration that exists; returns its name."""
        self.sagemaker_client.create_endpoint(
            EndpointName=endpoint_name,
            EndpointConfigName=config_name,
            Tags=self._tags(tags, "Endpoint"),
        )
        if wait:
            self.wait_for_endpoint(endpoint_name)
        return endpoint_name

    def update_endpoint(
        self, endpoint_name: str, endpoint_config_name: str, wait: bool = True
    ) -> str:
        """Move an endpoint to another configuration; returns its name.

        Raises:
            EndpointFailedError: the service rolled back, and `wait` was asked for.
        """
        self.sagemaker_client.update_endpoint(
            EndpointName=endpoint_name, EndpointConfigName=endpoint_config_name
        )
        if wait:
            EndpointWaiter(self, endpoint_name).wait(endpoint_config_name)
        return endpoint_name

    def describe_endpoint(self, endpoint_name: str) -> dict[str, Any]:
        """DescribeEndpoint."""
        return dict(self.sagemaker_client.describe_endpoint(EndpointName=endpoint_name))

    def endpoint_in_service_or_not(self, endpoint_name: str) -> bool:
        """Whether the endpoint is there and answers."""
        from botocore.exceptions import ClientError

        try:
            return bool(self.describe_endpoint(endpoint_name)["EndpointStatus"] == "InService")
        except ClientError as error:
            # The service has no code of its own for it.
            if "could not find" in str(error).lower():
                return False
            raise

    def wait_for_endpoint(self, endpoint: str, poll: float | None = None) -> dict[str, Any]:  # noqa: ARG002 - the vendor's
        """Wait until the endpoint is in service.

        Args:
            endpoint: its name.
            poll: taken for compatibility; how often the service is asked, `polling.py` says.

        Returns:
            Its last description.

        Raises:
            EndpointFailedError: it is in any other state: the reason, the last log lines.
        """
        return EndpointWaiter(self, endpoint).wait()

    def delete_endpoint(self, endpoint_name: str) -> None:
        """DeleteEndpoint."""
        self.sagemaker_client.delete_endpoint(EndpointName=endpoint_name)

    def _tags(self, tags: Tags | None, what: str) -> list[dict[str, str]]:
        return self.defaults.with_tags(tag_list(tags), what)


def _containers(given: Container | Sequence[Container] | str | None) -> dict[str, Any]:
    """`PrimaryContainer` for one, `Containers` for several."""
    if not given:
        raise ValueError("`container_defs` is missing: which image?")
    if isinstance(given, str):
        return {"PrimaryContainer": container_def(given)}
    if isinstance(given, Mapping):
        return {"PrimaryContainer": dict(given)}
    return {"Containers": [dict(container) for container in given]}
