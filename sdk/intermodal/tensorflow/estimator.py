"""TensorFlow: estimator."""

from collections.abc import Mapping
from typing import Any, ClassVar

from intermodal.framework import Framework, VersionedModel
from intermodal.tensorflow.model import TensorFlowModel


class TensorFlow(Framework):
    """Training in TensorFlow's image.

    Args:
        py_version: as in `py310`; the one that fits the version where `None`.
        framework_version: as in `2.12`.
        model_dir: S3 prefix that the script is given as `--model_dir`; `OUTPUT/JOB/model` where
            `None`, none at all where `False`.
        image_uri: an image of your own instead.
        distribution: how the script is launched on several hosts.
        options: `entry_point`, `role`, `instance_count`, `instance_type` and everything else of
            `Framework`.
    """

    framework: ClassVar[str] = "tensorflow"
    metrics_since: ClassVar[tuple[int, ...] | None] = (1, 15)
    serves_training_code: ClassVar[bool] = False
    launchers: ClassVar[tuple[str, ...]] = (
        "mpi",
        "parameter_server",
        "multi_worker_mirrored_strategy",
    )
    model_class: ClassVar[type[VersionedModel]] = TensorFlowModel

    def __init__(
        self,
        py_version: str | None = None,
        framework_version: str | None = None,
        model_dir: str | bool | None = None,
        image_uri: str | None = None,
        distribution: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            options.pop("entry_point", None),
            framework_version,
            py_version,
            image_uri=image_uri,
            distribution=distribution,
            **options,
        )
        self.model_dir = model_dir

    def launch_hyperparameters(self) -> dict[str, Any]:
        """Workers that mirror each other, beside what all frameworks have."""
        launch = super().launch_hyperparameters()
        mirrored = self.distribution.get("multi_worker_mirrored_strategy")
        if mirrored:
            enabled = bool(mirrored.get("enabled", False))
            launch["sagemaker_multi_worker_mirrored_strategy_enabled"] = enabled
        return launch

    def job_hyperparameters(self, job_name: str, output_path: str) -> dict[str, Any]:
        """Where the script saves its model, unless `model_dir=False`."""
        if self.model_dir is False:
            return {}
        has_mpi = self.launch_hyperparameters().get("sagemaker_mpi_enabled")
        own = "/opt/ml/model" if has_mpi else f"{output_path.rstrip('/')}/{job_name}/model"
        return {"model_dir": self.model_dir or own}

    def version_arguments(self) -> dict[str, Any]:
        """TensorFlow Serving's images say nothing of Python."""
        return {
            "framework_version": self.framework_version,
            "image_uri": self.image_uri,
        }
