"""PyTorch: processing jobs."""

from typing import Any

from intermodal.framework_processing import FrameworkProcessor
from intermodal.pytorch.estimator import PyTorch


class PyTorchProcessor(FrameworkProcessor):
    """Processing in PyTorch's training image; arguments of `FrameworkProcessor` but its first."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(PyTorch, *arguments, **named)
