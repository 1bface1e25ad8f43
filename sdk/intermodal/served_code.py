"""The code that serves a model: in the archive, and named in the environment."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from intermodal.source import UploadedCode, UserCode, code_place, encryption, local_path
from intermodal.which_session import session_for
from intermodal_contract import env as names_of_environment
from intermodal_contract.channel import S3Uri, parse_s3_uri

if TYPE_CHECKING:
    from intermodal.session import Session

CODE_PATH = "/opt/ml/model/code"


class ServedCode:
    """A model's data and code, and where they go.

    Attributes:
        model_data: the archive, or a `ModelDataSource`.
        name: the model's.
        model_kms_key: encrypts a repacked model.
        code_location: S3 prefix for the repacked model; the default bucket where `None`.
        container_log_level: of the serving program, as Python's `logging` counts.
        code: the user's own for serving.
        inherited_code: the training job's, which serves where the model brings no other.
    """

    model_data: str | Mapping[str, Any] | None
    name: str | None
    model_kms_key: str | None
    code_location: str | None
    container_log_level: int
    code: UserCode | None
    inherited_code: UploadedCode | None = None
    _session: "Session | None"
    _serves_training_code = False

    @property
    def sagemaker_session(self) -> "Session":
        """The session, made when it is first needed."""
        if self._session is None:
            self._session = session_for(None, None)
        return self._session

    @sagemaker_session.setter
    def sagemaker_session(self, session: "Session") -> None:
        self._session = session

    def _code_environment(self, program: str | None) -> dict[str, str]:
        """What tells the serving program where the code is; nothing without code."""
        if program is None:
            return {}
        return {
            names_of_environment.PROGRAM: program,
            names_of_environment.SUBMIT_DIRECTORY: CODE_PATH if program else "",
            names_of_environment.CONTAINER_LOG_LEVEL: str(self.container_log_level),
            names_of_environment.REGION: self.sagemaker_session.boto_region_name,
        }

    def _staged_model(self) -> tuple[str | Mapping[str, Any] | None, str | None]:
        """Where the model lies once it has its code in it, and that code's script."""
        data, code = self.model_data, self.code or self.inherited_code
        if not isinstance(data, str):
            return data, None
        if code is not None:
            from intermodal.model_archive import with_code

            coded = with_code(self.sagemaker_session.storage, data, code, self._archive_place)
            self._serves_training_code = coded.is_training_code
            return coded.uri, coded.program
        if not data.startswith("s3://"):
            return self.sagemaker_session.upload_data(
                local_path(data), key_prefix=str(self.name)
            ), None
        return data, None

    def _archive_place(self) -> tuple[S3Uri, dict[str, str]]:
        """Where the archive goes that has the code in it, and what S3 is told beside."""
        bucket, prefix = self._code_bucket()
        destination = code_place(bucket, prefix, str(self.name), "model.tar.gz")
        owner = self.sagemaker_session.owner_of(bucket)
        return destination, {**encryption(self.model_kms_key), **owner}

    def _code_bucket(self) -> tuple[str, str]:
        """Where code goes, alone or in a model: bucket and key prefix."""
        if self.code_location:
            place = parse_s3_uri(self.code_location)
            return place.bucket, place.key
        session = self.sagemaker_session
        return session.default_bucket(), session.default_bucket_prefix or ""
