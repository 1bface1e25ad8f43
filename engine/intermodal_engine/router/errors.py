"""What can go wrong between the router and an instance.

RouterError                  anything below
├── UnknownEndpointError     the router has no instance of that endpoint
├── UnknownVariantError      the endpoint has no variant of that name
├── UnknownSessionError      no instance holds a session of that id (any more)
├── OverloadedError          all instances are busy, and too many requests wait already
├── NoHealthyInstanceError   there are instances, but none that may get the request
├── ConnectFailedError       no connection; not a byte of the request was sent
├── ConnectionLostError      the connection ended before the whole answer came
├── InvalidAnswerError       what the instance sent is not HTTP
└── AnswerTimeoutError       the instance did not answer in time
"""


class RouterError(Exception):
    """Something between the router and an instance went wrong."""


class UnknownEndpointError(RouterError):
    """The router has no instance of that endpoint."""


class UnknownVariantError(RouterError):
    """The endpoint has no variant of that name."""


class UnknownSessionError(RouterError):
    """No instance holds a session of that id, or none does any more."""


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
