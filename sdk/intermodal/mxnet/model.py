"""MXNet: model and predictor."""

from typing import Any, ClassVar

from intermodal.deserializers import JSONDeserializer
from intermodal.framework import VersionedModel
from intermodal.predictor import Predictor
from intermodal.serializers import JSONSerializer


class MXNetPredictor(Predictor):
    """Sends and takes JSON unless told otherwise; see `Predictor`."""

    def __init__(
        self,
        endpoint_name: str | None = None,
        sagemaker_session: Any = None,
        serializer: Any = None,
        deserializer: Any = None,
        **more: Any,
    ) -> None:
        super().__init__(
            endpoint_name,
            sagemaker_session,
            serializer or JSONSerializer(),
            deserializer or JSONDeserializer(),
            **more,
        )


class MXNetModel(VersionedModel):
    """A model in MXNet's serving image; see `VersionedModel`."""

    framework: ClassVar[str] = "mxnet"
    default_predictor: ClassVar[Any] = MXNetPredictor
