"""Buckets, and what clients ask of a bucket's configuration: a fresh bucket's answers.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
"""

import base64
from datetime import UTC, datetime

from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.s3.faults import plain
from intermodal_engine.services.s3.listing import owner_of
from intermodal_engine.store.objects import BucketExistsError, BucketInfo, keys
from intermodal_engine.wire.errors import ServiceError

_DEFAULT_REGION = "us-east-1"
_BUCKETS_LIMIT = 10_000


def create_bucket(call: Call, parameters: Parameters) -> Parameters:
    """Makes a bucket; in us-east-1 a second time is no error, as ever on S3."""
    bucket = parameters["Bucket"]
    if not keys.is_bucket_name(bucket):
        raise ServiceError(
            "InvalidBucketName",
            "The specified bucket is not valid.",
            fields={"BucketName": bucket},
        )
    region = _region(call, parameters)
    try:
        call.backends.objects.create_bucket(bucket, region)
    except BucketExistsError as error:
        there = call.backends.objects.bucket(bucket)
        if not call.region == (there.region or _DEFAULT_REGION) == _DEFAULT_REGION:
            raise ServiceError(
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded and you already own "
                "it.",
                status=409,
                fields={"BucketName": bucket},
            ) from error
    return {"Location": f"/{bucket}", "BucketArn": f"arn:aws:s3:::{bucket}"}


def head_bucket(call: Call, parameters: Parameters) -> Parameters:
    """Whether the bucket is there, and in which region."""
    info = call.backends.objects.bucket(parameters["Bucket"])
    return {"BucketRegion": _region_of(call, info), "BucketArn": f"arn:aws:s3:::{info.name}"}


def list_buckets(call: Call, parameters: Parameters) -> Parameters:
    """All buckets, in pages if the request says so."""
    prefix, region = parameters.get("Prefix") or "", parameters.get("BucketRegion")
    after = _read_token(parameters.get("ContinuationToken"))
    limit = parameters.get("MaxBuckets") or _BUCKETS_LIMIT
    found = [
        info
        for info in call.backends.objects.buckets()
        if info.name.startswith(prefix)
        and info.name > after
        and region in (None, _region_of(call, info))
    ]
    page = found[:limit]
    more = len(found) > len(page)
    return {
        "Buckets": [_entry(call, info) for info in page],
        "Owner": owner_of(call),
        "Prefix": parameters.get("Prefix"),
        "ContinuationToken": _write_token(page[-1].name) if more else None,
    }


def delete_bucket(call: Call, parameters: Parameters) -> Parameters:
    """Removes an empty bucket."""
    call.backends.objects.delete_bucket(parameters["Bucket"])
    return {}


def get_bucket_location(call: Call, parameters: Parameters) -> Parameters:
    """The bucket's region; nothing for us-east-1."""
    region = _region_of(call, call.backends.objects.bucket(parameters["Bucket"]))
    return {"LocationConstraint": None if region == _DEFAULT_REGION else region}


def get_bucket_acl(call: Call, parameters: Parameters) -> Parameters:
    """The owner may do everything."""
    call.backends.objects.bucket(parameters["Bucket"])
    return _owners_acl(call)


def get_object_acl(call: Call, parameters: Parameters) -> Parameters:
    """The owner may do everything."""
    call.backends.objects.head(parameters["Bucket"], parameters["Key"])
    return _owners_acl(call)


def _owners_acl(call: Call) -> Parameters:
    owner = owner_of(call)
    grantee = {**owner, "Type": "CanonicalUser"}
    return {"Owner": owner, "Grants": [{"Grantee": grantee, "Permission": "FULL_CONTROL"}]}


def _region(call: Call, parameters: Parameters) -> str:
    """Where the new bucket shall be.

    Raises:
        ServiceError: the request's region and its location constraint do not go together.
    """
    constraint = (parameters.get("CreateBucketConfiguration") or {}).get("LocationConstraint")
    if call.region == _DEFAULT_REGION:
        return "eu-west-1" if constraint == "EU" else constraint or _DEFAULT_REGION
    if constraint != call.region:
        named = f"The {constraint}" if constraint else "The unspecified"
        raise ServiceError(
            "IllegalLocationConstraintException",
            f"{named} location constraint is incompatible for the region specific endpoint this "
            f"request was sent to: set LocationConstraint to `{call.region}`.",
        )
    return call.region


def _region_of(call: Call, info: BucketInfo) -> str:
    return info.region or call.backends.settings.region


def _entry(call: Call, info: BucketInfo) -> Parameters:
    return {
        "Name": info.name,
        "CreationDate": datetime.fromtimestamp(int(info.created_at), UTC),
        "BucketRegion": _region_of(call, info),
        "BucketArn": f"arn:aws:s3:::{info.name}",
    }


def _write_token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _read_token(token: str | None) -> str:
    try:
        return base64.urlsafe_b64decode((token or "").encode()).decode()
    except ValueError as error:
        raise ServiceError(
            "InvalidArgument", "The continuation token provided is incorrect"
        ) from error


def _answers(result: Parameters) -> Operation:
    def perform(call: Call, parameters: Parameters) -> Parameters:
        """What AWS answers for a fresh bucket."""
        call.backends.objects.bucket(parameters["Bucket"])
        return result

    return plain(perform)


def _refuses(code: str, message: str) -> Operation:
    def perform(call: Call, parameters: Parameters) -> Parameters:
        """The error that AWS answers for a fresh bucket."""
        bucket = call.backends.objects.bucket(parameters["Bucket"])
        raise ServiceError(code, message, status=404, fields={"BucketName": bucket.name})

    return plain(perform)


FRESH_BUCKET: dict[str, Operation] = {
    "GetBucketAccelerateConfiguration": _answers({}),
    "GetBucketCors": _refuses("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
    "GetBucketEncryption": _answers(
        {
            "ServerSideEncryptionConfiguration": {
                "Rules": [
                    {
                        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
                        "BucketKeyEnabled": False,
                    }
                ]
            }
        }
    ),
    "GetBucketLifecycleConfiguration": _refuses(
        "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"
    ),
    "GetBucketLogging": _answers({}),
    "GetBucketNotificationConfiguration": _answers({}),
    "GetBucketOwnershipControls": _answers(
        {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}}
    ),
    "GetBucketPolicy": _refuses("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "GetBucketPolicyStatus": _refuses("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "GetBucketReplication": _refuses(
        "ReplicationConfigurationNotFoundError", "The replication configuration was not found"
    ),
    "GetBucketRequestPayment": _answers({"Payer": "BucketOwner"}),
    "GetBucketTagging": _refuses("NoSuchTagSet", "The TagSet does not exist"),
    "GetBucketVersioning": _answers({}),
    "GetBucketWebsite": _refuses(
        "NoSuchWebsiteConfiguration",
        "The specified bucket does not have a website configuration",
    ),
    "GetObjectLockConfiguration": _refuses(
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    ),
    "GetPublicAccessBlock": _answers(
        {
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            }
        }
    ),
}
"""What S3 answers about a bucket that nobody has configured; the engine's never are."""
