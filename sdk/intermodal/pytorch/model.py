"""PyTorch: model and predictor."""

from typing import Any, ClassVar

from intermodal.deserializers import BaseDeserializer, NumpyDeserializer
from intermodal.framework import VersionedModel
from intermodal.predictor import Predictor
from intermodal.serializers import BaseSerializer, NumpySerializer


class PyTorchPredictor(Predictor):
    """Sends and takes arrays unless told otherwise; see `Predictor`."""

    default_serializer: ClassVar[type[BaseSerializer]] = NumpySerializer
    default_deserializer: ClassVar[type[BaseDeserializer]] = NumpyDeserializer


class PyTorchModel(VersionedModel):
    """A model in PyTorch's serving image; see `VersionedModel`."""

    framework: ClassVar[str] = "pytorch"
    default_predictor: ClassVar[Any] = PyTorchPredictor
