"""MXNet: estimator, model, predictor and processor."""

from typing import TYPE_CHECKING, Any

from intermodal.mxnet.estimator import MXNet
from intermodal.mxnet.model import MXNetModel, MXNetPredictor

if TYPE_CHECKING:
    from intermodal.mxnet.processing import MXNetProcessor

__all__ = ["MXNet", "MXNetModel", "MXNetPredictor", "MXNetProcessor"]


def __getattr__(name: str) -> Any:
    # Few need it, and it doubles what is imported.
    if name == "MXNetProcessor":
        from intermodal.mxnet.processing import MXNetProcessor

        return MXNetProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
