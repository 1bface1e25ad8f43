"""XGBoost with a script of your own: estimator."""

from collections.abc import Mapping
from typing import Any, ClassVar

from intermodal.framework import VersionedModel
from intermodal.own_account import OwnAccountFramework
from intermodal.xgboost.model import XGBoostModel


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
