"""MXNet: processing jobs."""

from typing import Any

from intermodal.framework_processing import FrameworkProcessor
from intermodal.mxnet.estimator import MXNet


class MXNetProcessor(FrameworkProcessor):
    """Processing in MXNet's training image; arguments of `FrameworkProcessor` but its first."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(MXNet, *arguments, **named)
