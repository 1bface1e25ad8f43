"""One endpoint, as something to call."""

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from intermodal.cards import card, line, status_of
from intermodal.console import ENDPOINTS, console_url
from intermodal.deserializers import BaseDeserializer, BytesDeserializer
from intermodal.iterators import ByteIterator
from intermodal.names import base_from_name, name_from_base
from intermodal.renamed import PREDICTOR_NAMES, WrittenArguments, refuse_unknown
from intermodal.serializers import BaseSerializer, IdentitySerializer
from intermodal.training_options import Tags
from intermodal.which_session import session_for

if TYPE_CHECKING:
    from intermodal.session import Session

_CONTENT_FLAGS = ("content_type", "accept")


class Predictor:
    """Sends data to an endpoint and gives back what it answers.

    Args:
        endpoint_name: the endpoint, which need not have been made here.
        sagemaker_session: boto3's own resolution where `None`.
        serializer: data to body; what the class names by default where `None`.
        deserializer: body to data; likewise.
        component_name: an inference component of the endpoint.
    """

    default_serializer: ClassVar[type[BaseSerializer]] = IdentitySerializer
    default_deserializer: ClassVar[type[BaseDeserializer]] = BytesDeserializer

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
        self.serializer: BaseSerializer = serializer or self.default_serializer()
        self.deserializer: BaseDeserializer = deserializer or self.default_deserializer()
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
        component_name: str | None = None,
    ) -> Any:
        """Ask the endpoint.

        Args:
            data: what the serializer takes.
            initial_args: further arguments of boto3's `invoke_endpoint`; they win.
            target_model: of an endpoint with many models.
            target_variant: one variant instead of the traffic's share.
            inference_id: for data capture.
            custom_attributes: handed to the container.
            component_name: an inference component instead of the predictor's.

        Returns:
            What the deserializer makes of the answer.

        Raises:
            botocore.exceptions.ClientError: the service or the model refused, in its own words.
        """
        request = self._request(
            data,
            initial_args,
            TargetModel=target_model,
            TargetVariant=target_variant,
            InferenceId=inference_id,
            CustomAttributes=custom_attributes,
            InferenceComponentName=component_name or self.component_name,
        )
        response = self.sagemaker_session.sagemaker_runtime_client.invoke_endpoint(**request)
        kind = response.get("ContentType", "application/octet-stream")
        return self.deserializer.deserialize(response["Body"], kind)

    def predict_stream(
        self,
        data: Any,
        initial_args: Mapping[str, Any] | None = None,
        target_variant: str | None = None,
        inference_id: str | None = None,
        custom_attributes: str | None = None,
        component_name: str | None = None,
        target_container_hostname: str | None = None,
        iterator: Callable[[Any], Any] = ByteIterator,
    ) -> Any:
        """Ask the endpoint and hand its answer on while it comes.

        Args:
            data: what the serializer takes.
            initial_args: further arguments of boto3's `invoke_endpoint_with_response_stream`.
            target_variant: one variant instead of the traffic's share.
            inference_id: for data capture.
            custom_attributes: handed to the container.
            component_name: an inference component instead of the predictor's.
            target_container_hostname: one container of several.
            iterator: `ByteIterator`, `LineIterator`, or one of your own.

        Returns:
            What `iterator` makes of the stream.
        """
        request = self._request(
            data,
            initial_args,
            TargetVariant=target_variant,
            InferenceId=inference_id,
            CustomAttributes=custom_attributes,
            InferenceComponentName=component_name or self.component_name,
            TargetContainerHostname=target_container_hostname,
        )
        client = self.sagemaker_session.sagemaker_runtime_client
        return iterator(client.invoke_endpoint_with_response_stream(**request)["Body"])

    def _request(
        self, data: Any, initial_args: Mapping[str, Any] | None, **named: str | None
    ) -> dict[str, Any]:
        request = {
            "EndpointName": self.endpoint_name,
            "ContentType": self.content_type,
            "Accept": ", ".join(self.accept),
            **named,
            **(initial_args or {}),
        }
        given = {name: value for name, value in request.items() if value is not None}
        return given if "Body" in given else {**given, "Body": self.serializer.serialize(data)}

    # The endpoint's life

    def update_endpoint(
        self,
        initial_instance_count: int | None = None,
        instance_type: str | None = None,
        accelerator_type: str | None = None,
        model_name: str | None = None,
        tags: Tags | None = None,
        kms_key: str | None = None,
        data_capture_config_dict: Mapping[str, Any] | None = None,
        max_instance_count: int | None = None,
        min_instance_count: int | None = None,
        wait: bool = True,
    ) -> None:
        """Move the endpoint to other instances or another model; what is not given stays.

        Args:
            initial_instance_count: how many instances.
            instance_type: of which type.
            accelerator_type: an Elastic Inference accelerator.
            model_name: a model that exists.
            tags: of the new configuration; the old one's where `None`.
            kms_key: encrypts the instances' storage.
            data_capture_config_dict: as CreateEndpointConfig takes it.
            max_instance_count: of managed instance scaling.
            min_instance_count: of managed instance scaling.
            wait: until it is done.

        Raises:
            EndpointFailedError: the service rolled back, and `wait` was asked for.
        """
        config_name = self._config_name()
        scaling = {"MaxInstanceCount": max_instance_count, "MinInstanceCount": min_instance_count}
        changes = {
            "InitialInstanceCount": initial_instance_count,
            "InstanceType": instance_type,
            "AcceleratorType": accelerator_type,
            "ModelName": model_name,
            "ManagedInstanceScaling": {key: value for key, value in scaling.items() if value},
        }
        given = {name: value for name, value in changes.items() if value}
        self._move(
            config_name,
            new_tags=tags,
            new_kms_key=kms_key,
            new_data_capture_config_dict=data_capture_config_dict,
            new_production_variants=[self._only_variant(config_name) | given] if given else None,
            wait=wait,
        )

    def enable_data_capture(self) -> None:
        """Keep requests and answers in the default bucket."""
        self._capture(enable=True)

    def disable_data_capture(self) -> None:
        """Keep requests and answers no more."""
        self._capture(enable=False)

    def update_data_capture_config(self, data_capture_config: Any) -> None:
        """Change what is kept of requests and answers, by a `DataCaptureConfig`."""
        self._move(self._config_name(), new_data_capture_config_dict=data_capture_config.request())

    def autoscale(
        self,
        min_capacity: int,
        max_capacity: int,
        target_value: float,
        scale_in_cooldown: int = 300,
        scale_out_cooldown: int = 300,
        variant_name: str = "AllTraffic",
    ) -> str:
        """Let the number of instances follow the traffic; see `Autoscaling`.

        Args:
            min_capacity: never fewer instances.
            max_capacity: never more instances.
            target_value: invocations a minute and instance to aim at.
            scale_in_cooldown: seconds between two steps down.
            scale_out_cooldown: seconds between two steps up.
            variant_name: which variant.

        Returns:
            The scaling policy's ARN.
        """
        from intermodal.autoscaling import Autoscaling

        scaling = Autoscaling(
            min_capacity, max_capacity, target_value, scale_in_cooldown, scale_out_cooldown
        )
        return scaling.put(self.sagemaker_session, self.endpoint_name, variant_name)

    def stop_autoscaling(self, variant_name: str = "AllTraffic") -> None:
        """Keep the number of instances as it is."""
        from intermodal.autoscaling import stop_autoscaling

        stop_autoscaling(self.sagemaker_session, self.endpoint_name, variant_name)

    def delete_endpoint(self, delete_endpoint_config: bool = True) -> None:
        """Delete the endpoint, and its configuration unless that is to stay."""
        config_name = self._config_name() if delete_endpoint_config else None
        self.sagemaker_session.delete_endpoint(self.endpoint_name)
        if config_name:
            self.sagemaker_session.delete_endpoint_config(config_name)

    def delete_model(self) -> None:
        """Delete every model that the endpoint serves; call it before `delete_endpoint`."""
        for variant in self._variants(self._config_name()):
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

    def _capture(self, *, enable: bool) -> None:
        from intermodal.model_monitor import DataCaptureConfig

        self.update_data_capture_config(
            DataCaptureConfig(enable, sagemaker_session=self.sagemaker_session)
        )

    def _move(self, config_name: str, *, wait: bool = True, **changes: Any) -> None:
        session = self.sagemaker_session
        new_name = name_from_base(base_from_name(self.endpoint_name))
        session.create_endpoint_config_from_existing(config_name, new_name, **changes)
        session.update_endpoint(self.endpoint_name, new_name, wait=wait)

    def _config_name(self) -> str:
        description = self.sagemaker_session.describe_endpoint(self.endpoint_name)
        return str(description["EndpointConfigName"])

    def _only_variant(self, config_name: str) -> dict[str, Any]:
        variants = self._variants(config_name)
        if len(variants) != 1:
            raise ValueError(
                f"endpoint `{self.endpoint_name}` has {len(variants)} variants; make an endpoint "
                "configuration of them and give it to Session.update_endpoint()"
            )
        return variants[0]

    def _variants(self, config_name: str) -> list[dict[str, Any]]:
        answer = self.sagemaker_session.sagemaker_client.describe_endpoint_config(
            EndpointConfigName=config_name
        )
        return list(answer["ProductionVariants"])


def as_predictor(
    predictor_cls: Any, endpoint_name: str | None, session: Any, serializer: Any, deserializer: Any
) -> Any:
    """What the class makes of the endpoint, with other serializers where they are given."""
    if predictor_cls is None:
        return None
    predictor = predictor_cls(endpoint_name, session)
    if serializer is not None:
        predictor.serializer = serializer
    if deserializer is not None:
        predictor.deserializer = deserializer
    return predictor


def asynchronous(predictor: Any, name: str | None) -> Any:
    """The same for an endpoint that answers into S3; `name` is the model's."""
    from intermodal.predictor_async import AsyncPredictor

    return predictor and AsyncPredictor(predictor, name)
