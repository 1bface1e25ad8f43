"""TensorFlow: estimator, model, predictor and processor."""

from typing import TYPE_CHECKING, Any

from intermodal.tensorflow.estimator import TensorFlow
from intermodal.tensorflow.model import TensorFlowModel, TensorFlowPredictor

if TYPE_CHECKING:
    from intermodal.tensorflow.processing import TensorFlowProcessor

__all__ = ["TensorFlow", "TensorFlowModel", "TensorFlowPredictor", "TensorFlowProcessor"]


def __getattr__(name: str) -> Any:
    # Few need it, and it doubles what is imported.
    if name == "TensorFlowProcessor":
        from intermodal.tensorflow.processing import TensorFlowProcessor

        return TensorFlowProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
