"""What the operations of ECR share: the registry, repositories' records, pages, errors."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from intermodal_engine.services.call import Call, Parameters
from intermodal_engine.store.image_registry import ImageRegistry, RegistryError
from intermodal_engine.store.records import Record
from intermodal_engine.wire.errors import ServiceError

T = TypeVar("T")

KIND = "ecr-repository"
PAGE_LIMIT = 100
"""Results in a page where `maxResults` does not say (ECR's own default)."""


def registry_url(call: Call) -> str:
    """Where the registry behind ECR is.

    Raises:
        ServiceError: the engine was started without one.
    """
    url = call.backends.settings.registry
    if url is None:
        raise ServiceError(
            "NotImplementedException",
            "intermodal's engine serves ECR from a registry that you run, and it was started "
            "without one; nothing was done. Run one (Debian's `docker-registry`, or `docker run -d "
            "-p 127.0.0.1:5000:5000 registry:2`) and name it: `intermodal down`, then `intermodal "
            "up --registry HOST:PORT`.",
            status=501,
        )
    return url


@contextmanager
def connected(call: Call) -> Iterator[ImageRegistry]:
    """The registry, for one operation.

    Raises:
        ServiceError: there is none, or it does not do what the operation asks of it.
    """
    with ImageRegistry(registry_url(call)) as registry:
        try:
            yield registry
        except RegistryError as error:
            # The status is one that no client repeats: asking again starts no registry.
            raise ServiceError(
                "ServerException", f"{error.message}. {error.hint}", status=424
            ) from error


def find_repository(call: Call, parameters: Parameters) -> Record:
    """The record of the repository that a request names.

    Raises:
        ServiceError: there is none.
    """
    name = parameters["repositoryName"]
    registry_id = parameters.get("registryId", call.account_id)
    record = call.backends.records.find(KIND, name) if registry_id == call.account_id else None
    if record is None:
        raise no_repository(name, registry_id)
    return record


def check_registry_id(call: Call, parameters: Parameters) -> None:
    """Makes sure that a request is about the engine's own registry.

    Raises:
        ServiceError: it names another account's.
    """
    if parameters.get("registryId", call.account_id) != call.account_id:
        raise invalid(
            "registryId", f"The engine has the registry of account {call.account_id} and no other"
        )


def no_repository(name: str, registry_id: str) -> ServiceError:
    """The answer about a repository that does not exist."""
    return ServiceError(
        "RepositoryNotFoundException",
        f"The repository with name '{name}' does not exist in the registry with id '{registry_id}'",
    )


def invalid(parameter: str, constraint: str) -> ServiceError:
    """The refusal of a parameter that only the service can judge, in ECR's words."""
    return ServiceError(
        "InvalidParameterException",
        f"Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'",
    )


def page(
    items: Sequence[T], key: Callable[[T], str], parameters: Parameters
) -> tuple[Sequence[T], str | None]:
    """The part of a listing that a request asks for, and the next part's token.

    Args:
        items: the whole listing.
        key: what it is sorted by; no two items have the same.
        parameters: `maxResults` and `nextToken`.
    """
    after = _read_token(parameters.get("nextToken"))
    rest = [one for one in items if key(one) > after]
    shown = rest[: parameters.get("maxResults", PAGE_LIMIT)]
    more = len(rest) > len(shown)
    return shown, key(shown[-1]).encode().hex() if more else None


def refuse_paging(parameters: Parameters, member: str) -> None:
    """Makes sure that a request that names what it wants asks for no page of it.

    Raises:
        ServiceError: it does.
    """
    for name in ("nextToken", "maxResults"):
        if name in parameters:
            raise invalid(name, f"must not be given together with {member}")


def _read_token(token: str | None) -> str:
    try:
        return bytes.fromhex(token or "").decode()
    except ValueError as error:
        raise invalid("nextToken", "must be one that this listing gave") from error
