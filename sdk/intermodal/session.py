"""The way to AWS, or to what answers in its place: role, default bucket, jobs, endpoints."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from intermodal.defaults import BUCKET, BUCKET_PREFIX
from intermodal.errors import BucketAccessError
from intermodal.from_jobs import FromJobs
from intermodal.production_variants import container_def as container_def
from intermodal.production_variants import pipeline_container_def as pipeline_container_def
from intermodal.production_variants import production_variant as production_variant
from intermodal.source import encryption
from intermodal.storage import Storage
from intermodal_contract.channel import S3Uri

_MADE_MEANWHILE = frozenset({"BucketAlreadyOwnedByYou", "OperationAborted"})


class Session(FromJobs):
    """Everything that estimators, models and predictors ask of AWS.

    Credentials, region and endpoints follow boto3's own resolution, so `AWS_ENDPOINT_URL` or the
    exports of `intermodal env` lead to the local engine and nothing leads to AWS.

    Args:
        boto_session: a `boto3.Session`; one of boto3's defaults where `None`.
        sagemaker_client: used instead of a new client.
        sagemaker_runtime_client: used instead of a new client.
        default_bucket: the bucket for data, code and models where nothing else is said.
        default_bucket_prefix: a key prefix for what has no place of its own in it.
        sagemaker_config: instead of the defaults files, with the key `SageMaker` at its top.
        endpoint_url: where all services are found; boto3's resolution where `None`.
        client_settings: of botocore's `Config`, for every client.
    """

    def __init__(
        self,
        boto_session: Any = None,
        sagemaker_client: Any = None,
        sagemaker_runtime_client: Any = None,
        default_bucket: str | None = None,
        default_bucket_prefix: str | None = None,
        *,
        sagemaker_config: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
        client_settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            boto_session,
            endpoint_url,
            {"sagemaker": sagemaker_client, "sagemaker-runtime": sagemaker_runtime_client},
            client_settings,
            sagemaker_config,
        )
        self._wanted_prefix = default_bucket_prefix
        self._given_bucket = default_bucket
        self._bucket: str | None = None

    @property
    def s3_client(self) -> Any:
        """The boto3 client of S3."""
        return self.client("s3")

    @property
    def storage(self) -> Storage:
        """S3."""
        return Storage(self.client("s3"))

    # Buckets and objects

    @property
    def default_bucket_prefix(self) -> str | None:
        """A key prefix for what has no place of its own in the default bucket."""
        prefix = self.defaults.or_given(self._wanted_prefix, *BUCKET_PREFIX)
        return None if prefix is None else str(prefix)

    @property
    def _wanted_bucket(self) -> str | None:
        bucket = self.defaults.or_given(self._given_bucket, *BUCKET)
        return None if bucket is None else str(bucket)

    def default_bucket(self) -> str:
        """`sagemaker-REGION-ACCOUNT`, or what the session was made with; created if missing.

        Raises:
            BucketAccessError: the bucket is someone else's.
        """
        with self._lock:
            if self._bucket is None:
                name = self._wanted_bucket
                name = name or f"sagemaker-{self.boto_region_name}-{self.account_id()}"
                self._make_bucket(name)
                self._bucket = name
            return self._bucket

    def owner_of(self, bucket: str) -> dict[str, str]:
        """What makes S3 refuse a request to the default bucket if it is not the caller's own."""
        if bucket == self._bucket and self._wanted_bucket is None:
            return {"ExpectedBucketOwner": self.account_id()}
        return {}

    def upload_data(
        self,
        path: str | Path,
        bucket: str | None = None,
        key_prefix: str = "data",
        callback: Any = None,
        extra_args: Mapping[str, str] | None = None,
    ) -> str:
        """Upload a file or a folder.

        Args:
            path: a file, or a folder of which every file is uploaded.
            bucket: the default bucket where `None`.
            key_prefix: what every key begins with.
            callback: called with the number of bytes that were just sent.
            extra_args: of boto3's `upload_file`, as in `{"ServerSideEncryption": "aws:kms"}`.

        Returns:
            The S3 URI of the file, or of the prefix.
        """
        if bucket is None:
            bucket = self.default_bucket()
            key_prefix = "/".join(filter(None, [self.default_bucket_prefix, key_prefix]))
        extra_args = {**self.owner_of(bucket), **(extra_args or {})}
        return self.storage.upload_tree(Path(path), bucket, key_prefix, extra_args, callback)

    def upload_string_as_file_body(
        self, body: str | bytes, bucket: str, key: str, kms_key: str | None = None
    ) -> str:
        """Store text or bytes as an object and return its URI."""
        content = body.encode() if isinstance(body, str) else body
        encrypted = encryption(kms_key) if kms_key else {}
        place = S3Uri(bucket, key)
        self.storage.put(content, place, {**encrypted, **self.owner_of(bucket)})
        return str(place)

    def download_data(
        self,
        path: str | Path,
        bucket: str,
        key_prefix: str = "",
        extra_args: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Fetch every object below the prefix into a folder; returns the files' paths.

        Args:
            path: the folder, made where it is missing.
            bucket: whose objects.
            key_prefix: what their keys begin with, or one key.
            extra_args: of boto3's `download_file`.

        Raises:
            ConnectionLostError: the connection broke again and again.
        """
        extra = {**self.owner_of(bucket), **(extra_args or {})}
        return self.storage.download_tree(bucket, key_prefix, Path(path), extra)

    def read_s3_file(self, bucket: str, key_prefix: str) -> str:
        """One object's text."""
        return self.storage.read(S3Uri(bucket, key_prefix), self.owner_of(bucket)).decode()

    def list_s3_files(self, bucket: str, key_prefix: str) -> Sequence[str]:
        """The keys below a prefix."""
        return list(self.storage.keys(bucket, key_prefix))

    def _make_bucket(self, name: str) -> None:
        from botocore.exceptions import ClientError

        owner = {} if self._wanted_bucket else {"ExpectedBucketOwner": self.account_id()}
        region = self.boto_region_name
        where = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3 = self.client("s3")
        try:
            s3.head_bucket(Bucket=name, **owner)
        except ClientError as error:
            _refuse_foreign(name, error)
            if _status(error) != 404:
                raise
        else:
            return
        try:
            s3.create_bucket(Bucket=name, **({} if region == "us-east-1" else where))
        except ClientError as error:
            _refuse_foreign(name, error)
            # Another process of ours was faster.
            if error.response["Error"]["Code"] not in _MADE_MEANWHILE:
                raise


def get_execution_role(sagemaker_session: Session | None = None) -> str:
    """The ARN of the role that the caller runs under, to be given to jobs.

    Raises:
        RoleNotFoundError: the caller is an IAM user or the account itself.
    """
    return (sagemaker_session or Session()).get_caller_identity_arn()


def _refuse_foreign(name: str, error: Any) -> None:
    """Say so where S3 refuses because the bucket is another account's or in another region."""
    if _status(error) in (301, 403) or error.response["Error"]["Code"] == "BucketAlreadyExists":
        raise BucketAccessError(
            f"the default bucket `{name}` cannot be used: {error}",
            hint="it may be another account's; give Session(default_bucket=...) one of your own",
        ) from error


def _status(error: Any) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
