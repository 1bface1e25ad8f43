"""scikit-learn: estimator."""

from typing import Any, ClassVar

from intermodal.framework import VersionedModel
from intermodal.own_account import OwnAccountFramework
from intermodal.sklearn.model import SKLearnModel
from intermodal.training_options import Findings


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
