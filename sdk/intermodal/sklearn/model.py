"""scikit-learn: model and predictor."""

from typing import Any, ClassVar

from intermodal.deserializers import BaseDeserializer, NumpyDeserializer
from intermodal.own_account import OwnAccountModel
from intermodal.predictor import Predictor
from intermodal.serializers import BaseSerializer, NumpySerializer


class SKLearnPredictor(Predictor):
    """Sends and takes arrays unless told otherwise; see `Predictor`."""

    default_serializer: ClassVar[type[BaseSerializer]] = NumpySerializer
    default_deserializer: ClassVar[type[BaseDeserializer]] = NumpyDeserializer


class SKLearnModel(OwnAccountModel):
    """A model in scikit-learn's image; see `VersionedModel`."""

    framework: ClassVar[str] = "sklearn"
    default_predictor: ClassVar[Any] = SKLearnPredictor
