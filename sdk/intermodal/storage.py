"""Files to and from S3: what is uploaded under which key, and who must own the bucket."""

import io
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any, TypeVar

from intermodal.errors import BucketAccessError, ConnectionLostError, InvalidArgumentsError
from intermodal_contract.channel import S3Uri

# One plain GET up to here; past it the parallel, resuming download is worth its extra HEAD.
_SMALL_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20
_AT_ONCE = 10
_ATTEMPTS = 4

_Fetched = TypeVar("_Fetched")


class Storage:
    """S3 through one client.

    Args:
        client: a boto3 S3 client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def upload_tree(
        self,
        path: Path,
        bucket: str,
        prefix: str,
        extra: Mapping[str, str],
        callback: Any = None,
    ) -> str:
        """Upload a file, or every file below a folder, in parallel.

        Returns:
            The object's URI for a file, the prefix's URI for a folder.

        Raises:
            InvalidArgumentsError: there is no such file or folder.
        """
        if not path.exists():
            raise InvalidArgumentsError(
                "upload_data", [f"`path`: there is no file or folder `{path}`"]
            )
        if path.is_file():
            key = _join(prefix, path.name)
            self._upload_all([(path, key)], bucket, extra, callback)
            return f"s3://{bucket}/{key}"
        files = [(file, _join(prefix, file.relative_to(path).as_posix())) for file in _files(path)]
        self._upload_all(files, bucket, extra, callback)
        return f"s3://{bucket}/{prefix}"

    def put(self, body: bytes | IO[bytes], uri: S3Uri, extra: Mapping[str, str]) -> None:
        """Store one object; a small one in one request, a large one in parallel parts."""
        stream = io.BytesIO(body) if isinstance(body, bytes) else body
        size_bytes = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        if size_bytes <= _SMALL_BYTES:
            self._client.put_object(
                Bucket=uri.bucket,
                Key=uri.key,
                Body=stream.read(),
                ChecksumAlgorithm="CRC32",
                **extra,
            )
        else:
            self._client.upload_fileobj(stream, uri.bucket, uri.key, ExtraArgs=dict(extra))

    def get(self, uri: S3Uri, destination: Path, extra: Mapping[str, str] | None = None) -> None:
        """Fetch one object into a file; a download that breaks leaves no file.

        Args:
            uri: the object.
            destination: the file, which is replaced once all is there.
            extra: further arguments of boto3's `get_object`.

        Raises:
            ConnectionLostError: the connection broke again and again.
        """
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial = destination.with_name(f"{destination.name}.part")
        try:
            _again(uri, lambda: self._fetch(uri, partial, extra or {}))
            partial.replace(destination)
        finally:
            partial.unlink(missing_ok=True)

    def copy(self, source: S3Uri, target: S3Uri) -> None:
        """Copy an object without fetching it; a large one in parts."""
        self._client.copy({"Bucket": source.bucket, "Key": source.key}, target.bucket, target.key)

    def read(self, uri: S3Uri, extra: Mapping[str, str] | None = None) -> bytes:
        """One object's content.

        Raises:
            ConnectionLostError: the connection broke again and again.
        """

        def whole() -> bytes:
            response = self._client.get_object(Bucket=uri.bucket, Key=uri.key, **(extra or {}))
            with closing(response["Body"]) as body:
                return bytes(body.read())

        return _again(uri, whole)

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """Every key below the prefix, in S3's order."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Contents", []):
                yield entry["Key"]

    def download_tree(
        self,
        bucket: str,
        prefix: str,
        destination: Path,
        extra: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Fetch every object below the prefix into a folder, or the one that it names.

        Returns:
            The files' paths, in the order of their keys.
        """
        from concurrent.futures import ThreadPoolExecutor

        keys = [key for key in self.keys(bucket, prefix) if not key.endswith("/")]
        targets = [_target(destination, key, prefix) for key in keys]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            fetching = [
                pool.submit(self.get, S3Uri(bucket, key), target, extra)
                for key, target in zip(keys, targets, strict=True)
            ]
            try:
                for one in fetching:
                    one.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return [str(target) for target in targets]

    def _fetch(self, uri: S3Uri, partial: Path, extra: Mapping[str, str]) -> None:
        response = self._client.get_object(Bucket=uri.bucket, Key=uri.key, **extra)
        # The body's own `with` would give the bare stream, which checks no length.
        with closing(response["Body"]) as body:
            if response["ContentLength"] <= _SMALL_BYTES:
                with partial.open("wb") as file:
                    shutil.copyfileobj(body, file, _CHUNK_BYTES)
                return
        self._client.download_file(uri.bucket, uri.key, str(partial), ExtraArgs=dict(extra))

    def _upload_all(
        self,
        files: Sequence[tuple[Path, str]],
        bucket: str,
        extra: Mapping[str, str],
        callback: Any,
    ) -> None:
        from boto3.s3.transfer import (
            ProgressCallbackInvoker,
            TransferConfig,
            create_transfer_manager,
        )

        subscribers = [ProgressCallbackInvoker(callback)] if callback else None
        arguments = {"ChecksumAlgorithm": "CRC32", **extra}
        with create_transfer_manager(self._client, TransferConfig()) as manager:
            transfers = [
                manager.upload(
                    str(file), bucket, key, extra_args=arguments, subscribers=subscribers
                )
                for file, key in files
            ]
            for stored, transfer in enumerate(transfers):
                try:
                    transfer.result()
                except Exception as error:
                    if len(files) > 1:
                        _told(error, stored, len(files), f"s3://{bucket}")
                    raise


def _again(uri: S3Uri, fetch: Callable[[], _Fetched]) -> _Fetched:
    """What is fetched, from the start again where the connection breaks on the way."""
    from botocore.exceptions import IncompleteReadError, ResponseStreamingError
    from urllib3.exceptions import HTTPError

    broken: Exception | None = None
    for _ in range(_ATTEMPTS):
        try:
            return fetch()
        except (IncompleteReadError, ResponseStreamingError, HTTPError) as error:
            broken = error
    raise ConnectionLostError(
        f"the connection broke {_ATTEMPTS} times while `{uri}` was fetched: {broken}",
        hint="nothing of it was kept; try again once the network holds",
    ) from broken


def _told(error: Exception, stored: int, count: int, where: str) -> None:
    """Say with the error that a folder is there in part, and which part nobody can tell."""
    error.add_note(
        f"the folder is not whole in `{where}`: {stored} of {count} files or more were stored\n"
        "hint: upload it again, what is there is replaced"
    )


def _target(folder: Path, key: str, prefix: str) -> Path:
    """Where an object goes: by its key past the prefix, or past the prefix's last folder."""
    is_folder = not prefix or prefix.endswith("/") or key.startswith(f"{prefix}/")
    above = prefix if is_folder else prefix.rpartition("/")[0]
    target = folder / key.removeprefix(above).lstrip("/")
    if not target.resolve().is_relative_to(folder.resolve()):
        raise BucketAccessError(f"object `{key}` would be written outside of `{folder}`")
    return target


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _join(prefix: str, name: str) -> str:
    return f"{prefix.rstrip('/')}/{name}" if prefix else name
