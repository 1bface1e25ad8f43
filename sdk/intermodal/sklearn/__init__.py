"""scikit-learn: estimator, model, predictor and processor."""

from typing import TYPE_CHECKING, Any

from intermodal.sklearn.estimator import SKLearn
from intermodal.sklearn.model import SKLearnModel, SKLearnPredictor

if TYPE_CHECKING:
    from intermodal.sklearn.processing import SKLearnProcessor

__all__ = ["SKLearn", "SKLearnModel", "SKLearnPredictor", "SKLearnProcessor"]


def __getattr__(name: str) -> Any:
    # Few need it, and it doubles what is imported.
    if name == "SKLearnProcessor":
        from intermodal.sklearn.processing import SKLearnProcessor

        return SKLearnProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
