"""What can go wrong between the router and an instance.

RouterError                  anything below
├── UnknownEndpointError     the router has no instance of that endpoint
├── ComponentRequiredError   the endpoint's instances have no model: its components serve
├── AsynchronousError        the endpoint takes asynchronous invocations alone
├── NoCapacityError          there are to be no instances at present
├── UnknownVariantError      the endpoint has no variant of that name
├── UnknownSessionError      no instance holds a session of that id (any more)
├── InvalidTargetError       the request's target is none that the endpoint can have
│   ├── ModelMissingError    there is no archive of that name
│   └── ModelChangedError    the archive was replaced while it was fetched
├── TargetNotSupportedError  the request names a model, and the endpoint does not serve many
├── TargetMissingError       the request names no model, and the endpoint serves many
├── ContainerNotSupportedError  the request names a container, and each goes to all or to one
├── ContainerMissingError    the request names no container, and must name one
├── UnknownContainerError    the endpoint has no container of that name
├── ModelLoadError           the container does not load the model
├── ModelNotReadyError       the model is loading still
├── NoRoomError              the instance's disk is full
├── ThrottledError           as many requests are under way as a serverless endpoint takes
├── OverloadedError          all instances are busy, and too many requests wait already
├── NoHealthyInstanceError   there are instances, but none that may get the request
├── ConnectFailedError       no connection; not a byte of the request was sent
├── ConnectionLostError      the connection ended before the whole answer came
├── InvalidAnswerError       what the instance sent is not HTTP
└── AnswerTimeoutError       the instance did not answer in time
"""

from dataclasses import dataclass
from http import HTTPStatus


class RouterError(Exception):
    """Something between the router and an instance went wrong.

    Attributes:
        container: which of several containers it is about; empty for an only one.
        steps: what containers have done until then.
    """

    container: str = ""
    steps: "tuple[Step, ...]" = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What one of several containers did with a request.

    Attributes:
        container: its name.
        status: of its answer; 500 stands for none.
        seconds: until that.
    """

    container: str
    status: int
    seconds: float


class UnknownEndpointError(RouterError):
    """The router has no instance of that endpoint."""


class ComponentRequiredError(RouterError):
    """The endpoint's instances have no model: its inference components serve."""


class AsynchronousError(RouterError):
    """The endpoint takes asynchronous invocations alone."""


class NoCapacityError(RouterError):
    """There are to be no instances at present."""


class UnknownVariantError(RouterError):
    """The endpoint has no variant of that name."""


class UnknownSessionError(RouterError):
    """No instance holds a session of that id, or none does any more."""


class InvalidTargetError(RouterError):
    """The request's target is none that the endpoint can have; the message is for the caller."""


class ModelMissingError(InvalidTargetError):
    """There is no archive of that name."""


class ModelChangedError(InvalidTargetError):
    """The archive was replaced while it was fetched."""


class TargetNotSupportedError(RouterError):
    """The request names a model, and the endpoint does not serve many."""


class TargetMissingError(RouterError):
    """The request names no model, and the endpoint serves many."""


class ContainerNotSupportedError(RouterError):
    """The request names a container, and the endpoint hands each request to all or to one."""


class ContainerMissingError(RouterError):
    """The request names no container, and the endpoint wants one named."""


class UnknownContainerError(RouterError):
    """The endpoint has no container of that name."""


class ModelLoadError(RouterError):
    """The container does not load the model.

    Args:
        status: of its answer.
        text: of its answer.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = int(status)


class ModelNotReadyError(RouterError):
    """The model is loading still."""


class NoRoomError(RouterError):
    """The instance's disk is full."""


class ThrottledError(RouterError):
    """As many requests are under way as a serverless endpoint takes at once."""


class OverloadedError(RouterError):
    """All instances are busy, and too many requests wait already, or have waited for too long."""


class NoHealthyInstanceError(RouterError):
    """There are instances, but none that may get the request."""


class ConnectFailedError(RouterError):
    """No connection; not a byte of the request was sent."""


class ConnectionLostError(RouterError):
    """The connection ended before the whole answer came.

    Args:
        message: what happened.
        is_stale: it had carried an earlier request and ended before the first byte of this
            answer, as when a server closes an idle connection.
    """

    def __init__(self, message: str, *, is_stale: bool = False) -> None:
        super().__init__(message)
        self.is_stale = is_stale


class InvalidAnswerError(RouterError):
    """What the instance sent is not HTTP."""


class AnswerTimeoutError(RouterError):
    """The instance did not answer in time."""


def status_of(error: RouterError) -> int:
    """As which HTTP status a failed invocation counts."""
    if isinstance(error, ModelLoadError):
        return error.status
    is_mistake = isinstance(
        error,
        InvalidTargetError
        | TargetNotSupportedError
        | TargetMissingError
        | ContainerNotSupportedError
        | ContainerMissingError
        | UnknownContainerError,
    )
    return HTTPStatus.BAD_REQUEST if is_mistake else HTTPStatus.INTERNAL_SERVER_ERROR
