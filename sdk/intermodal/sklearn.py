"""scikit-learn: estimator, model and predictor."""

from typing import Any, ClassVar

from intermodal.deserializers import NumpyDeserializer
from intermodal.framework import VersionedModel
from intermodal.own_account import OwnAccountFramework, OwnAccountModel
from intermodal.predictor import Predictor
from intermodal.serializers import NumpySerializer
from intermodal.training_options import Findings


class SKLearnPredictor(Predictor):
    """Sends and takes arrays unless told otherwise; see `Predictor`."""

    def __init__(
        self,
        endpoint_name: str | None = None,
        sagemaker_session: Any = None,
        serializer: Any = None,
        deserializer: Any = None,
        **more: Any,
    ) -> None:
        super().__init__(
            endpoint_name,
            sagemaker_session,
            serializer or NumpySerializer(),
            deserializer or NumpyDeserializer(),
            **more,
        )


class SKLearnModel(OwnAccountModel):
    """A model in scikit-learn's image; see `VersionedModel`."""

    framework: ClassVar[str] = "sklearn"
    default_predictor: ClassVar[Any] = SKLearnPredictor


class SKLearn(OwnAccountFramework):
    """Training in scikit-learn's image, on one instance without GPUs; see `Framework`."""

    framework: ClassVar[str] = "sklearn"
    model_class: ClassVar[type[VersionedModel]] = SKLearnModel

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.instance_count = 1 if self.instance_count is None else self.instance_count

    def _check_instances(self, findings: Findings) -> None:
        super()._check_instances(findings)
        if self.instance_count not in (None, 1):
            findings.add("instance_count", f"{self.instance_count}; scikit-learn trains on 1 only")


def __getattr__(name: str) -> Any:
    # Few need it, and it doubles what is imported.
    if name == "SKLearnProcessor":
        from intermodal.framework_processors import SKLearnProcessor

        return SKLearnProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
