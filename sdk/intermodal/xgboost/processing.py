"""XGBoost with a script of your own: processing jobs."""

from typing import Any

from intermodal.framework_processing import FrameworkProcessor
from intermodal.xgboost.estimator import XGBoost


class XGBoostProcessor(FrameworkProcessor):
    """Processing in XGBoost's image; arguments of `FrameworkProcessor` but its first."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(XGBoost, *arguments, **named)
