"""Reads the submitted source from S3.

With credentials in the environment, or from the container's credentials endpoint as on AWS, plain
signed HTTP does: loading boto3 takes longer than everything else that happens before the script
starts. Any other source of credentials is boto3's business.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen
from xml.etree import ElementTree

from intermodal_contract import env
from intermodal_contract.channel import S3Uri
from intermodal_training.errors import SourceError
from intermodal_training.signing import Credentials, signed_headers

_CREDENTIALS_HOST = "http://169.254.170.2"
_ATTEMPTS = 6  # 6 s in all: an engine that is being restarted is back by then
_FIRST_PAUSE_S = 0.2
_TIMEOUT_S = 60.0
_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"

T = TypeVar("T")


class S3Reader(Protocol):
    """Reads objects."""

    def read(self, uri: S3Uri, file: BinaryIO) -> None:
        """Writes an object's content to a file.

        Raises:
            SourceError: it cannot be had.
        """

    def keys(self, prefix: S3Uri) -> Iterator[str]:
        """The keys below a prefix.

        Raises:
            SourceError: they cannot be listed.
        """


def fetch_file(uri: S3Uri, destination: Path, environment: Mapping[str, str]) -> None:
    """Gets one object.

    Raises:
        SourceError: it cannot be had; the message names it.
    """
    with destination.open("wb") as file:
        s3_reader(environment).read(uri, file)


def fetch_prefix(prefix: S3Uri, destination: Path, environment: Mapping[str, str]) -> None:
    """Gets every object below a prefix, under its name below the prefix.

    Raises:
        SourceError: there is none, or one cannot be had; the message names it.
    """
    reader = s3_reader(environment)
    folder = S3Uri(prefix.bucket, prefix.key.rstrip("/") + "/" if prefix.key else "")
    count = 0
    for key in reader.keys(folder):
        name = key.removeprefix(folder.key)
        if not name or name.endswith("/"):
            continue
        if name.startswith("/") or ".." in name.split("/"):
            raise SourceError(f"`s3://{prefix.bucket}/{key}` cannot be a file's name")
        path = destination / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            reader.read(S3Uri(prefix.bucket, key), file)
        count += 1
    if not count:
        raise SourceError(
            f"the submitted source `{prefix}` holds nothing",
            hint="it must be a .tar.gz, or a prefix with files below it",
        )


def s3_reader(environment: Mapping[str, str]) -> S3Reader:
    """The quickest reader that finds credentials."""
    credentials = _environment_credentials(environment) or _container_credentials(environment)
    if credentials is None:
        return Boto3Reader(environment)
    region = environment.get(env.AWS_REGION) or environment.get(env.AWS_DEFAULT_REGION)
    return SignedReader(credentials, region or "us-east-1", _endpoint(environment))


@dataclass(slots=True)
class SignedReader:
    """Plain HTTP GET with AWS's signature version 4."""

    credentials: Credentials
    region: str
    endpoint: str | None

    def read(self, uri: S3Uri, file: BinaryIO) -> None:
        """Writes an object's content to a file."""
        self._get(uri, uri.key, {}, lambda response: _copy(response, file))

    def keys(self, prefix: S3Uri) -> Iterator[str]:
        """The keys below a prefix."""
        query = {"list-type": "2", "prefix": prefix.key}
        while True:
            listing = self._get(prefix, "", query, HTTPResponse.read)
            page = ElementTree.fromstring(listing)  # noqa: S314 - signed, from S3 itself
            yield from (key.text or "" for key in page.iter(f"{_NAMESPACE}Key"))
            token = page.findtext(f"{_NAMESPACE}NextContinuationToken")
            if not token:
                return
            query["continuation-token"] = token

    def _get(
        self, uri: S3Uri, key: str, query: Mapping[str, str], take: Callable[[HTTPResponse], T]
    ) -> T:
        """What `take` makes of an answer; it gets another one where the first ends half-way."""
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._get_once(uri.bucket, key, query) as response:
                    return take(response)
            except HTTPError as error:
                moved = error.headers.get("x-amz-bucket-region")
                if error.code in {301, 307, 400} and moved and moved != self.region:
                    self.region = moved
                    continue
                if error.code < 500 or attempt == _ATTEMPTS:
                    raise _refused(uri, error) from error
            except (URLError, OSError, HTTPException) as error:
                if attempt == _ATTEMPTS:
                    raise SourceError(
                        f"`{uri}` cannot be fetched from {self._base(uri.bucket)}: {error}",
                        hint="try again; does the container reach S3?",
                    ) from error
            time.sleep(pause_s)  # S3 asks for a pause; there is nothing to wait on
            pause_s *= 2
        raise SourceError(f"`{uri}` cannot be fetched: its bucket moves between regions")

    def _get_once(self, bucket: str, key: str, query: Mapping[str, str]) -> Any:
        url = self._base(bucket) + "/" + quote(key, safe="/-_.~")
        encoded = "&".join(
            f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
            for name, value in sorted(query.items())
        )
        headers = signed_headers(url, encoded, self.credentials, self.region, time.time())
        request = Request(f"{url}?{encoded}" if encoded else url, headers=headers)  # noqa: S310 - http(s) only, by construction
        return urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310 - as above

    def _base(self, bucket: str) -> str:
        if self.endpoint:
            return f"{self.endpoint.rstrip('/')}/{bucket}"
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        host = f"s3.{self.region}.{suffix}"
        # A bucket with dots in its name fits no certificate of `*.s3…`.
        return f"https://{host}/{bucket}" if "." in bucket else f"https://{bucket}.{host}"


@dataclass(slots=True)
class Boto3Reader:
    """Boto3, which finds credentials anywhere."""

    environment: Mapping[str, str]

    def read(self, uri: S3Uri, file: BinaryIO) -> None:
        """Writes an object's content to a file."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client().get_object(Bucket=uri.bucket, Key=uri.key)
            shutil.copyfileobj(answer["Body"], file, 1024 * 1024)
        except (BotoCoreError, ClientError) as error:
            raise SourceError(f"`{uri}` cannot be fetched: {error}") from error

    def keys(self, prefix: S3Uri) -> Iterator[str]:
        """The keys below a prefix."""
        from botocore.exceptions import BotoCoreError, ClientError

        pages = self._client().get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=prefix.bucket, Prefix=prefix.key):
                yield from (entry["Key"] for entry in page.get("Contents", ()))
        except (BotoCoreError, ClientError) as error:
            raise SourceError(f"`{prefix}` cannot be listed: {error}") from error

    def _client(self) -> Any:
        try:
            import boto3
        except ImportError:
            raise SourceError(
                "the source is in S3, and there are no credentials to fetch it with",
                hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or install "
                "`intermodal-training[s3]` to use what boto3 finds",
            ) from None
        return boto3.client("s3", endpoint_url=_endpoint(self.environment))


def _copy(response: HTTPResponse, file: BinaryIO) -> None:
    """Writes a body to a file, in the place of what an earlier try left.

    Raises:
        IncompleteRead: the connection ended before the body did; `read` with a size says nothing.
    """
    file.seek(0)
    file.truncate()
    shutil.copyfileobj(response, file, 1024 * 1024)
    length = response.headers["Content-Length"]
    if length is not None and file.tell() != int(length):
        raise IncompleteRead(b"", int(length) - file.tell())


def _endpoint(environment: Mapping[str, str]) -> str | None:
    names = ("AWS_ENDPOINT_URL_S3", env.AWS_ENDPOINT_URL, "S3_ENDPOINT_URL")
    return next((environment[name] for name in names if environment.get(name)), None)


def _environment_credentials(environment: Mapping[str, str]) -> Credentials | None:
    access_key_id = environment.get("AWS_ACCESS_KEY_ID")
    secret_access_key = environment.get("AWS_SECRET_ACCESS_KEY")
    if not access_key_id or not secret_access_key:
        return None
    return Credentials(access_key_id, secret_access_key, environment.get("AWS_SESSION_TOKEN"))


def _container_credentials(environment: Mapping[str, str]) -> Credentials | None:
    """As AWS gives them to containers (boto3's ContainerProvider reads the same)."""
    relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    url = (
        _CREDENTIALS_HOST + relative
        if relative
        else environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    )
    if not url or urlsplit(url).scheme not in {"http", "https"}:
        return None
    headers = {}
    if token := environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"):
        headers["Authorization"] = token
    try:
        with urlopen(Request(url, headers=headers), timeout=5) as response:  # noqa: S310 - http(s) only, checked above
            answer = json.load(response)
        return Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer.get("Token"))
    except (OSError, ValueError, KeyError):
        return None


def _refused(uri: S3Uri, error: HTTPError) -> SourceError:
    code, message = _s3_error(error.read(65536))
    what = {
        "NoSuchKey": f"`{uri}` does not exist",
        "NoSuchBucket": f"the bucket of `{uri}` does not exist",
        "AccessDenied": f"S3 refuses access to `{uri}`",
    }.get(code, f"S3 refuses `{uri}` with {code or error.code}: {message}")
    hint = {
        "NoSuchKey": "was the source uploaded, and to this account?",
        "AccessDenied": "the job's role needs s3:GetObject there",
    }.get(code)
    return SourceError(f"the submitted source {what}" if code == "NoSuchKey" else what, hint=hint)


def _s3_error(body: bytes) -> tuple[str, str]:
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - signed, from S3 itself
    except ElementTree.ParseError:
        return "", os.fsdecode(body[:200])
    return root.findtext("Code") or "", root.findtext("Message") or ""
