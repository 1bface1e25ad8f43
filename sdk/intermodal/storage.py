"""Files to and from S3: what is uploaded under which key, and who must own the bucket."""

import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from intermodal.errors import BucketAccessError, InvalidArgumentsError
from intermodal_contract.channel import S3Uri

# One plain GET up to here; past it the parallel, resuming download is worth its extra HEAD.
_SMALL_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20


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

    def get(self, uri: S3Uri, destination: Path) -> None:
        """Fetch one object into a file; a download that breaks leaves no file."""
        destination.parent.mkdir(parents=True, exist_ok=True)
        response = self._client.get_object(Bucket=uri.bucket, Key=uri.key)
        partial = destination.with_name(f"{destination.name}.part")
        with response["Body"] as body:
            if response["ContentLength"] <= _SMALL_BYTES:
                with partial.open("wb") as file:
                    shutil.copyfileobj(body, file, _CHUNK_BYTES)
            else:
                body.close()
                self._client.download_file(uri.bucket, uri.key, str(partial))
        partial.replace(destination)

    def copy(self, source: S3Uri, target: S3Uri) -> None:
        """Copy an object without fetching it; a large one in parts."""
        self._client.copy({"Bucket": source.bucket, "Key": source.key}, target.bucket, target.key)

    def read(self, uri: S3Uri) -> bytes:
        """One object's content."""
        with self._client.get_object(Bucket=uri.bucket, Key=uri.key)["Body"] as body:
            return bytes(body.read())

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """Every key below the prefix, in S3's order."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Contents", []):
                yield entry["Key"]

    def download_tree(self, bucket: str, prefix: str, destination: Path) -> list[str]:
        """Fetch every object below the prefix into a folder, or the one that it names."""
        written = []
        root = destination.resolve()
        for key in self.keys(bucket, prefix):
            if key.endswith("/"):
                continue
            relative = key.removeprefix(prefix).lstrip("/") or key.rpartition("/")[2]
            target = (root / relative).resolve()
            if not target.is_relative_to(root):
                raise BucketAccessError(
                    f"object `{key}` would be written outside of `{destination}`"
                )
            self.get(S3Uri(bucket, key), target)
            written.append(str(destination / relative))
        return written

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
            for transfer in transfers:
                transfer.result()


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _join(prefix: str, name: str) -> str:
    return f"{prefix.rstrip('/')}/{name}" if prefix else name
