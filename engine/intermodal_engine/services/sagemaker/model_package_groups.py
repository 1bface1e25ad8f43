"""Model package groups: a model's versions under one name, and who else may use them.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry-model-group.html
"""

import json

from intermodal_engine.services.answers import not_served, when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.sagemaker.resources import (
    arn,
    copy_members,
    creator,
    invalid,
    list_page,
    tags_of,
)
from intermodal_engine.store.records import Query, Record, RecordExistsError
from intermodal_engine.wire.errors import ServiceError

KIND = "model-package-group"
PACKAGE_KIND = "model-package"
COMPLETED = "Completed"


def create_model_package_group(call: Call, parameters: Parameters) -> Parameters:
    """Makes a group without versions."""
    if "ManagedConfiguration" in parameters:
        raise not_served("`ManagedConfiguration`", "leave it out")
    name = parameters["ModelPackageGroupName"]
    group_arn = arn(call, KIND, name)
    try:
        call.backends.records.insert(
            KIND,
            name,
            arn=group_arn,
            request=parameters,
            status=COMPLETED,
            state={"last_version": 0, "created_by": creator(call)},
            tags=tags_of(parameters),
        )
    except RecordExistsError as error:
        raise invalid(f"Model Package Group already exists: {group_arn}") from error
    return {"ModelPackageGroupArn": group_arn}


def describe_model_package_group(call: Call, parameters: Parameters) -> Parameters:
    """A group; its versions are listed by ListModelPackages."""
    return described(find_group(call, parameters["ModelPackageGroupName"]))


def list_model_package_groups(call: Call, parameters: Parameters) -> Parameters:
    """Groups, newest first unless asked otherwise."""
    if parameters.get("CrossAccountFilterOption") == "CrossAccount":
        return {"ModelPackageGroupSummaryList": []}
    return list_page(call, KIND, parameters, "ModelPackageGroupSummaryList", _summary)


def delete_model_package_group(call: Call, parameters: Parameters) -> Parameters:
    """Deletes a group that has no versions."""
    record = find_group(call, parameters["ModelPackageGroupName"])
    versions = Query(state_equals={"group": record.name}, limit=1)
    if call.backends.records.page(PACKAGE_KIND, versions).records:
        raise ServiceError(
            "ConflictException",
            f"Model Package Group {record.arn} cannot be deleted because it still contains Model "
            "Packages. Delete them first.",
        )
    call.backends.records.delete(KIND, record.name)
    return {}


def put_model_package_group_policy(call: Call, parameters: Parameters) -> Parameters:
    """Keeps a resource policy. The engine has one account, so nothing is decided by it."""
    record = find_group(call, parameters["ModelPackageGroupName"])
    try:
        is_policy = isinstance(json.loads(parameters["ResourcePolicy"]), dict)
    except ValueError:
        is_policy = False
    if not is_policy:
        raise invalid("ResourcePolicy is not a JSON document of an IAM policy")
    with call.backends.records.edit(KIND, record.name) as draft:
        draft.state["policy"] = parameters["ResourcePolicy"]
    return {"ModelPackageGroupArn": record.arn}


def get_model_package_group_policy(call: Call, parameters: Parameters) -> Parameters:
    """The resource policy as it was put."""
    return {"ResourcePolicy": _with_policy(call, parameters).state["policy"]}


def delete_model_package_group_policy(call: Call, parameters: Parameters) -> Parameters:
    """Drops the resource policy."""
    record = _with_policy(call, parameters)
    with call.backends.records.edit(KIND, record.name) as draft:
        del draft.state["policy"]
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateModelPackageGroup": create_model_package_group,
    "DescribeModelPackageGroup": describe_model_package_group,
    "ListModelPackageGroups": list_model_package_groups,
    "DeleteModelPackageGroup": delete_model_package_group,
    "PutModelPackageGroupPolicy": put_model_package_group_policy,
    "GetModelPackageGroupPolicy": get_model_package_group_policy,
    "DeleteModelPackageGroupPolicy": delete_model_package_group_policy,
}


def find_group(call: Call, name_or_arn: str) -> Record:
    """A group's record.

    Raises:
        ServiceError: there is none.
    """
    records = call.backends.records
    is_arn = name_or_arn.startswith("arn:")
    found = records.find_by_arn(name_or_arn) if is_arn else records.find(KIND, name_or_arn)
    if found is None or found.kind != KIND:
        group_arn = name_or_arn if is_arn else arn(call, KIND, name_or_arn)
        raise invalid(f"Model Package Group {group_arn} does not exist.")
    return found


def described(record: Record) -> Parameters:
    """A group as Describe and Search show it."""
    return {**_summary(record), "CreatedBy": record.state["created_by"]}


def _with_policy(call: Call, parameters: Parameters) -> Record:
    record = find_group(call, parameters["ModelPackageGroupName"])
    if "policy" not in record.state:
        raise invalid(f"Model Package Group {record.arn} has no resource policy")
    return record


def _summary(record: Record) -> Parameters:
    return {
        **copy_members(record.request, "ModelPackageGroupDescription"),
        "ModelPackageGroupName": record.name,
        "ModelPackageGroupArn": record.arn,
        "CreationTime": when(record.created_at),
        "ModelPackageGroupStatus": record.status,
    }
