"""scikit-learn: processing jobs."""

from collections.abc import Sequence
from typing import Any

from intermodal import image_uris
from intermodal.script_processing import ScriptProcessor
from intermodal.training_options import Findings


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
