"""What can go wrong in a serving container, and which HTTP status says so.

IntermodalError
├── SettingError                    an environment variable holds a value that cannot be used
├── ModelLoadError                  the model or its code cannot be served; the process ends
└── RequestError                    one request gets an error answer, the server goes on
    ├── BadRequestError                 400  the body is not what its content type says
    ├── ModelNotFoundError              404  no model of that name is loaded
    ├── NotAcceptableError              406  the prediction has no form that the client accepts
    ├── ModelExistsError                409  a model of that name is loaded already
    ├── PayloadTooLargeError            413  the body is over the limit
    ├── UnsupportedMediaTypeError       415  nothing here reads that content type
    ├── BrokenModelError                500  that one of many models cannot be loaded
    ├── NotOfferedError                 501  the model's code does not do that
    ├── NotReadyError                   503  the model is still loading
    ├── ModelTimeoutError               504  the model did not answer in time
    └── InsufficientMemoryError         507  there is no room for one more model
"""

from typing import ClassVar

from intermodal_contract.errors import IntermodalError


class SettingError(IntermodalError):
    """An environment variable holds a value that cannot be used."""


class ModelLoadError(IntermodalError):
    """The model or the code beside it cannot be served."""


class RequestError(IntermodalError):
    """One request that gets an error answer; `status` is the HTTP status."""

    status: ClassVar[int] = 400


class BadRequestError(RequestError):
    """The body is not what its content type says, or not what the model takes."""

    status = 400


class ModelNotFoundError(RequestError):
    """No model of that name is loaded."""

    status = 404


class NotAcceptableError(RequestError):
    """The prediction has no form among those that the client accepts."""

    status = 406


class ModelExistsError(RequestError):
    """A model of that name is loaded already."""

    status = 409


class PayloadTooLargeError(RequestError):
    """The body is over the limit."""

    status = 413


class UnsupportedMediaTypeError(RequestError):
    """Nothing here reads the body's content type, charset or content encoding."""

    status = 415


class BrokenModelError(RequestError):
    """One of many models, or its code, cannot be loaded; the others go on."""

    status = 500


class NotOfferedError(RequestError):
    """The model's code defines nothing that would do it."""

    status = 501


class NotReadyError(RequestError):
    """The model is still loading."""

    status = 503


class ModelTimeoutError(RequestError):
    """The model did not answer in time."""

    status = 504


class InsufficientMemoryError(RequestError):
    """There is no room for one more model; SageMaker then unloads another one and tries again."""

    status = 507
