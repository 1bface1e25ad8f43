"""TensorFlow: processing jobs."""

from typing import Any

from intermodal.framework_processing import FrameworkProcessor
from intermodal.tensorflow.estimator import TensorFlow


class TensorFlowProcessor(FrameworkProcessor):
    """Processing in TensorFlow's image; arguments of `FrameworkProcessor` but its first."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(TensorFlow, *arguments, **named)
