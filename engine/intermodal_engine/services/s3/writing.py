"""PutObject, CopyObject, DeleteObject, DeleteObjects.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
"""

from dataclasses import replace
from typing import BinaryIO
from urllib.parse import unquote

from intermodal_engine.services.call import Call, Parameters
from intermodal_engine.services.s3 import conditions, headers
from intermodal_engine.services.s3.faults import translate
from intermodal_engine.store.objects import Details, ObjectInfo, ObjectStoreError
from intermodal_engine.wire.errors import ServiceError

_DELETE_LIMIT = 1000


async def put_object(call: Call, parameters: Parameters) -> Parameters:
    """Stores the body as an object."""
    bucket, key = parameters["Bucket"], parameters["Key"]
    if parameters.get("WriteOffsetBytes") is not None:
        raise ServiceError(
            "NotImplemented", "Only directory buckets can be appended to.", status=501
        )
    info = await call.backends.objects.receive(
        bucket,
        key,
        parameters["Body"],
        announcement=headers.announcement_of(call, parameters),
        details=headers.details_of(call, parameters),
        condition=conditions.of_write(parameters, bucket, key),
    )
    return {
        "ETag": f'"{info.etag}"',
        **headers.checksums_out(info.details),
        **headers.encryption_out(info.details),
    }


def copy_object(call: Call, parameters: Parameters) -> Parameters:
    """Stores a copy of another object."""
    bucket, key = parameters["Bucket"], parameters["Key"]
    source, file = open_source(call, parameters)
    with file:
        conditions.check_source(parameters, source)
        if source.size_bytes > headers.OBJECT_LIMIT_BYTES:
            raise ServiceError(
                "InvalidRequest",
                "The specified copy source is larger than the maximum allowable size for a copy "
                f"source: {headers.OBJECT_LIMIT_BYTES}",
            )
        algorithm = parameters.get("ChecksumAlgorithm")
        wanted = [algorithm] if algorithm else list(source.details.checksums)
        info = call.backends.objects.copy(
            file,
            bucket,
            key,
            details=_details_of_copy(call, parameters, source),
            algorithms=wanted,
            condition=conditions.of_write(parameters, bucket, key),
        )
    return {
        "CopyObjectResult": {
            "ETag": f'"{info.etag}"',
            "LastModified": headers.last_modified(info),
            **headers.checksums_out(info.details),
        },
        **headers.encryption_out(info.details),
    }


def open_source(call: Call, parameters: Parameters) -> tuple[ObjectInfo, BinaryIO]:
    """The object that `CopySource` names, `bucket/key` in URL encoding, and its open file.

    Raises:
        ServiceError: it names none.
    """
    text = parameters["CopySource"]
    path, _, version = text.partition("?versionId=")
    bucket, slash, key = unquote(path).removeprefix("/").partition("/")
    if not slash or not key or version not in ("", "null"):
        raise ServiceError(
            "InvalidArgument",
            f"Invalid copy source object key: `{text}` is not `bucket/key`",
            fields={"ArgumentName": "x-amz-copy-source", "ArgumentValue": text},
        )
    return call.backends.objects.open(bucket, key)


def delete_object(call: Call, parameters: Parameters) -> Parameters:
    """Removes an object; that there is none is no error."""
    bucket, key = parameters["Bucket"], parameters["Key"]
    match = parameters.get("IfMatch")
    condition = conditions.of_write({"IfMatch": match}, bucket, key)
    call.backends.objects.delete(bucket, key, condition=condition)
    return {}


def delete_objects(call: Call, parameters: Parameters) -> Parameters:
    """Removes up to a thousand objects and tells of each what became of it."""
    wanted = parameters["Delete"]["Objects"]
    if not 1 <= len(wanted) <= _DELETE_LIMIT:
        raise ServiceError(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published "
            "schema: one to 1000 objects can be deleted at once",
        )
    call.backends.objects.bucket(parameters["Bucket"])
    deleted, failed = [], []
    for each in wanted:
        error = _delete_one(call, parameters["Bucket"], each)
        if error is None:
            deleted.append({"Key": each["Key"]})
        else:
            failed.append({"Key": each["Key"], "Code": error.code, "Message": error.message})
    quiet = parameters["Delete"].get("Quiet", False)
    return {"Deleted": [] if quiet else deleted, "Errors": failed}


def _delete_one(call: Call, bucket: str, wanted: Parameters) -> ServiceError | None:
    key = wanted["Key"]
    try:
        if wanted.get("VersionId") not in (None, "null"):
            return ServiceError("NoSuchVersion", "The specified version does not exist.")
        condition = conditions.of_write({"IfMatch": wanted.get("ETag")}, bucket, key)
        call.backends.objects.delete(bucket, key, condition=condition)
    except ObjectStoreError as error:
        return translate(error)
    return None


def _details_of_copy(call: Call, parameters: Parameters, source: ObjectInfo) -> Details:
    given = headers.details_of(call, parameters)
    details = source.details
    replaces = parameters.get("MetadataDirective") == "REPLACE"
    itself = (source.bucket, source.key) == (parameters["Bucket"], parameters["Key"])
    if itself and not replaces and not given.headers:
        raise ServiceError(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without "
            "changing the object's metadata, storage class, website redirect location or "
            "encryption attributes.",
        )
    tags = given.tags if parameters.get("TaggingDirective") == "REPLACE" else details.tags
    if replaces:
        return replace(given, tags=tags)
    kept = {**details.headers, **given.headers}
    return Details(details.content_type, kept, details.metadata, tags)
