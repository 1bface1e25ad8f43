"""Tags on repositories: labels of theirs, not the tags of images.

https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_TagResource.html
"""

from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.ecr.resources import KIND, no_repository
from intermodal_engine.wire.errors import ServiceError

TAG_LIMIT = 50
"""Tags a repository may have (ECR's quota)."""


def tag_resource(call: Call, parameters: Parameters) -> Parameters:
    """Adds tags, or gives those that are there a new value."""
    arn = _existing(call, parameters)
    tags = checked_tags(parameters["tags"])
    _check_count({**call.backends.records.tags(arn), **tags})
    call.backends.records.add_tags(arn, tags)
    return {}


def untag_resource(call: Call, parameters: Parameters) -> Parameters:
    """Removes tags by key; keys that are not there do not matter."""
    call.backends.records.delete_tags(_existing(call, parameters), parameters["tagKeys"])
    return {}


def list_tags_for_resource(call: Call, parameters: Parameters) -> Parameters:
    """All tags of a repository."""
    tags = call.backends.records.tags(_existing(call, parameters))
    return {"tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


OPERATIONS: dict[str, Operation] = {
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "ListTagsForResource": list_tags_for_resource,
}


def checked_tags(tags: list[Parameters]) -> dict[str, str]:
    """Tags as a map.

    Raises:
        ServiceError: there are too many, or two have one key.
    """
    found = {tag["Key"]: tag["Value"] for tag in tags}
    if len(found) < len(tags):
        raise ServiceError("InvalidTagParameterException", "Two tags have the same key")
    _check_count(found)
    return found


def _check_count(tags: dict[str, str]) -> None:
    if len(tags) > TAG_LIMIT:
        raise ServiceError(
            "TooManyTagsException", f"A repository can have at most {TAG_LIMIT} tags"
        )


def _existing(call: Call, parameters: Parameters) -> str:
    arn: str = parameters["resourceArn"]
    record = call.backends.records.find_by_arn(arn)
    if record is None or record.kind != KIND:
        raise no_repository(arn.partition(":repository/")[2], call.account_id)
    return arn
