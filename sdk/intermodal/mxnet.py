"""MXNet: estimator, model and predictor."""

from typing import Any, ClassVar

from intermodal.deserializers import JSONDeserializer
from intermodal.framework import Framework, VersionedModel
from intermodal.predictor import Predictor
from intermodal.serializers import JSONSerializer

_MPI_OPTIONS = "sagemaker_mpi_custom_mpi_options"


class MXNetPredictor(Predictor):
    """Sends and takes JSON unless told otherwise; see `Predictor`."""

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
            serializer or JSONSerializer(),
            deserializer or JSONDeserializer(),
            **more,
        )


class MXNetModel(VersionedModel):
    """A model in MXNet's serving image; see `VersionedModel`."""

    framework: ClassVar[str] = "mxnet"
    default_predictor: ClassVar[Any] = MXNetPredictor


class MXNet(Framework):
    """Training in MXNet's image; see `Framework`.

    `distribution={"parameter_server": {"enabled": True}}` starts a parameter server on every host.
    """

    framework: ClassVar[str] = "mxnet"
    metrics_since: ClassVar[tuple[int, ...] | None] = (1, 6)
    model_class: ClassVar[type[VersionedModel]] = MXNetModel

    def launch_hyperparameters(self) -> dict[str, Any]:
        """As all frameworks have it, without options for MPI that nobody gave."""
        launch = super().launch_hyperparameters()
        if not launch.get(_MPI_OPTIONS):
            launch.pop(_MPI_OPTIONS, None)
        return launch


def __getattr__(name: str) -> Any:
    # Few need it, and it doubles what is imported.
    if name == "MXNetProcessor":
        from intermodal.framework_processors import MXNetProcessor

        return MXNetProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
