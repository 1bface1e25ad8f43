"""Models, endpoint configurations and endpoints on the wire."""

from collections.abc import Mapping, Sequence
from typing import Any

from intermodal.clients import Clients
from intermodal.waiters import EndpointWaiter


class Endpoints(Clients):
    """What a session does with models and endpoints."""

    def create_model(self, request: Mapping[str, Any]) -> str:
        """CreateModel with exactly these parameters; returns the model's name."""
        self.sagemaker_client.create_model(**request)
        return str(request["ModelName"])

    def endpoint_from_production_variants(
        self,
        name: str,
        production_variants: Sequence[Mapping[str, Any]],
        tags: Sequence[Mapping[str, str]] | None = None,
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
            "Tags": tags,
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

    def create_endpoint(
        self,
        endpoint_name: str,
        config_name: str,
        tags: Sequence[Mapping[str, str]] | None = None,
        wait: bool = True,
    ) -> str:
        """Create an endpoint of a configuration that exists; returns its name."""
        self.sagemaker_client.create_endpoint(
            EndpointName=endpoint_name, EndpointConfigName=config_name, Tags=list(tags or [])
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

    def wait_for_endpoint(self, endpoint: str) -> dict[str, Any]:
        """Wait until the endpoint is in service.

        Returns:
            Its last description.

        Raises:
            EndpointFailedError: it is in any other state: the reason, the last log lines.
        """
        return EndpointWaiter(self, endpoint).wait()

    def delete_endpoint(self, endpoint_name: str) -> None:
        """DeleteEndpoint."""
        self.sagemaker_client.delete_endpoint(EndpointName=endpoint_name)

    def delete_endpoint_config(self, endpoint_config_name: str) -> None:
        """DeleteEndpointConfig."""
        self.sagemaker_client.delete_endpoint_config(EndpointConfigName=endpoint_config_name)

    def delete_model(self, model_name: str) -> None:
        """DeleteModel."""
        self.sagemaker_client.delete_model(ModelName=model_name)
