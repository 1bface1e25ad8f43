"""Hugging Face's transformers: estimator, model, predictor and processor."""

from typing import TYPE_CHECKING, Any

from intermodal.huggingface.estimator import HuggingFace
from intermodal.huggingface.model import HuggingFaceModel, HuggingFacePredictor

if TYPE_CHECKING:
    from intermodal.huggingface.processing import HuggingFaceProcessor

__all__ = ["HuggingFace", "HuggingFaceModel", "HuggingFacePredictor", "HuggingFaceProcessor"]


def __getattr__(name: str) -> Any:
    # Few need it, and it doubles what is imported.
    if name == "HuggingFaceProcessor":
        from intermodal.huggingface.processing import HuggingFaceProcessor

        return HuggingFaceProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
