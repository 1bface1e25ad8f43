"""S3 by URIs, in the vendor's two classes; a session's helpers do the work."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from intermodal.source import encryption
from intermodal.which_session import session_for

if TYPE_CHECKING:
    from intermodal.session import Session


def parse_s3_url(url: str) -> tuple[str, str]:
    """Bucket and key.

    Raises:
        ValueError: it is no S3 URI.
    """
    if not url.startswith("s3://"):
        raise ValueError(f"{url!r} is no S3 URI; give s3://BUCKET/KEY")
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key.lstrip("/")


def s3_path_join(*parts: str | None, with_end_slash: bool = False) -> str:
    """The parts that are not empty, one slash between any two, none at the ends."""
    joined = "/".join(part for part in parts if part)
    scheme = "s3://" if joined.startswith("s3:/") else ""
    path = "/".join(filter(None, joined.removeprefix("s3:").split("/")))
    return f"{scheme}{path}/" if with_end_slash and path else f"{scheme}{path}"


class S3Uploader:
    """From here to S3."""

    @staticmethod
    def upload(
        local_path: str | Path,
        desired_s3_uri: str,
        kms_key: str | None = None,
        sagemaker_session: "Session | None" = None,
        callback: Callable[[int], None] | None = None,
    ) -> str:
        """Upload a file or a folder below the URI; see `Session.upload_data`."""
        session = session_for(None, sagemaker_session)
        bucket, prefix = parse_s3_url(desired_s3_uri)
        extra = encryption(kms_key) if kms_key else {}
        return session.upload_data(local_path, bucket, prefix, callback, extra)

    @staticmethod
    def upload_string_as_file_body(
        body: str,
        desired_s3_uri: str,
        kms_key: str | None = None,
        sagemaker_session: "Session | None" = None,
    ) -> str:
        """Store the text as that object and return its URI."""
        bucket, key = parse_s3_url(desired_s3_uri)
        session = session_for(None, sagemaker_session)
        return session.upload_string_as_file_body(body, bucket, key, kms_key)

    @staticmethod
    def upload_bytes(
        b: bytes,
        s3_uri: str,
        kms_key: str | None = None,
        sagemaker_session: "Session | None" = None,
    ) -> str:
        """Store the bytes as that object and return its URI."""
        bucket, key = parse_s3_url(s3_uri)
        session = session_for(None, sagemaker_session)
        return session.upload_string_as_file_body(b, bucket, key, kms_key)


class S3Downloader:
    """From S3 to here; what is encrypted by a KMS key needs none to be named."""

    @staticmethod
    def download(
        s3_uri: str,
        local_path: str | Path,
        kms_key: str | None = None,  # noqa: ARG004 - the vendor's
        sagemaker_session: "Session | None" = None,
    ) -> list[str]:
        """Fetch every object below the URI into a folder; see `Session.download_data`."""
        bucket, prefix = parse_s3_url(s3_uri)
        return session_for(None, sagemaker_session).download_data(local_path, bucket, prefix)

    @staticmethod
    def read_file(s3_uri: str, sagemaker_session: "Session | None" = None) -> str:
        """One object's text."""
        return S3Downloader.read_bytes(s3_uri, sagemaker_session).decode()

    @staticmethod
    def read_bytes(s3_uri: str, sagemaker_session: "Session | None" = None) -> bytes:
        """One object's bytes."""
        from intermodal_contract.channel import S3Uri

        session = session_for(None, sagemaker_session)
        place = S3Uri(*parse_s3_url(s3_uri))
        return session.storage.read(place, session.owner_of(place.bucket))

    @staticmethod
    def list(s3_uri: str, sagemaker_session: "Session | None" = None) -> "list[str]":
        """The URIs of the objects below the URI."""
        bucket, prefix = parse_s3_url(s3_uri)
        keys = session_for(None, sagemaker_session).list_s3_files(bucket, prefix)
        return [f"s3://{bucket}/{key}" for key in keys]
