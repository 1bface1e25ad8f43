"""What all SageMaker resources share: ARNs, tags, listings, and the errors about them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from intermodal_engine.services.call import Call, Parameters
from intermodal_engine.services.iam import role_id
from intermodal_engine.store.records import InvalidTokenError, Query, Record
from intermodal_engine.wire.errors import ServiceError

if TYPE_CHECKING:
    from datetime import datetime


def arn(call: Call, kind: str, name: str) -> str:
    """The ARN of a resource; names are lower case in ARNs, as the service writes them."""
    return f"arn:aws:sagemaker:{call.region}:{call.account_id}:{kind}/{name.lower()}"


def creator(call: Call) -> Parameters:
    """`CreatedBy`: who calls."""
    return {
        "IamIdentity": {
            "Arn": f"arn:aws:sts::{call.account_id}:assumed-role/{call.role}/{call.session}",
            "PrincipalId": f"{role_id(call.role)}:{call.session}",
        }
    }


def tags_of(parameters: Parameters) -> dict[str, str]:
    """The `Tags` of a Create call as a map."""
    return {tag["Key"]: tag["Value"] for tag in parameters.get("Tags", [])}


def invalid(message: str) -> ServiceError:
    """A ValidationException about what only the service can know."""
    return ServiceError("ValidationException", message)


def check_program(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Makes sure that a program can be started like this at all.

    Raises:
        ServiceError: what no argument and no variable can hold.
    """
    for argument in arguments:
        if "\0" in argument:
            raise invalid(f"The container argument {argument!r} has a NUL character in it")
    for name, value in environment.items():
        if "\0" in value:
            raise invalid(f"The environment variable {name} has a NUL character in its value")


def copy_members(source: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The named members that are there."""
    return {name: source[name] for name in names if name in source}


def list_page(
    call: Call,
    kind: str,
    parameters: Parameters,
    member: str,
    summary: Callable[[Record], Parameters],
    state_equals: Mapping[str, str] | None = None,
) -> Parameters:
    """Answers a List operation in the service's common form.

    Args:
        call: the call.
        kind: of records.
        parameters: NameContains, StatusEquals, CreationTime and LastModifiedTime bounds, SortBy,
            SortOrder, MaxResults, NextToken.
        member: name of the list in the answer.
        summary: makes one entry.
        state_equals: further filters: dotted path in a record's state, and its value.
    """
    query = Query(
        name_contains=parameters.get("NameContains"),
        status=parameters.get("StatusEquals"),
        created_after=_epoch(parameters, "CreationTimeAfter"),
        created_before=_epoch(parameters, "CreationTimeBefore"),
        modified_after=_epoch(parameters, "LastModifiedTimeAfter"),
        modified_before=_epoch(parameters, "LastModifiedTimeBefore"),
        sort_by=parameters.get("SortBy", "CreationTime"),
        descending=parameters.get("SortOrder", "Descending") == "Descending",
        limit=parameters.get("MaxResults", 10),
        token=parameters.get("NextToken"),
        state_equals=state_equals or {},
    )
    try:
        page = call.backends.records.page(kind, query)
    except InvalidTokenError as error:
        raise invalid("The NextToken is not one that this listing gave") from error
    result: Parameters = {member: [summary(record) for record in page.records]}
    if page.next_token is not None:
        result["NextToken"] = page.next_token
    return result


def _epoch(parameters: Parameters, name: str) -> float | None:
    value: datetime | None = parameters.get(name)
    return None if value is None else value.timestamp()
