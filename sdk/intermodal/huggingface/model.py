"""Hugging Face's transformers on PyTorch or TensorFlow: model and predictor."""

from typing import Any, ClassVar

from intermodal.deserializers import BaseDeserializer, JSONDeserializer
from intermodal.framework import VersionedModel
from intermodal.predictor import Predictor
from intermodal.serializers import BaseSerializer, JSONSerializer


class HuggingFacePredictor(Predictor):
    """Sends and takes JSON unless told otherwise; see `Predictor`."""

    default_serializer: ClassVar[type[BaseSerializer]] = JSONSerializer
    default_deserializer: ClassVar[type[BaseDeserializer]] = JSONDeserializer


class HuggingFaceModel(VersionedModel):
    """A model in an image of transformers.

    Args:
        role: what the container runs as.
        model_data: `s3://…/model.tar.gz`, or `None` for a model of the hub, named in `env`.
        entry_point: the inference script, if the image's own handlers do not do.
        transformers_version: as in `4.37.0`.
        tensorflow_version: what they run on, or
        pytorch_version: as in `2.1.0`; both versions in full, or both short.
        py_version: as in `py310`; the one that fits the versions where `None`.
        options: everything else of `VersionedModel`.
    """

    framework: ClassVar[str] = "huggingface"
    default_predictor: ClassVar[Any] = HuggingFacePredictor

    def __init__(
        self,
        role: str | None = None,
        model_data: Any = None,
        entry_point: Any = None,
        transformers_version: str | None = None,
        tensorflow_version: str | None = None,
        pytorch_version: str | None = None,
        py_version: str | None = None,
        image_uri: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            model_data, role, entry_point, transformers_version, py_version, image_uri, **options
        )
        self.tensorflow_version = tensorflow_version
        self.pytorch_version = pytorch_version

    @property
    def base_framework_version(self) -> str | None:
        """What the transformers run on."""
        return base_framework(self.tensorflow_version, self.pytorch_version)

    def _framework_facts(self) -> tuple[str | None, str | None]:
        if self.tensorflow_version:
            return "TENSORFLOW", self.tensorflow_version
        return "PYTORCH", self.pytorch_version


def base_framework(tensorflow_version: str | None, pytorch_version: str | None) -> str | None:
    """What transformers run on, as in `pytorch2.1.0`; `None` where nobody said.

    Raises:
        ValueError: both were given.
    """
    if tensorflow_version and pytorch_version:
        raise ValueError("`tensorflow_version` and `pytorch_version` exclude each other")
    if tensorflow_version:
        return f"tensorflow{tensorflow_version}"
    return f"pytorch{pytorch_version}" if pytorch_version else None
