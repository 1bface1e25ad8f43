"""Errors that travel to the client as AWS's own.

ServiceError            what an operation raises: code, message, HTTP status
"""

from collections.abc import Mapping
from typing import Any


class ServiceError(Exception):
    """An error that the client's SDK shall see under an AWS error code.

    Args:
        code: AWS's code, for example `ValidationException` or `NoSuchKey`.
        message: one or more sentences; says what happened and what to do.
        status: HTTP status. None takes the model's status for the code, else 400.
        fields: further members of a modelled error shape (for example `OriginalStatusCode`).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields = dict(fields or {})
