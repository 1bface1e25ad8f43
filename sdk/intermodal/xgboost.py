"""XGBoost with a script of your own: estimator, model and predictor."""

from collections.abc import Mapping
from typing import Any, ClassVar

from intermodal.deserializers import CSVDeserializer
from intermodal.framework import VersionedModel
from intermodal.own_account import OwnAccountFramework, OwnAccountModel
from intermodal.predictor import Predictor
from intermodal.serializers import LibSVMSerializer


class XGBoostPredictor(Predictor):
    """Sends LibSVM and takes CSV unless told otherwise; see `Predictor`."""

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
            serializer or LibSVMSerializer(),
            deserializer or CSVDeserializer(),
            **more,
        )


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


class XGBoost(OwnAccountFramework):
    """Training in XGBoost's image.

    Args:
        entry_point: the training script.
        framework_version: as in `1.7-1`.
        source_dir: the folder that the script lies in, or an `s3://…/sourcedir.tar.gz`.
        hyperparameters: the script's arguments; each goes through JSON.
        py_version: `py3`.
        image_uri: an image of your own instead.
        options: `role`, `instance_count`, `instance_type` and everything else of `Framework`.
    """

    framework: ClassVar[str] = "xgboost"
    model_class: ClassVar[type[VersionedModel]] = XGBoostModel

    def __init__(
        self,
        entry_point: Any,
        framework_version: str | None = None,
        source_dir: Any = None,
        hyperparameters: Mapping[str, Any] | None = None,
        py_version: str | None = None,
        image_uri: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            entry_point,
            framework_version,
            py_version,
            source_dir,
            hyperparameters,
            image_uri,
            **options,
        )


def __getattr__(name: str) -> Any:
    # Few need it, and it doubles what is imported.
    if name == "XGBoostProcessor":
        from intermodal.framework_processors import XGBoostProcessor

        return XGBoostProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
