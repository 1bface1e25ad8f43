"""MXNet: model and predictor."""

from typing import Any, ClassVar

from intermodal.deserializers import BaseDeserializer, JSONDeserializer
from intermodal.framework import VersionedModel
from intermodal.predictor import Predictor
from intermodal.serializers import BaseSerializer, JSONSerializer


class MXNetPredictor(Predictor):
    """Sends and takes JSON unless told otherwise; see `Predictor`."""

    default_serializer: ClassVar[type[BaseSerializer]] = JSONSerializer
    default_deserializer: ClassVar[type[BaseDeserializer]] = JSONDeserializer


class MXNetModel(VersionedModel):
    """A model in MXNet's serving image; see `VersionedModel`."""

    framework: ClassVar[str] = "mxnet"
    default_predictor: ClassVar[Any] = MXNetPredictor
