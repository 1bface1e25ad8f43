"""XGBoost with a script of your own: model and predictor."""

from typing import Any, ClassVar

from intermodal.deserializers import BaseDeserializer, CSVDeserializer
from intermodal.own_account import OwnAccountModel
from intermodal.predictor import Predictor
from intermodal.serializers import BaseSerializer, LibSVMSerializer


class XGBoostPredictor(Predictor):
    """Sends LibSVM and takes CSV unless told otherwise; see `Predictor`."""

    default_serializer: ClassVar[type[BaseSerializer]] = LibSVMSerializer
    default_deserializer: ClassVar[type[BaseDeserializer]] = CSVDeserializer


class XGBoostModel(OwnAccountModel):
    """A model in XGBoost's image.

    Args:
        model_data: `s3://…/model.tar.gz`, or a local one, which is uploaded.
        role: what the container runs as.
        entry_point: the inference script.
        framework_version: as in `1.7-1`.
        image_uri: an image of your own instead.
        py_version: `py3`.
        options: everything else of `VersionedModel`.
    """

    framework: ClassVar[str] = "xgboost"
    default_predictor: ClassVar[Any] = XGBoostPredictor

    def __init__(
        self,
        model_data: Any = None,
        role: str | None = None,
        entry_point: Any = None,
        framework_version: str | None = None,
        image_uri: str | None = None,
        py_version: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            model_data, role, entry_point, framework_version, py_version, image_uri, **options
        )
