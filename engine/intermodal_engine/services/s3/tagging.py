"""Tags of objects.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html
"""

from dataclasses import replace

from intermodal_engine.services.call import Call, Parameters
from intermodal_engine.services.s3.headers import checked_tags


def get_object_tagging(call: Call, parameters: Parameters) -> Parameters:
    """The object's tags."""
    info = call.backends.objects.head(parameters["Bucket"], parameters["Key"])
    tags = info.details.tags.items()
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags]}


def put_object_tagging(call: Call, parameters: Parameters) -> Parameters:
    """Sets the object's tags in place of all that it had."""
    tags = [(tag["Key"], tag["Value"]) for tag in parameters["Tagging"]["TagSet"]]
    _set(call, parameters, checked_tags(tags))
    return {}


def delete_object_tagging(call: Call, parameters: Parameters) -> Parameters:
    """Removes all of the object's tags."""
    _set(call, parameters, {})
    return {}


def _set(call: Call, parameters: Parameters, tags: dict[str, str]) -> None:
    objects = call.backends.objects
    info = objects.head(parameters["Bucket"], parameters["Key"])
    objects.describe_anew(info, replace(info.details, tags=tags))
