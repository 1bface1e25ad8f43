"""scikit-learn: model and predictor."""

from typing import Any, ClassVar

from intermodal.deserializers import NumpyDeserializer
from intermodal.own_account import OwnAccountModel
from intermodal.predictor import Predictor
from intermodal.serializers import NumpySerializer


class SKLearnPredictor(Predictor):
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


class SKLearnModel(OwnAccountModel):
    """A model in scikit-learn's image; see `VersionedModel`."""

    framework: ClassVar[str] = "sklearn"
    default_predictor: ClassVar[Any] = SKLearnPredictor
