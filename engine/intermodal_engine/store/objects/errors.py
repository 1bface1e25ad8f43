"""What can go wrong with objects, in the store's own words; `services.s3` says it in S3's.

    ObjectStoreError
    ├── NoSuchBucketError           no folder of that name
    ├── BucketExistsError           create_bucket of one that is there
    ├── BucketNotEmptyError         delete_bucket of one that still holds files
    ├── NoSuchKeyError              no object under that key
    ├── NoSuchUploadError           a multipart upload that ended, or never began
    ├── InvalidKeyError             a key that no object can have
    │   └── KeyTooLongError             over 1024 bytes, or longer than the file system's paths
    ├── PreconditionFailedError     If-Match or If-None-Match did not hold
    ├── DigestMismatchError         the bytes are not those that the sender announced
    ├── IncompleteBodyError         the body ended early, or went on too long
    ├── InvalidPartError            a part that complete names was never uploaded, or differs
    ├── PartTooSmallError           a part other than the last has less than 5 MiB
    ├── StorageFullError            the disk has no room; nothing half-written is left
    └── OutsideStoreError           a symbolic link in the path

Each message says what happened to which bucket, key or part.
"""

from intermodal_contract.errors import IntermodalError


class ObjectStoreError(IntermodalError):
    """The root of the store's errors."""


class NoSuchBucketError(ObjectStoreError):
    """No bucket of that name."""

    def __init__(self, bucket: str) -> None:
        super().__init__(
            f"the bucket `{bucket}` does not exist", hint="create it, or check its name"
        )
        self.bucket = bucket


class BucketExistsError(ObjectStoreError):
    """The bucket is already there."""

    def __init__(self, bucket: str) -> None:
        super().__init__(f"the bucket `{bucket}` already exists")
        self.bucket = bucket


class BucketNotEmptyError(ObjectStoreError):
    """The bucket still holds something."""

    def __init__(self, bucket: str, example: str) -> None:
        super().__init__(
            f"the bucket `{bucket}` is not empty: it holds `{example}`",
            hint="delete what is in it first",
        )
        self.bucket = bucket


class NoSuchKeyError(ObjectStoreError):
    """No object under that key."""

    def __init__(self, bucket: str, key: str) -> None:
        super().__init__(
            f"`s3://{bucket}/{key}` does not exist", hint="upload it first, or check the key"
        )
        self.bucket = bucket
        self.key = key


class NoSuchUploadError(ObjectStoreError):
    """No open multipart upload of that id."""

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"the multipart upload `{upload_id}` is not open (completed or aborted)")
        self.upload_id = upload_id


class InvalidKeyError(ObjectStoreError):
    """A key that no object can have."""


class KeyTooLongError(InvalidKeyError):
    """A key that is too long."""


class PreconditionFailedError(ObjectStoreError):
    """A condition of the write did not hold.

    Args:
        condition: the header's name, for example `If-None-Match`.
    """

    def __init__(self, condition: str) -> None:
        super().__init__(f"the condition `{condition}` did not hold")
        self.condition = condition


class DigestMismatchError(ObjectStoreError):
    """The bytes that came do not have the announced digest.

    Args:
        algorithm: `MD5` or a checksum algorithm's name.
        expected: base64, as announced.
        actual: base64, of what came.
    """

    def __init__(self, algorithm: str, expected: str, actual: str) -> None:
        super().__init__(f"{algorithm} of the body is `{actual}`, the request said `{expected}`")
        self.algorithm = algorithm
        self.expected = expected
        self.actual = actual


class IncompleteBodyError(ObjectStoreError):
    """The body has another length than announced."""


class InvalidPartError(ObjectStoreError):
    """A part that was never uploaded, or whose ETag or checksum differs.

    Args:
        number: the part's number.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


class PartTooSmallError(ObjectStoreError):
    """A part other than the last is below 5 MiB."""

    def __init__(self, number: int, size_bytes: int) -> None:
        super().__init__(f"part {number} has {size_bytes} bytes; all but the last need 5 MiB")
        self.number = number
        self.size_bytes = size_bytes


class StorageFullError(ObjectStoreError):
    """The disk has no room for what came."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            f"no space is left on the file system of `{folder}`; nothing was stored",
            hint="free some space, or give the engine a home on a larger disk",
        )


class OutsideStoreError(ObjectStoreError):
    """A folder of the path is a symbolic link."""
