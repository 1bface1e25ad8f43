"""What goes wrong with a channel's data, in the words that the service has for it."""

from intermodal_contract.channel import S3Uri


class DataMissingError(Exception):
    """The channel's data is not there or is no such data; the message is for the job's owner."""


def download_failed(cause: str) -> DataMissingError:
    """The error that a job ends with whose data cannot be had, as the service begins it."""
    return DataMissingError(f"ClientError: Data download failed:{cause}")


def no_match(uri: S3Uri, where: str) -> DataMissingError:
    """Nothing lies at `uri`; `where` says who named it."""
    return download_failed(f"S3 key: {uri} matched no files on s3 ({where})")


def no_bucket(bucket: str, where: str) -> DataMissingError:
    """The bucket does not exist; `where` says who named it."""
    return download_failed(f"the bucket `{bucket}` does not exist ({where})")
