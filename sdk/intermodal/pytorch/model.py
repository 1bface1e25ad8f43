"""PyTorch: model and predictor."""

from typing import Any, ClassVar

from intermodal.deserializers import NumpyDeserializer
from intermodal.framework import VersionedModel
from intermodal.predictor import Predictor
from intermodal.serializers import NumpySerializer


class PyTorchPredictor(Predictor):
    """Sends and takes arrays unless told otherwise; see `Predictor`."""

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
            serializer or NumpySerializer(),
            deserializer or NumpyDeserializer(),
            **more,
        )


class PyTorchModel(VersionedModel):
    """A model in PyTorch's serving image; see `VersionedModel`."""

    framework: ClassVar[str] = "pytorch"
    default_predictor: ClassVar[Any] = PyTorchPredictor
