"""One processor a framework, each also to be had from the framework's own module."""

from collections.abc import Sequence
from typing import Any

from intermodal import image_uris
from intermodal.framework_processing import FrameworkProcessor
from intermodal.huggingface import HuggingFace
from intermodal.mxnet import MXNet
from intermodal.pytorch import PyTorch
from intermodal.script_processing import ScriptProcessor
from intermodal.tensorflow import TensorFlow
from intermodal.training_options import Findings
from intermodal.xgboost import XGBoost


class PyTorchProcessor(FrameworkProcessor):
    """Processing in PyTorch's training image; arguments of `FrameworkProcessor` but its first."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(PyTorch, *arguments, **named)


class MXNetProcessor(FrameworkProcessor):
    """Processing in MXNet's training image; arguments of `FrameworkProcessor` but its first."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(MXNet, *arguments, **named)


class TensorFlowProcessor(FrameworkProcessor):
    """Processing in TensorFlow's image; arguments of `FrameworkProcessor` but its first."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(TensorFlow, *arguments, **named)


class XGBoostProcessor(FrameworkProcessor):
    """Processing in XGBoost's image; arguments of `FrameworkProcessor` but its first."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(XGBoost, *arguments, **named)


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


class SKLearnProcessor(ScriptProcessor):
    """Processing in scikit-learn's image, of one script.

    Args:
        framework_version: as in `1.2-1`.
        role: what the job runs as; a name or an ARN.
        instance_count: how many instances.
        instance_type: as in `ml.m5.xlarge`.
        command: what the script is given to; `["python3"]` where `None`.
        options: everything else of `ScriptProcessor`.
    """

    def __init__(
        self,
        framework_version: str | None = None,
        role: str | None = None,
        instance_count: int | None = None,
        instance_type: str | None = None,
        command: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            role,
            command=command or ["python3"],
            instance_count=instance_count,
            instance_type=instance_type,
            **options,
        )
        self.framework_version = framework_version

    def _check_image(self, findings: Findings) -> None:
        if self.image_uri:
            return
        try:
            self.image_uri = image_uris.retrieve(
                "sklearn",
                self.sagemaker_session.boto_region_name,
                self.framework_version,
                instance_type=self.instance_type,
            )
        except ValueError as error:
            findings.problems.append(str(error))
