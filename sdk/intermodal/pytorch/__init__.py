"""PyTorch: estimator, model, predictor and processor."""

from typing import TYPE_CHECKING, Any

from intermodal.pytorch.estimator import PyTorch
from intermodal.pytorch.model import PyTorchModel, PyTorchPredictor

if TYPE_CHECKING:
    from intermodal.pytorch.processing import PyTorchProcessor

__all__ = ["PyTorch", "PyTorchModel", "PyTorchPredictor", "PyTorchProcessor"]


def __getattr__(name: str) -> Any:
    # Few need it, and it doubles what is imported.
    if name == "PyTorchProcessor":
        from intermodal.pytorch.processing import PyTorchProcessor

        return PyTorchProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
