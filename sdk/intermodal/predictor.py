"""One endpoint, as something to call."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from intermodal.cards import card, line, status_of
from intermodal.console import ENDPOINTS, console_url
from intermodal.deserializers import BaseDeserializer, BytesDeserializer
from intermodal.names import base_from_name, name_from_base
from intermodal.production_variants import production_variant
from intermodal.renamed import PREDICTOR_NAMES, WrittenArguments, refuse_unknown
from intermodal.serializers import BaseSerializer, IdentitySerializer

if TYPE_CHECKING:
    from intermodal.session import Session
from intermodal.training_request import tag_list
from intermodal.which_session import session_for

_CONTENT_FLAGS = ("content_type", "accept")


class Predictor:
    """Sends data to an endpoint and gives back what it answers.

    Args:
        endpoint_name: the endpoint, which need not have been made here.
        sagemaker_session: boto3's own resolution where `None`.
        serializer: data to body.
        deserializer: body to data.
        component_name: an inference component of the endpoint.
    """

    def __init__(
        self,
        endpoint_name: str | None = None,
        sagemaker_session: "Session | None" = None,
        serializer: BaseSerializer | None = None,
        deserializer: BaseDeserializer | None = None,
        component_name: str | None = None,
        **old_names: Any,
    ) -> None:
        written = WrittenArguments(old_names, PREDICTOR_NAMES)
        endpoint_name = written.take("endpoint_name", endpoint_name)
        for flag in _CONTENT_FLAGS:
            if written.pop(flag, None) is not None:
                warnings.warn(
                    f"`{flag}` is the name of the vendor's SDK v1 and is ignored; "
                    "the serializer and deserializer say it",
                    DeprecationWarning,
                    stacklevel=2,
                )
        refuse_unknown(type(self).__name__, written, ("endpoint_name",))
        if not endpoint_name:
            raise TypeError("`endpoint_name` is missing: which endpoint?")
        self.endpoint_name: str = endpoint_name
        self.sagemaker_session: Session = session_for(None, sagemaker_session)
        self.serializer: BaseSerializer = serializer or IdentitySerializer()
        self.deserializer: BaseDeserializer = deserializer or BytesDeserializer()
        self.component_name = component_name

    @property
    def content_type(self) -> str:
        """Of the requests."""
        return self.serializer.CONTENT_TYPE

    @property
    def accept(self) -> tuple[str, ...]:
        """Content types that the responses may have."""
        return self.deserializer.ACCEPT

    def predict(
        self,
        data: Any,
        initial_args: Mapping[str, Any] | None = None,
        target_model: str | None = None,
        target_variant: str | None = None,
        inference_id: str | None = None,
        custom_attributes: str | None = None,
    ) -> Any:
        """Ask the endpoint.

        Args:
            data: what the serializer takes.
            initial_args: further arguments of boto3's `invoke_endpoint`; they win.
            target_model: of an endpoint with many models.
            target_variant: one variant instead of the traffic's share.
            inference_id: for data capture.
            custom_attributes: handed to the container.

        Returns:
            What the deserializer makes of the answer.

        Raises:
            botocore.exceptions.ClientError: the service or the model refused, in its own words.
        """
        request = {
            "EndpointName": self.endpoint_name,
            "ContentType": self.content_type,
            "Accept": ", ".join(self.accept),
            "TargetModel": target_model,
            "TargetVariant": target_variant,
            "InferenceId": inference_id,
            "CustomAttributes": custom_attributes,
            "InferenceComponentName": self.component_name,
            **(initial_args or {}),
        }
        body = request.pop("Body", None) or self.serializer.serialize(data)
        given = {name: value for name, value in request.items() if value is not None}
        response = self.sagemaker_session.sagemaker_runtime_client.invoke_endpoint(
            Body=body, **given
        )
        kind = response.get("ContentType", "application/octet-stream")
        return self.deserializer.deserialize(response["Body"], kind)

    def update_endpoint(
        self,
        initial_instance_count: int | None = None,
        instance_type: str | None = None,
        model_name: str | None = None,
        tags: Sequence[Mapping[str, str]] | Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> None:
        """Move the endpoint to other instances or another model; what is not given stays.

        Raises:
            EndpointFailedError: the service rolled back, and `wait` was asked for.
        """
        sagemaker = self.sagemaker_session.sagemaker_client
        current = self._variants()
        if len(current) != 1:
            raise ValueError(
                f"endpoint `{self.endpoint_name}` has {len(current)} variants; make an endpoint "
                "configuration with boto3 and give it to Session.update_endpoint()"
            )
        variant = production_variant(
            model_name or current[0]["ModelName"],
            instance_type or current[0].get("InstanceType"),
            initial_instance_count or current[0].get("InitialInstanceCount"),
            variant_name=current[0]["VariantName"],
        )
        config_name = name_from_base(base_from_name(self.endpoint_name))
        optional = {"Tags": tag_list(tags)} if tags else {}
        sagemaker.create_endpoint_config(
            EndpointConfigName=config_name, ProductionVariants=[variant], **optional
        )
        self.sagemaker_session.update_endpoint(self.endpoint_name, config_name, wait=wait)

    def delete_endpoint(self, delete_endpoint_config: bool = True) -> None:
        """Delete the endpoint, and its configuration unless that is to stay."""
        config_name = self._config_name() if delete_endpoint_config else None
        self.sagemaker_session.delete_endpoint(self.endpoint_name)
        if config_name:
            self.sagemaker_session.delete_endpoint_config(config_name)

    def delete_model(self) -> None:
        """Delete every model that the endpoint serves; call it before `delete_endpoint`."""
        for variant in self._variants():
            self.sagemaker_session.delete_model(variant["ModelName"])

    def __repr__(self) -> str:
        return line(type(self).__name__, {"endpoint_name": self.endpoint_name})

    def _repr_html_(self) -> str:
        session = self.sagemaker_session
        told = status_of(
            lambda: session.describe_endpoint(self.endpoint_name),
            *("EndpointStatus", "EndpointConfigName", "FailureReason"),
        )
        facts = {"endpoint": self.endpoint_name, **told}
        facts |= {"sends": self.content_type, "accepts": ", ".join(self.accept)}
        url = console_url(session, ENDPOINTS, self.endpoint_name)
        return card(type(self).__name__, facts, url)

    def _config_name(self) -> str:
        return str(
            self.sagemaker_session.describe_endpoint(self.endpoint_name)["EndpointConfigName"]
        )

    def _variants(self) -> list[dict[str, Any]]:
        answer = self.sagemaker_session.sagemaker_client.describe_endpoint_config(
            EndpointConfigName=self._config_name()
        )
        return list(answer["ProductionVariants"])
