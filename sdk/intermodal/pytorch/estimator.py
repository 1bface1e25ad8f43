"""PyTorch: estimator."""

from typing import ClassVar

from intermodal.framework import TorchFramework, VersionedModel
from intermodal.pytorch.model import PyTorchModel


class PyTorch(TorchFramework):
    """Training in PyTorch's image; see `Framework`.

    `distribution={"torch_distributed": {"enabled": True}}` launches the script with torchrun, on
    any instance type.
    """

    framework: ClassVar[str] = "pytorch"
    metrics_since: ClassVar[tuple[int, ...] | None] = (1, 3)
    model_class: ClassVar[type[VersionedModel]] = PyTorchModel
