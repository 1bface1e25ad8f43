"""PyTorch: estimator, model and predictor."""

from typing import Any, ClassVar

from intermodal.deserializers import NumpyDeserializer
from intermodal.framework import Framework, VersionedModel
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


class PyTorch(Framework):
    """Training in PyTorch's image; see `Framework`.

    `distribution={"torch_distributed": {"enabled": True}}` launches the script with torchrun, on
    any instance type.
    """

    framework: ClassVar[str] = "pytorch"
    metrics_since: ClassVar[tuple[int, ...]] = (1, 3)
    launchers: ClassVar[tuple[str, ...]] = (
        "torch_distributed",
        "pytorchddp",
        "mpi",
        "parameter_server",
    )
    model_class: ClassVar[type[VersionedModel]] = PyTorchModel

    def launch_hyperparameters(self) -> dict[str, Any]:
        """torchrun, DistributedDataParallel over MPI, or what all frameworks have."""
        for key, switch in (
            ("pytorchddp", "sagemaker_pytorch_ddp_enabled"),
            ("torch_distributed", "sagemaker_torch_distributed_enabled"),
        ):
            if self.distribution.get(key, {}).get("enabled"):
                return {switch: True, "sagemaker_instance_type": self.wire_instance_type}
        return super().launch_hyperparameters()
