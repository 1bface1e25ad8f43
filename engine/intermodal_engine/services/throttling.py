"""What AWS answers where a caller asks more often than it may."""

from intermodal_engine.wire.errors import ServiceError

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_S3 = ("SlowDown", "Please reduce your request rate.", 503)
_QUERY = ("Throttling", "Rate exceeded", 400)
_JSON = ("ThrottlingException", "Rate exceeded", 400)
_BY_SERVICE = {"s3": _S3, "sts": _QUERY, "iam": _QUERY, "cloudwatch": _QUERY}


def throttled(service: str) -> ServiceError:
    """The error of a service, by its name in botocore; AWS's clients try again after it."""
    code, message, status = _BY_SERVICE.get(service, _JSON)
    return ServiceError(code, message, status=status)
