"""`Estimator`, for any image, and the other estimators' bases under the vendor's names."""

from collections.abc import Mapping
from typing import Any

from intermodal.estimator_base import EstimatorBase
from intermodal.framework import Framework
from intermodal.model import Model

__all__ = ["Estimator", "EstimatorBase", "Framework"]


class Estimator(EstimatorBase):
    """Training in an image of your own, which either brings its program or runs your script.

    Args:
        image_uri: the training image.
        role: what the job runs as; a name or an ARN.
        instance_count: how many instances.
        instance_type: as in `ml.p3.2xlarge`; `local` starts the local engine.
        hyperparameters: the program's arguments: plain text, or JSON with an `entry_point`.
        options: everything else of `EstimatorBase`.
    """

    def __init__(
        self,
        image_uri: str | None = None,
        role: str | None = None,
        instance_count: int | None = None,
        instance_type: str | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            role,
            instance_count,
            instance_type,
            image_uri=image_uri,
            hyperparameters=hyperparameters,
            **options,
        )

    def create_model(self, **arguments: Any) -> Model:
        """The trained model, in the training image unless `image_uri` names another.

        Args:
            arguments: of `Model`.
        """
        return Model(**{"image_uri": self.training_image_uri(), **self.model_arguments(arguments)})
