"""TensorFlow: estimator, and model and predictor for TensorFlow Serving."""

from collections.abc import Mapping
from typing import Any, ClassVar

from intermodal.deserializers import JSONDeserializer
from intermodal.framework import Framework, VersionedModel
from intermodal.predictor import Predictor
from intermodal.serializers import JSONSerializer

_LOG_LEVEL = "SAGEMAKER_TFS_NGINX_LOGLEVEL"
_LOG_LEVELS = {10: "debug", 20: "info", 30: "warn", 40: "error", 50: "crit"}


class TensorFlowPredictor(Predictor):
    """Sends and takes JSON unless told otherwise; see `Predictor`.

    Args:
        endpoint_name: the endpoint.
        sagemaker_session: boto3's own resolution where `None`.
        serializer: data to body.
        deserializer: body to data.
        model_name: which of the server's models; its default one where `None`.
        model_version: which version of it; the latest where `None`.
        more: of `Predictor`.
    """

    def __init__(
        self,
        endpoint_name: str | None = None,
        sagemaker_session: Any = None,
        serializer: Any = None,
        deserializer: Any = None,
        model_name: str | None = None,
        model_version: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(
            endpoint_name,
            sagemaker_session,
            serializer or JSONSerializer(),
            deserializer or JSONDeserializer(),
            **more,
        )
        given = {"tfs-model-name": model_name, "tfs-model-version": model_version}
        self._attributes = [f"{name}={value}" for name, value in given.items() if value]

    def classify(self, data: Any) -> Any:
        """Ask for classes, as TensorFlow Serving's `classify` does."""
        return self.predict(data, custom_attributes="tfs-method=classify")

    def regress(self, data: Any) -> Any:
        """Ask for a value, as TensorFlow Serving's `regress` does."""
        return self.predict(data, custom_attributes="tfs-method=regress")

    def predict(
        self,
        data: Any,
        initial_args: Mapping[str, Any] | None = None,
        target_model: str | None = None,
        target_variant: str | None = None,
        inference_id: str | None = None,
        custom_attributes: str | None = None,
    ) -> Any:
        """Ask the endpoint's model; see `Predictor.predict`."""
        initial = dict(initial_args or {})
        attributes = [initial.pop("CustomAttributes", custom_attributes), *self._attributes]
        return super().predict(
            data,
            initial,
            target_model,
            target_variant,
            inference_id,
            ",".join(filter(None, attributes)) or None,
        )


class TensorFlowModel(VersionedModel):
    """A model in TensorFlow Serving's image, which needs no script.

    Args:
        model_data: `s3://…/model.tar.gz`, or a local one, which is uploaded.
        role: what the container runs as.
        entry_point: a script with handlers for what goes in and comes out.
        image_uri: an image of your own instead.
        framework_version: as in `2.12`.
        container_log_level: as Python's `logging` counts; the image's own choice where `None`.
        options: everything else of `VersionedModel`.
    """

    framework: ClassVar[str] = "tensorflow"
    default_predictor: ClassVar[Any] = TensorFlowPredictor

    def __init__(
        self,
        model_data: Any = None,
        role: str | None = None,
        entry_point: Any = None,
        image_uri: str | None = None,
        framework_version: str | None = None,
        container_log_level: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            model_data, role, entry_point, framework_version, image_uri=image_uri, **options
        )
        self._log_level = _LOG_LEVELS.get(container_log_level or 0)

    def _code_environment(self, program: str | None) -> dict[str, str]:  # noqa: ARG002 - fixed name
        # The image finds `code/inference.py` by itself.
        return {_LOG_LEVEL: self._log_level} if self._log_level else {}


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


def __getattr__(name: str) -> Any:
    # Few need it, and it doubles what is imported.
    if name == "TensorFlowProcessor":
        from intermodal.framework_processors import TensorFlowProcessor

        return TensorFlowProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
