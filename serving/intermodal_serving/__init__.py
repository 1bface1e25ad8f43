"""The program `serve` inside a serving image.

User code may import the errors from here: raise `BadRequestError` in a handler to answer 400.
"""

from intermodal_serving.errors import (
    BadRequestError,
    NotAcceptableError,
    RequestError,
    UnsupportedMediaTypeError,
)

__all__ = ["BadRequestError", "NotAcceptableError", "RequestError", "UnsupportedMediaTypeError"]
__version__ = "0.1.0"
