"""What scikit-learn and XGBoost share: one image for both ends, code beside the model."""

from collections.abc import Mapping
from typing import Any, ClassVar

from intermodal import image_uris
from intermodal.framework import Framework, VersionedModel
from intermodal.source import ARCHIVE_NAME, UploadedCode, code_place, encryption, local_path
from intermodal_contract import env as names_of_environment


class OwnAccountFramework(Framework):
    """An estimator whose images lie in an account of their own; see `Framework`.

    Args:
        image_uri_region: the region of the image; the session's where `None`.
        arguments: of `Framework`.
    """

    metrics_since: ClassVar[tuple[int, ...] | None] = None
    launchers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *arguments: Any, image_uri_region: str | None = None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.image_uri_region = image_uri_region

    def training_image_uri(self) -> str:
        """The user's own image, or the vendor's for the version, which serves too."""
        return self.image_uri or image_uris.retrieve(
            self.framework,
            self.image_uri_region or self.sagemaker_session.boto_region_name,
            version=self.framework_version,
            py_version=self.py_version,
            instance_type=self.instance_type,
        )

    def version_arguments(self) -> dict[str, Any]:
        """The image that has trained the model serves it."""
        return {**super().version_arguments(), "image_uri": self.training_image_uri()}


class OwnAccountModel(VersionedModel):
    """A model whose image fetches the user's code from S3; see `VersionedModel`.

    The code is uploaded by itself, and the model is left as it is; only with network isolation
    does the code go into the model's archive.
    """

    _fetched_code: UploadedCode | None = None

    def serving_image_uri(self, instance_type: str | None) -> str:
        """The user's own image, or the vendor's for the version."""
        return self.image_uri or image_uris.retrieve(
            self.framework,
            self.sagemaker_session.boto_region_name,
            version=self.framework_version,
            py_version=self.py_version,
            instance_type=instance_type,
        )

    def _framework_facts(self) -> tuple[str | None, str | None]:
        return self.framework.upper(), None

    def _staged_model(self) -> tuple[str | Mapping[str, Any] | None, str | None]:
        if self.enable_network_isolation() or (self.code or self.inherited_code) is None:
            return super()._staged_model()
        self._fetched_code = self._uploaded_code()
        program = self._fetched_code.script_name if self._fetched_code else None
        data = self.model_data
        if isinstance(data, str) and not data.startswith("s3://"):
            session = self.sagemaker_session
            data = session.upload_data(local_path(data), key_prefix=str(self.name))
        return data, program

    def _code_environment(self, program: str | None) -> dict[str, str]:
        environment = super()._code_environment(program)
        if self._fetched_code is not None:
            place = self._fetched_code.s3_prefix
            environment[names_of_environment.SUBMIT_DIRECTORY] = place
        return environment

    def _uploaded_code(self) -> UploadedCode | None:
        code = self.code
        if code is None:
            return self.inherited_code
        if code.is_in_s3:
            return UploadedCode(str(code.source_dir), code.program)
        session = self.sagemaker_session
        bucket, prefix = self._code_bucket()
        destination = code_place(bucket, prefix, str(self.name), ARCHIVE_NAME)
        extra = {**encryption(self.model_kms_key), **session.owner_of(bucket)}
        session.storage.put(code.archive(), destination, extra)
        return UploadedCode(str(destination), code.program)
