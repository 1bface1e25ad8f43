"""Who may call the engine: its own key pair, and the session credentials of its jobs.

A job's credentials are derived from the engine's secret and the job's name, and the session token
carries that name. So nothing is stored, and a job that outlives the engine is known again by the
next one. The token of another engine, or an edited one, derives to nothing.
"""

import base64
import binascii
import functools
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from intermodal_contract.errors import IntermodalError
from intermodal_engine.home import write_private
from intermodal_engine.settings import Settings
from intermodal_engine.wire.sigv4 import Credentials

ENGINE_ROLE = "intermodal-local"
ENGINE_SESSION = "engine"
TOKEN_HEADER = "x-amz-security-token"  # noqa: S105 - a header's name, not a token
_ENCODING = "ascii"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a request.

    Attributes:
        credentials: the keys that the signature must match.
        role: name of the IAM role that the caller acts under.
        session: `engine` for the engine's own key pair, else `SageMaker`, as on AWS.
        job: what the credentials were issued for; None for the engine's own.
    """

    credentials: Credentials
    role: str = ENGINE_ROLE
    session: str = ENGINE_SESSION
    job: str | None = None


class KeyRing:
    """The engine's key pair and everything derived from it.

    Args:
        engine: the key pair that `intermodal env` exports.
    """

    def __init__(self, engine: Credentials) -> None:
        self.engine = Caller(engine)
        self._from_token = functools.lru_cache(maxsize=1024)(self._derive_from_token)

    def issue(self, job: str, role: str = ENGINE_ROLE) -> Credentials:
        """Session credentials for a job; the same ones every time.

        Args:
            job: unique name, see `lifecycle/job_sessions.py`.
            role: name of the role that the request to create the job named.
        """
        claim = base64.urlsafe_b64encode(json.dumps([job, role]).encode()).decode(_ENCODING)
        access_key_id = "ASIA" + base64.b32encode(self._derive("id", claim))[:16].decode(_ENCODING)
        secret = base64.b64encode(self._derive("secret", claim)).decode(_ENCODING)[:40]
        seal = base64.urlsafe_b64encode(self._derive("seal", claim)).decode(_ENCODING)
        return Credentials(access_key_id, secret, f"{claim}.{seal}")

    def caller(self, access_key_id: str, headers: Mapping[str, str], query: str) -> Caller | None:
        """Who an access key id belongs to, given the session token that came with it.

        Args:
            access_key_id: from the request's credential scope.
            headers: names in lower case.
            query: still percent-encoded; presigned URLs carry the token there.
        """
        if access_key_id == self.engine.credentials.access_key_id:
            return self.engine
        token = headers.get(TOKEN_HEADER) or _token_in(query)
        caller = self._from_token(token) if token else None
        return caller if caller and caller.credentials.access_key_id == access_key_id else None

    @property
    def owner_token(self) -> str:
        """What tells the engine that a request is its owner's: only who can read the home has it.

        It is derived from the secret as job credentials are, under a purpose that no job gets.
        """
        return self._derive("owner", "").hex()

    def is_owner(self, token: str) -> bool:
        """Whether that is the owner's token; takes as long whatever it is."""
        return hmac.compare_digest(self.owner_token.encode(), token.encode())

    def _derive_from_token(self, token: str) -> Caller | None:
        try:
            job, role = json.loads(base64.urlsafe_b64decode(token.partition(".")[0]))
        except (ValueError, TypeError, binascii.Error):
            return None
        credentials = self.issue(str(job), str(role))
        if not hmac.compare_digest((credentials.session_token or "").encode(), token.encode()):
            return None
        return Caller(credentials, role=str(role), session="SageMaker", job=str(job))

    def _derive(self, purpose: str, claim: str) -> bytes:
        key = self.engine.credentials.secret_access_key.encode()
        return hmac.digest(key, f"{purpose}:{claim}".encode(), hashlib.sha256)


def load(settings: Settings) -> KeyRing:
    """Reads the home's key pair; makes one at first start.

    Raises:
        IntermodalError: the file is there but broken.
    """
    existing = read(settings)
    if existing is not None:
        return existing
    pair = {
        "access_key_id": "AKIA" + base64.b32encode(secrets.token_bytes(10)).decode(_ENCODING),
        "secret_access_key": base64.b64encode(secrets.token_bytes(30)).decode(_ENCODING),
    }
    write_private(settings.credentials_file, json.dumps(pair, indent=2) + "\n")
    return KeyRing(Credentials(**pair))


def read(settings: Settings) -> KeyRing | None:
    """Reads the home's key pair; None if no engine ever ran there.

    Raises:
        IntermodalError: the file is there but broken.
    """
    try:
        pair = json.loads(settings.credentials_file.read_bytes())
        return KeyRing(Credentials(pair["access_key_id"], pair["secret_access_key"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise IntermodalError(
            f"`{settings.credentials_file}` holds no key pair",
            hint="delete it; the next start makes a new one, and jobs that still run lose access",
        ) from error


def _token_in(query: str) -> str | None:
    if "X-Amz-Security-Token=" not in query:
        return None
    from urllib.parse import parse_qs

    return parse_qs(query).get("X-Amz-Security-Token", [None])[0]
