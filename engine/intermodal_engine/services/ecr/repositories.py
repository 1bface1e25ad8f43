"""Repositories: names under which the registry keeps images.

https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
"""

from urllib.parse import urlsplit

from intermodal_engine.services.answers import not_served, when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.ecr.contents import images_of
from intermodal_engine.services.ecr.resources import (
    KIND,
    check_registry_id,
    connected,
    find_repository,
    page,
    refuse_paging,
    registry_url,
)
from intermodal_engine.services.ecr.tags import checked_tags
from intermodal_engine.store.records import Record, RecordExistsError
from intermodal_engine.wire.errors import ServiceError


def create_repository(call: Call, parameters: Parameters) -> Parameters:
    """Keeps the name. The registry itself makes a repository with its first image."""
    check_registry_id(call, parameters)
    _check(parameters)
    registry_url(call)
    name = parameters["repositoryName"]
    try:
        record = call.backends.records.insert(
            KIND,
            name,
            arn=f"arn:aws:ecr:{call.region}:{call.account_id}:repository/{name}",
            request={"repositoryName": name},
            state={"seen": {}},
            tags=checked_tags(parameters.get("tags", [])),
        )
    except RecordExistsError as error:
        raise ServiceError(
            "RepositoryAlreadyExistsException",
            f"The repository with name '{name}' already exists in the registry with id "
            f"'{call.account_id}'",
        ) from error
    return {"repository": _repository(call, record)}


def describe_repositories(call: Call, parameters: Parameters) -> Parameters:
    """The named repositories in that order, or all by name."""
    registry_id = {key: parameters[key] for key in ("registryId",) if key in parameters}
    names = parameters.get("repositoryNames")
    if names is not None:
        refuse_paging(parameters, "repositoryNames")
        records = [find_repository(call, {"repositoryName": one} | registry_id) for one in names]
        return {"repositories": [_repository(call, one) for one in records]}
    check_registry_id(call, parameters)
    everything = sorted(call.backends.records.all(KIND), key=lambda one: one.name)
    shown, token = page(everything, lambda one: one.name, parameters)
    return {"repositories": [_repository(call, one) for one in shown], "nextToken": token}


def delete_repository(call: Call, parameters: Parameters) -> Parameters:
    """Forgets a repository, with `force` after its images have been deleted."""
    record = find_repository(call, parameters)
    with connected(call) as registry:
        images = images_of(call, registry, record)
        if images and not parameters.get("force"):
            raise ServiceError(
                "RepositoryNotEmptyException",
                f"The repository with name '{record.name}' in registry with id "
                f"'{call.account_id}' cannot be deleted because it still contains images",
            )
        for image in images:
            registry.delete(record.name, image.digest)
    call.backends.records.delete(KIND, record.name)
    return {"repository": _repository(call, record)}


OPERATIONS: dict[str, Operation] = {
    "CreateRepository": create_repository,
    "DescribeRepositories": describe_repositories,
    "DeleteRepository": delete_repository,
}


def _check(parameters: Parameters) -> None:
    """Refuses what the registry cannot do, rather than pretending to do it."""
    mutability = parameters.get("imageTagMutability", "MUTABLE")
    if mutability != "MUTABLE":
        raise not_served(f"`imageTagMutability` `{mutability}`", "leave it out")
    if parameters.get("imageScanningConfiguration", {}).get("scanOnPush"):
        raise not_served("`scanOnPush`", "leave it out")
    encryption = parameters.get("encryptionConfiguration", {}).get("encryptionType", "AES256")
    if encryption != "AES256":
        raise not_served(f"`encryptionType` `{encryption}`", "leave it out")


def _repository(call: Call, record: Record) -> Parameters:
    return {
        "repositoryArn": record.arn,
        "registryId": call.account_id,
        "repositoryName": record.name,
        "repositoryUri": f"{urlsplit(registry_url(call)).netloc}/{record.name}",
        "createdAt": when(record.created_at),
        "imageTagMutability": "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": False},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }
