"""Who may sign requests, and who did sign one."""

from collections.abc import Callable
from dataclasses import dataclass

from intermodal_engine.wire.body_check import BodyCheck


@dataclass(frozen=True, slots=True)
class Credentials:
    """One key pair that the engine has issued."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id!r})"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signed a request, and for what.

    Attributes:
        access_key_id: the key.
        signing_name: the service in the credential scope, for example `sagemaker`.
        region: the region in the credential scope; empty where the signature names none.
        body: checks the body.
    """

    access_key_id: str
    signing_name: str
    region: str
    body: BodyCheck


Lookup = Callable[[str], Credentials | None]
"""The credentials of an access key; None if there are none."""
