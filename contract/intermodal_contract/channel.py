"""Input channels and S3 URIs: how a request names data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intermodal_contract.errors import IntermodalError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CHANNEL_NAME = re.compile(r"[A-Za-z0-9.\-_]{1,64}")


class InvalidS3UriError(IntermodalError):
    """An S3 URI that names no bucket."""


class InvalidChannelError(IntermodalError):
    """An input channel that asks for what is not there."""


@dataclass(frozen=True, slots=True)
class S3Uri:
    """A place in S3.

    Attributes:
        bucket: name of the bucket.
        key: key or prefix exactly as written, never percent-decoded; empty for the whole bucket.
    """

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}" if self.key else f"s3://{self.bucket}"

    def joined(self, *names: str) -> "S3Uri":
        """The same place with further names, slashes between them."""
        parts = [self.key.rstrip("/"), *(name.strip("/") for name in names)]
        return S3Uri(self.bucket, "/".join(part for part in parts if part))


def parse_s3_uri(uri: str) -> S3Uri:
    """Splits `s3://bucket/key`.

    Raises:
        InvalidS3UriError: it is no S3 URI, or names no possible bucket.
    """
    if not uri.startswith("s3://"):
        raise InvalidS3UriError(
            f"`{uri}` is no S3 URI", hint="write it as `s3://bucket/key-or-prefix`"
        )
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if bucket.startswith("arn:"):
        raise InvalidS3UriError(
            f"`{uri}` names an access point", hint="name the bucket: `s3://bucket/key-or-prefix`"
        )
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise InvalidS3UriError(
            f"`{uri}` names no possible bucket",
            hint="a bucket's name is 3 to 63 lower-case letters, digits, dots and hyphens",
        )
    return S3Uri(bucket, key)


@dataclass(frozen=True, slots=True)
class Channel:
    """One input channel of a training job.

    Attributes:
        name: folder below `/opt/ml/input/data`, for example `train`.
        s3_uri: the prefix, or the manifest.
        input_mode: `File`, `FastFile` or `Pipe`.
        s3_data_type: `S3Prefix`, `ManifestFile`, `AugmentedManifestFile` or `Converse`.
        distribution: `FullyReplicated`, or `ShardedByS3Key`: every host sees its share of the keys.
        content_type: MIME type, told to the container; None if the request has none.
        compression: `None` or `Gzip` (the word, as on the wire).
        record_wrapper: `None` or `RecordIO` (the word, as on the wire).
    """

    name: str
    s3_uri: S3Uri
    input_mode: str = "File"
    s3_data_type: str = "S3Prefix"
    distribution: str = "FullyReplicated"
    content_type: str | None = None
    compression: str = "None"
    record_wrapper: str = "None"

    @classmethod
    def from_request(
        cls, entry: Mapping[str, Any], *, default_input_mode: str = "File"
    ) -> "Channel":
        """Reads one entry of `InputDataConfig` (AWS page: API_Channel).

        Args:
            entry: as in the request; members that it lacks have AWS's defaults.
            default_input_mode: the algorithm's `TrainingInputMode`.

        Raises:
            InvalidChannelError: the name is unfit for a folder, or the data is not in S3.
            InvalidS3UriError: the URI names no bucket.
        """
        name = str(entry.get("ChannelName", ""))
        if not _CHANNEL_NAME.fullmatch(name) or name in {".", ".."}:
            raise InvalidChannelError(
                f"`{name}` is no channel name",
                hint="use 1 to 64 letters, digits, dots, hyphens and underscores",
            )
        source = entry.get("DataSource", {}).get("S3DataSource")
        if source is None:
            raise InvalidChannelError(
                f"channel `{name}` has no S3DataSource",
                hint="channels on EFS or FSx are not served; put the data into S3",
            )
        return cls(
            name=name,
            s3_uri=parse_s3_uri(source["S3Uri"]),
            input_mode=entry.get("InputMode") or default_input_mode,
            s3_data_type=source.get("S3DataType", "S3Prefix"),
            distribution=source.get("S3DataDistributionType") or "FullyReplicated",
            content_type=entry.get("ContentType"),
            compression=entry.get("CompressionType") or "None",
            record_wrapper=entry.get("RecordWrapperType") or "None",
        )
