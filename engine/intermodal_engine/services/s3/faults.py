"""The store's errors in S3's words.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from intermodal_engine.services.call import (
    Call,
    Operation,
    Parameters,
    PlainOperation,
    StreamingOperation,
)
from intermodal_engine.store.objects import errors
from intermodal_engine.wire.errors import ServiceError


def plain(operation: PlainOperation) -> Operation:
    """The operation, with the checks that all share and errors as S3 has them."""

    @functools.wraps(operation)
    def perform(call: Call, parameters: Parameters) -> Parameters:
        check_request(call, parameters)
        with translated():
            return operation(call, parameters)

    return perform


def streaming(operation: StreamingOperation) -> Operation:
    """The same for an operation that consumes a stream."""

    @functools.wraps(operation)
    async def perform(call: Call, parameters: Parameters) -> Parameters:
        check_request(call, parameters)
        with translated():
            return await operation(call, parameters)

    return perform


def check_request(call: Call, parameters: Parameters) -> None:
    """Refuses what no operation here can serve.

    Raises:
        ServiceError: another owner is expected, or a feature that the engine does not have.
    """
    for name in ("ExpectedBucketOwner", "ExpectedSourceBucketOwner"):
        if parameters.get(name) not in (None, call.account_id):
            raise ServiceError("AccessDenied", "Access Denied", status=403)
    if parameters.get("SSECustomerAlgorithm"):
        raise ServiceError(
            "NotImplemented",
            "intermodal's engine stores objects as plain files and cannot encrypt them with your "
            "key (SSE-C). Leave the SSECustomer parameters out.",
            status=501,
        )
    if parameters.get("VersionId") not in (None, "null"):
        raise ServiceError(
            "NoSuchVersion",
            "The specified version does not exist: intermodal's buckets are not versioned.",
            status=404,
        )


@contextmanager
def translated() -> Iterator[None]:
    """Raises the store's errors as S3's.

    Raises:
        ServiceError: instead of an error of the store.
    """
    try:
        yield
    except errors.ObjectStoreError as error:
        raise translate(error) from error


def translate(error: errors.ObjectStoreError) -> ServiceError:
    """S3's error for one of the store's."""
    fields: dict[str, Any] = {}
    match error:
        case errors.NoSuchBucketError():
            fields = {"BucketName": error.bucket}
            return ServiceError(
                "NoSuchBucket", "The specified bucket does not exist", status=404, fields=fields
            )
        case errors.NoSuchKeyError():
            fields = {"Key": error.key}
            return ServiceError(
                "NoSuchKey", "The specified key does not exist.", status=404, fields=fields
            )
        case errors.NoSuchUploadError():
            return ServiceError(
                "NoSuchUpload",
                "The specified upload does not exist. The upload ID may be invalid, or the upload "
                "may have been aborted or completed.",
                status=404,
                fields={"UploadId": error.upload_id},
            )
        case errors.BucketNotEmptyError():
            return ServiceError(
                "BucketNotEmpty",
                f"The bucket you tried to delete is not empty: {error}",
                status=409,
                fields={"BucketName": error.bucket},
            )
        case errors.PreconditionFailedError():
            return ServiceError(
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
                status=412,
                fields={"Condition": error.condition},
            )
        case errors.DigestMismatchError():
            return ServiceError(
                "BadDigest",
                f"The {error.algorithm} you specified did not match the calculated checksum.",
                status=400,
                fields={
                    "ExpectedDigest": error.expected,
                    "CalculatedDigest": error.actual,
                },
            )
        case errors.InvalidPartError():
            return ServiceError(
                "InvalidPart",
                "One or more of the specified parts could not be found. The part may not have "
                f"been uploaded, or the specified entity tag may not match: {error}",
                status=400,
                fields={"PartNumber": error.number},
            )
        case errors.PartTooSmallError():
            return ServiceError(
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
                status=400,
                fields={
                    "ProposedSize": error.size_bytes,
                    "MinSizeAllowed": 5 << 20,
                    "PartNumber": error.number,
                },
            )
        case _:
            code, status = _OTHERS[type(error)]
            return ServiceError(code, str(error), status=status)


_OTHERS: dict[type[errors.ObjectStoreError], tuple[str, int]] = {
    errors.InvalidKeyError: ("InvalidArgument", 400),
    errors.KeyTooLongError: ("KeyTooLongError", 400),
    errors.IncompleteBodyError: ("IncompleteBody", 400),
    errors.StorageFullError: ("InsufficientStorage", 507),
    errors.OutsideStoreError: ("AccessDenied", 403),
    errors.BucketExistsError: ("BucketAlreadyOwnedByYou", 409),
}
