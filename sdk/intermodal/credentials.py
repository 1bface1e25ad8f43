"""What is wrong with credentials and regions, in words for the person who has to mend them."""

from collections.abc import Mapping
from typing import Any

from intermodal.errors import CredentialsMissingError, UnknownRegionError

_LOCAL = "for the local engine use LocalSession()"
_RENEW = "renew them (`aws sso login`, or your own way) and make a new Session()"
_HINTS: Mapping[str, str] = {
    "ExpiredToken": f"the credentials have expired; {_RENEW}",
    "ExpiredTokenException": f"the credentials have expired; {_RENEW}",
    "RequestExpired": "the credentials have expired, or this machine's clock is wrong",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "InvalidClientTokenId": f"the access key is unknown there; see `aws configure list`; {_LOCAL}",
    "UnrecognizedClientException": f"the access key is unknown there; see `aws configure list`; "
    f"{_LOCAL}",
    "InvalidAccessKeyId": f"the access key is unknown there; see `aws configure list`; {_LOCAL}",
    "SignatureDoesNotMatch": "the secret key is not the access key's; see `aws configure list`",
}


def require_credentials(boto_session: Any) -> None:
    """Look for credentials before the first request does.

    Raises:
        CredentialsMissingError: there are none.
    """
    if boto_session.get_credentials() is None:
        raise CredentialsMissingError(
            "boto3 finds no AWS credentials",
            hint=f"run `aws configure` or `aws sso login`, or set AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY; {_LOCAL}",
        )


def require_region(boto_session: Any, client: Any) -> None:
    """Look a region up that boto3 does not know, for it may be new.

    Raises:
        UnknownRegionError: its address is nowhere.
    """
    from urllib.parse import urlsplit

    region, address = client.meta.region_name, urlsplit(client.meta.endpoint_url)
    host = address.hostname or ""
    known = _known_regions(boto_session)
    if region in known or region not in host or _is_somewhere(host):
        return
    import difflib

    near = difflib.get_close_matches(region, known, n=1)
    raise UnknownRegionError(
        f"`{region}` is no AWS region: there is no `{host}`",
        hint=f"did you mean `{near[0]}`?" if near else "set AWS_DEFAULT_REGION to one of AWS's",
    )


def explain_refusals(client: Any) -> None:
    """Append a hint to what AWS says about the credentials of this client's requests."""
    client.meta.events.register("after-call", _append_hint)


def _append_hint(parsed: Any, **_: Any) -> None:
    error = parsed.get("Error", {}) if isinstance(parsed, dict) else {}
    hint = _HINTS.get(error.get("Code", ""))
    if hint:
        error["Message"] = f"{error.get('Message', '')}\nhint: {hint}"


def _known_regions(boto_session: Any) -> list[str]:
    partitions = boto_session.get_available_partitions()
    return [
        region
        for partition in partitions
        for region in boto_session.get_available_regions("s3", partition_name=partition)
    ]


def _is_somewhere(host: str) -> bool:
    import socket

    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True
