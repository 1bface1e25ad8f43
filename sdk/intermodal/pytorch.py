"""PyTorch: estimator, model and predictor."""

from typing import Any, ClassVar

from intermodal.deserializers import NumpyDeserializer
from intermodal.framework import TorchFramework, VersionedModel
from intermodal.predictor import Predictor
from intermodal.serializers import NumpySerializer


class PyTorchPredictor(Predictor):
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


class PyTorchModel(VersionedModel):
    """A model in PyTorch's serving image; see `VersionedModel`."""

    framework: ClassVar[str] = "pytorch"
    default_predictor: ClassVar[Any] = PyTorchPredictor


class PyTorch(TorchFramework):
    """Training in PyTorch's image; see `Framework`.

    `distribution={"torch_distributed": {"enabled": True}}` launches the script with torchrun, on
    any instance type.
    """

    framework: ClassVar[str] = "pytorch"
    metrics_since: ClassVar[tuple[int, ...] | None] = (1, 3)
    model_class: ClassVar[type[VersionedModel]] = PyTorchModel


def __getattr__(name: str) -> Any:
    # Few need it, and it doubles what is imported.
    if name == "PyTorchProcessor":
        from intermodal.framework_processors import PyTorchProcessor

        return PyTorchProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
