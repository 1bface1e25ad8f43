"""XGBoost with a script of your own: estimator, model, predictor and processor."""

from typing import TYPE_CHECKING, Any

from intermodal.xgboost.estimator import XGBoost
from intermodal.xgboost.model import XGBoostModel, XGBoostPredictor

if TYPE_CHECKING:
    from intermodal.xgboost.processing import XGBoostProcessor

__all__ = ["XGBoost", "XGBoostModel", "XGBoostPredictor", "XGBoostProcessor"]


def __getattr__(name: str) -> Any:
    # Few need it, and it doubles what is imported.
    if name == "XGBoostProcessor":
        from intermodal.xgboost.processing import XGBoostProcessor

        return XGBoostProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
