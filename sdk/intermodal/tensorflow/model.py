"""TensorFlow: model and predictor."""

from collections.abc import Mapping
from typing import Any, ClassVar

from intermodal.deserializers import BaseDeserializer, JSONDeserializer
from intermodal.framework import VersionedModel
from intermodal.predictor import Predictor
from intermodal.serializers import BaseSerializer, JSONSerializer

_LOG_LEVEL = "SAGEMAKER_TFS_NGINX_LOGLEVEL"
_LOG_LEVELS = {10: "debug", 20: "info", 30: "warn", 40: "error", 50: "crit"}


class TensorFlowPredictor(Predictor):
    """Sends and takes JSON unless told otherwise; see `Predictor`.

    Args:
        endpoint_name: the endpoint.
        sagemaker_session: boto3's own resolution where `None`.
        serializer: data to body.
        deserializer: body to data.
        model_name: which of the server's models; its default one where `None`.
        model_version: which version of it; the latest where `None`.
        more: of `Predictor`.
    """

    default_serializer: ClassVar[type[BaseSerializer]] = JSONSerializer
    default_deserializer: ClassVar[type[BaseDeserializer]] = JSONDeserializer

    def __init__(
        self,
        endpoint_name: str | None = None,
        sagemaker_session: Any = None,
        serializer: Any = None,
        deserializer: Any = None,
        model_name: str | None = None,
        model_version: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(endpoint_name, sagemaker_session, serializer, deserializer, **more)
        given = {"tfs-model-name": model_name, "tfs-model-version": model_version}
        self._attributes = [f"{name}={value}" for name, value in given.items() if value]

    def classify(self, data: Any) -> Any:
        """Ask for classes, as TensorFlow Serving's `classify` does."""
        return self.predict(data, custom_attributes="tfs-method=classify")

    def regress(self, data: Any) -> Any:
        """Ask for a value, as TensorFlow Serving's `regress` does."""
        return self.predict(data, custom_attributes="tfs-method=regress")

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
        """Ask the endpoint's model; see `Predictor.predict`."""
        initial = dict(initial_args or {})
        attributes = [initial.pop("CustomAttributes", custom_attributes), *self._attributes]
        return super().predict(
            data,
            initial,
            target_model,
            target_variant,
            inference_id,
            ",".join(filter(None, attributes)) or None,
            component_name,
        )


class TensorFlowModel(VersionedModel):
    """A model in TensorFlow Serving's image, which needs no script.

    Args:
        model_data: `s3://…/model.tar.gz`, or a local one, which is uploaded.
        role: what the container runs as.
        entry_point: a script with handlers for what goes in and comes out.
        image_uri: an image of your own instead.
        framework_version: as in `2.12`.
        container_log_level: as Python's `logging` counts; the image's own choice where `None`.
        options: everything else of `VersionedModel`.
    """

    framework: ClassVar[str] = "tensorflow"
    default_predictor: ClassVar[Any] = TensorFlowPredictor

    def __init__(
        self,
        model_data: Any = None,
        role: str | None = None,
        entry_point: Any = None,
        image_uri: str | None = None,
        framework_version: str | None = None,
        container_log_level: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            model_data, role, entry_point, framework_version, image_uri=image_uri, **options
        )
        self._log_level = _LOG_LEVELS.get(container_log_level or 0)

    def _code_environment(self, program: str | None) -> dict[str, str]:  # noqa: ARG002 - fixed name
        # The image finds `code/inference.py` by itself.
        return {_LOG_LEVEL: self._log_level} if self._log_level else {}
