"""Model packages: a model with all that it takes to serve it, in versions that people approve.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry.html
"""

from collections.abc import Iterator
from typing import Any

from intermodal_engine.services.answers import not_served, when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.sagemaker.model_data import check_data, etag_of
from intermodal_engine.services.sagemaker.model_package_groups import (
    COMPLETED,
    find_group,
)
from intermodal_engine.services.sagemaker.model_package_groups import KIND as GROUP_KIND
from intermodal_engine.services.sagemaker.model_package_groups import PACKAGE_KIND as KIND
from intermodal_engine.services.sagemaker.resources import (
    arn,
    check_program,
    copy_members,
    creator,
    invalid,
    list_page,
    tags_of,
)
from intermodal_engine.store.records import Draft, Query, Record, RecordExistsError
from intermodal_engine.wire.errors import ServiceError

_PENDING = "PendingManualApproval"
_NOT_SERVED = {
    "ValidationSpecification": "validate it with a transform job of your own",
    "SourceAlgorithmSpecification": "give `InferenceSpecification`",
    "ManagedStorageType": "leave it out",
}
_DESCRIBED = (
    "ModelPackageDescription",
    "ModelPackageRegistrationType",
    "MetadataProperties",
    "ModelMetrics",
    "Domain",
    "Task",
    "SamplePayloadUrl",
    "DriftCheckBaselines",
    "SkipModelValidation",
    "SecurityConfig",
)
_CHANGEABLE = (
    "InferenceSpecification",
    "AdditionalInferenceSpecifications",
    "CustomerMetadataProperties",
    "ApprovalDescription",
    "ModelCard",
    "ModelLifeCycle",
    "SourceUri",
)
_SPECIFICATIONS = ("SupportedTransformInstanceTypes", "SupportedRealtimeInferenceInstanceTypes")
_METADATA_LIMIT = 50


def create_model_package(call: Call, parameters: Parameters) -> Parameters:
    """Keeps a package: the next version of its group, or one that has a name of its own."""
    earlier = _made_by(call, parameters.get("ClientToken"))
    if earlier is not None:
        return {"ModelPackageArn": earlier.arn}
    _check(parameters)
    if "ModelPackageGroupName" in parameters:
        record = _insert_version(call, parameters)
    else:
        record = _insert(call, parameters, parameters["ModelPackageName"], {"type": "Unversioned"})
    return {"ModelPackageArn": record.arn}


def describe_model_package(call: Call, parameters: Parameters) -> Parameters:
    """A package as it was registered, and whether it is approved."""
    return described(find_package(call, parameters["ModelPackageName"]))


def list_model_packages(call: Call, parameters: Parameters) -> Parameters:
    """Packages, newest first unless asked otherwise; by default those that have no versions."""
    filters = {}
    kind = parameters.get("ModelPackageType", "Unversioned")
    if "ModelPackageGroupName" in parameters:
        filters["group"] = find_group(call, parameters["ModelPackageGroupName"]).name
    elif kind != "Both":
        filters["type"] = kind
    if "ModelApprovalStatus" in parameters:
        filters["approval"] = parameters["ModelApprovalStatus"]
    return list_page(call, KIND, parameters, "ModelPackageSummaryList", _summary, filters)


def batch_describe_model_package(call: Call, parameters: Parameters) -> Parameters:
    """Several versions at once; those that are not there are named."""
    found: dict[str, Parameters] = {}
    missing: dict[str, Parameters] = {}
    for package_arn in parameters["ModelPackageArnList"]:
        record = call.backends.records.find_by_arn(package_arn)
        if record is None or record.kind != KIND:
            missing[package_arn] = {
                "ErrorCode": "ResourceNotFound",
                "ErrorResponse": f"ModelPackage {package_arn} does not exist.",
            }
            continue
        specification = copy_members(record.request, "InferenceSpecification")
        summary = _summary(record)
        summary.pop("ModelPackageName", None)
        summary.pop("ModelLifeCycle", None)
        found[package_arn] = {**specification, **summary}
    return {"ModelPackageSummaries": found, "BatchDescribeModelPackageErrorMap": missing}


def update_model_package(call: Call, parameters: Parameters) -> Parameters:
    """Approves or rejects a version, or changes what is told of it."""
    record = find_package(call, parameters["ModelPackageArn"])
    if "ModelApprovalStatus" in parameters and record.state["type"] == "Unversioned":
        raise invalid(
            f"ModelApprovalStatus is for versions of a group; {record.arn} has no versions"
        )
    with call.backends.records.edit(KIND, record.name) as draft:
        _update(draft, parameters)
    return {"ModelPackageArn": record.arn}


def delete_model_package(call: Call, parameters: Parameters) -> Parameters:
    """Deletes a package; models that were made from it go on. Its number is not given again."""
    record = find_package(call, parameters["ModelPackageName"])
    call.backends.records.delete(KIND, record.name)
    return {}


OPERATIONS: dict[str, Operation] = {
    "BatchDescribeModelPackage": batch_describe_model_package,
    "CreateModelPackage": create_model_package,
    "DescribeModelPackage": describe_model_package,
    "ListModelPackages": list_model_packages,
    "UpdateModelPackage": update_model_package,
    "DeleteModelPackage": delete_model_package,
}


def find_package(call: Call, name_or_arn: str) -> Record:
    """A package's record.

    Args:
        call: the call.
        name_or_arn: an ARN, `GROUP/VERSION`, or the name of one without versions.

    Raises:
        ServiceError: there is none.
    """
    records = call.backends.records
    is_arn = name_or_arn.startswith("arn:")
    found = records.find_by_arn(name_or_arn) if is_arn else records.find(KIND, name_or_arn)
    if found is None or found.kind != KIND:
        package_arn = name_or_arn if is_arn else arn(call, KIND, name_or_arn)
        raise invalid(f"ModelPackage {package_arn} does not exist.")
    return found


def described(record: Record) -> Parameters:
    """A package as Describe and Search show it."""
    result: Parameters = {
        **_summary(record),
        **copy_members(record.request, *_DESCRIBED, *_CHANGEABLE),
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "CertifyForMarketplace": False,
        "CreatedBy": record.state["created_by"],
        "LastModifiedTime": when(record.modified_at),
        "LastModifiedBy": record.state["created_by"],
    }
    return result


def _insert_version(call: Call, parameters: Parameters) -> Record:
    """The next version; its number and the version are one transaction."""
    group = find_group(call, parameters["ModelPackageGroupName"])
    approval = parameters.get("ModelApprovalStatus", _PENDING)
    with call.backends.records.edit(GROUP_KIND, group.name) as draft:
        draft.state["last_version"] += 1
        version = draft.state["last_version"]
        state = {"type": "Versioned", "group": group.name, "version": version, "approval": approval}
        return _insert(call, parameters, f"{group.name}/{version}", state)


def _insert(call: Call, parameters: Parameters, name: str, state: dict[str, Any]) -> Record:
    package_arn = arn(call, KIND, name)
    request = {**parameters, **_with_etags(call, parameters)}
    token = {"client_token": parameters["ClientToken"]} if "ClientToken" in parameters else {}
    try:
        return call.backends.records.insert(
            KIND,
            name,
            arn=package_arn,
            request=request,
            status=COMPLETED,
            state={**state, **token, "created_by": creator(call)},
            tags=tags_of(parameters),
        )
    except RecordExistsError as error:
        raise ServiceError(
            "ConflictException", f"ModelPackage already exists: {package_arn}"
        ) from error


def _made_by(call: Call, token: str | None) -> Record | None:
    """What an earlier try of the same request has made."""
    if token is None:
        return None
    query = Query(state_equals={"client_token": token}, limit=1)
    return next(iter(call.backends.records.page(KIND, query).records), None)


def _with_etags(call: Call, parameters: Parameters) -> Parameters:
    """The specification with `ModelDataETag`, by which a replaced archive is noticed."""
    if "InferenceSpecification" not in parameters:
        return {}
    containers = [
        {**container, **etag_of(call, container)}
        for container in parameters["InferenceSpecification"]["Containers"]
    ]
    specification = {**parameters["InferenceSpecification"], "Containers": containers}
    return {"InferenceSpecification": specification}


def _update(draft: Draft, parameters: Parameters) -> None:
    request, state = draft.request, draft.state
    if "ModelApprovalStatus" in parameters:
        state["approval"] = parameters["ModelApprovalStatus"]
        draft.note("ApprovalChanged", status=state["approval"])
    for member in _CHANGEABLE:
        if member in parameters and member != "CustomerMetadataProperties":
            request[member] = parameters[member]
    request["CustomerMetadataProperties"] = _metadata(request, parameters)
    if not request["CustomerMetadataProperties"]:
        del request["CustomerMetadataProperties"]
    if "ModelPackageRegistrationType" in parameters:
        request["ModelPackageRegistrationType"] = parameters["ModelPackageRegistrationType"]
    added = parameters.get("AdditionalInferenceSpecificationsToAdd", [])
    if added:
        present = request.get("AdditionalInferenceSpecifications", [])
        request["AdditionalInferenceSpecifications"] = [*present, *added]
    _check_specifications(request)


def _metadata(request: Parameters, parameters: Parameters) -> dict[str, str]:
    removed = parameters.get("CustomerMetadataPropertiesToRemove", [])
    kept = {
        key: value
        for key, value in request.get("CustomerMetadataProperties", {}).items()
        if key not in removed
    }
    together = {**kept, **parameters.get("CustomerMetadataProperties", {})}
    if len(together) > _METADATA_LIMIT:
        raise invalid(f"CustomerMetadataProperties can have at most {_METADATA_LIMIT} entries")
    return together


def _check(parameters: Parameters) -> None:
    for member, instead in _NOT_SERVED.items():
        if parameters.get(member):
            raise not_served(f"`{member}`", instead)
    if parameters.get("CertifyForMarketplace"):
        raise not_served("`CertifyForMarketplace`", "leave it out")
    has_group, has_name = ("ModelPackageGroupName" in parameters, "ModelPackageName" in parameters)
    if has_group == has_name:
        raise invalid("You must specify exactly one of ModelPackageName and ModelPackageGroupName")
    if has_name:
        _check_unversioned(parameters)
    _check_specifications(parameters)


def _check_unversioned(parameters: Parameters) -> None:
    specification = parameters.get("InferenceSpecification")
    if specification is None:
        raise invalid("InferenceSpecification is required for a ModelPackage without versions")
    missing = [one for one in _SPECIFICATIONS if not specification.get(one)]
    if missing:
        raise invalid(f"{' and '.join(missing)} required for a ModelPackage without versions")


def _check_specifications(request: Parameters) -> None:
    names = [one["Name"] for one in request.get("AdditionalInferenceSpecifications", [])]
    if len(set(names)) < len(names):
        raise invalid(f"The names of inference specifications must be unique: {', '.join(names)}")
    for container in _containers(request):
        if "Image" not in container:
            raise invalid("Image is required in every container of an inference specification")
        check_program((), container.get("Environment", {}))
        check_data(container)


def _containers(request: Parameters) -> Iterator[dict[str, Any]]:
    own = request.get("InferenceSpecification")
    for specification in (
        *([own] if own else []),
        *request.get("AdditionalInferenceSpecifications", []),
    ):
        yield from specification["Containers"]


def _summary(record: Record) -> Parameters:
    state = record.state
    summary: Parameters = {
        **copy_members(
            record.request,
            *("ModelPackageDescription", "ModelLifeCycle", "ModelPackageRegistrationType"),
        ),
        "ModelPackageArn": record.arn,
        "CreationTime": when(record.created_at),
        "ModelPackageStatus": record.status,
    }
    if state["type"] == "Versioned":
        summary["ModelPackageGroupName"] = state["group"]
        summary["ModelPackageVersion"] = state["version"]
        summary["ModelApprovalStatus"] = state["approval"]
    else:
        summary["ModelPackageName"] = record.name
    return summary
