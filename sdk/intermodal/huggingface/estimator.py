"""Hugging Face's transformers on PyTorch or TensorFlow: estimator."""

from collections.abc import Mapping
from typing import Any, ClassVar

from intermodal.framework import TorchFramework, VersionedModel
from intermodal.huggingface.model import HuggingFaceModel, base_framework


class HuggingFace(TorchFramework):
    """Training in an image of transformers.

    Args:
        py_version: as in `py310`; the one that fits the versions where `None`.
        entry_point: the training script.
        transformers_version: as in `4.36.0`.
        tensorflow_version: what they run on, or
        pytorch_version: as in `2.1.0`; both versions in full, or both short.
        source_dir: the folder that the script lies in, or an `s3://…/sourcedir.tar.gz`.
        hyperparameters: the script's arguments; each goes through JSON.
        image_uri: an image of your own instead.
        distribution: how the script is launched on several hosts or devices.
        options: `role`, `instance_count`, `instance_type` and everything else of `Framework`.
    """

    framework: ClassVar[str] = "huggingface"
    metrics_since: ClassVar[tuple[int, ...] | None] = (0,)
    serves_training_code: ClassVar[bool] = False
    model_class: ClassVar[type[VersionedModel]] = HuggingFaceModel

    def __init__(
        self,
        py_version: str | None = None,
        entry_point: Any = None,
        transformers_version: str | None = None,
        tensorflow_version: str | None = None,
        pytorch_version: str | None = None,
        source_dir: Any = None,
        hyperparameters: Mapping[str, Any] | None = None,
        image_uri: str | None = None,
        distribution: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            entry_point,
            transformers_version,
            py_version,
            source_dir,
            hyperparameters,
            image_uri,
            distribution,
            **options,
        )
        self.tensorflow_version = tensorflow_version
        self.pytorch_version = pytorch_version

    @property
    def base_framework_version(self) -> str | None:
        """What the transformers run on."""
        return base_framework(self.tensorflow_version, self.pytorch_version)

    def version_arguments(self) -> dict[str, Any]:
        """Three versions tell the image."""
        return {
            "transformers_version": self.framework_version,
            "tensorflow_version": self.tensorflow_version,
            "pytorch_version": self.pytorch_version,
            "py_version": self.py_version,
            "image_uri": self.image_uri,
        }

    @classmethod
    def attached_arguments(cls, description: Mapping[str, Any]) -> dict[str, Any]:
        """The same, with versions where the job's image tells them."""
        from intermodal_contract.vendor_images import hugging_face_image

        arguments = super().attached_arguments(description)
        image = hugging_face_image(arguments["image_uri"])
        if image is not None:
            del arguments["image_uri"]
            arguments |= {
                "transformers_version": image.transformers,
                f"{image.framework}_version": image.version,
                "py_version": image.python,
            }
        return arguments
