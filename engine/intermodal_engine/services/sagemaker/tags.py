"""Tags on whatever has a SageMaker ARN."""

from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.sagemaker.resources import invalid, tags_of
from intermodal_engine.wire.errors import ServiceError

TAG_LIMIT = 50
"""User-created tags a resource may have (AWS's tagging limits)."""


def add_tags(call: Call, parameters: Parameters) -> Parameters:
    """Adds tags, or gives those that are there a new value."""
    arn = _existing(call, parameters)
    tags = {**call.backends.records.tags(arn), **tags_of(parameters)}
    if len(tags) > TAG_LIMIT:
        raise ServiceError(
            "ResourceLimitExceeded", f"A resource can have at most {TAG_LIMIT} tags: {arn}"
        )
    call.backends.records.add_tags(arn, tags_of(parameters))
    return {"Tags": _list(tags)}


def delete_tags(call: Call, parameters: Parameters) -> Parameters:
    """Removes tags by key; keys that are not there do not matter."""
    call.backends.records.delete_tags(_existing(call, parameters), parameters["TagKeys"])
    return {}


def list_tags(call: Call, parameters: Parameters) -> Parameters:
    """All tags of a resource; never more than fit one page."""
    return {"Tags": _list(call.backends.records.tags(_existing(call, parameters)))}


OPERATIONS: dict[str, Operation] = {
    "AddTags": add_tags,
    "DeleteTags": delete_tags,
    "ListTags": list_tags,
}


def _existing(call: Call, parameters: Parameters) -> str:
    arn: str = parameters["ResourceArn"]
    if call.backends.records.find_by_arn(arn) is None:
        raise invalid(f"Could not find a resource with the ARN {arn}")
    return arn


def _list(tags: dict[str, str]) -> list[Parameters]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
