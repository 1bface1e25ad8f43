"""Hugging Face's transformers on PyTorch or TensorFlow: processing jobs."""

from typing import Any

from intermodal.framework_processing import FrameworkProcessor
from intermodal.huggingface.estimator import HuggingFace


class HuggingFaceProcessor(FrameworkProcessor):
    """Processing in an image of transformers.

    Args:
        role: what the job runs as; a name or an ARN.
        instance_count: how many instances.
        instance_type: as in `ml.g5.xlarge`.
        transformers_version: as in `4.36.0`.
        tensorflow_version: what they run on, or
        pytorch_version: as in `2.1.0`.
        py_version: as in `py310`; the one that fits the versions where `None`.
        options: everything else of `FrameworkProcessor`.
    """

    def __init__(
        self,
        role: str | None = None,
        instance_count: int | None = None,
        instance_type: str | None = None,
        transformers_version: str | None = None,
        tensorflow_version: str | None = None,
        pytorch_version: str | None = None,
        py_version: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            HuggingFace,
            transformers_version,
            role,
            instance_count,
            instance_type,
            py_version,
            **options,
        )
        self.tensorflow_version = tensorflow_version
        self.pytorch_version = pytorch_version

    def estimator_arguments(self) -> dict[str, Any]:
        """Three versions tell the image."""
        return {
            "transformers_version": self.framework_version,
            "tensorflow_version": self.tensorflow_version,
            "pytorch_version": self.pytorch_version,
            "py_version": self.py_version,
        }
