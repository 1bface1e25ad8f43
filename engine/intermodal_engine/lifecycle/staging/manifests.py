"""Manifests and augmented manifests: which objects, or which records, they name."""

import json
from collections.abc import Iterator
from typing import Any

from intermodal_contract.channel import Channel, InvalidS3UriError, S3Uri, parse_s3_uri
from intermodal_engine.lifecycle.staging.errors import (
    DataMissingError,
    download_failed,
    no_bucket,
    no_match,
)
from intermodal_engine.lifecycle.staging.inputs import Input
from intermodal_engine.store.objects import NoSuchBucketError, NoSuchKeyError, ObjectStore

REFERENCE = "-ref"
"""What the name of an attribute ends with whose value is the URI of the data."""


def read_manifest(objects: ObjectStore, channel: Channel) -> tuple[S3Uri, list[str]]:
    """What a manifest says: `[{"prefix": "s3://bucket/some/prefix/"}, "relative/path", ...]`.

    Returns:
        The prefix, and what each object's key has behind it. AWS page: API_S3DataSource.

    Raises:
        DataMissingError: there is no such object, or it is no manifest.
    """
    content = _read(objects, channel)
    try:
        entries = json.loads(content)
    except ValueError as error:
        raise _broken(channel, f"it is no JSON: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise _broken(channel, "it is no JSON array with a prefix and the names of objects")
    prefix, *names = entries
    if not isinstance(prefix, dict) or not isinstance(prefix.get("prefix"), str):
        raise _broken(channel, 'its first element is not {"prefix": "s3://bucket/some/prefix/"}')
    for position, name in enumerate(names, 2):
        if not isinstance(name, str) or not name:
            raise _broken(channel, f"its element {position} is no string: {json.dumps(name)}")
    if not names:
        raise _broken(channel, "it names no objects")
    try:
        return parse_s3_uri(prefix["prefix"]), names
    except InvalidS3UriError as error:
        raise _broken(channel, f"its prefix is no S3 URI: {error.message}") from error


def read_augmented_manifest(objects: ObjectStore, one: Input) -> Iterator[list[str | S3Uri]]:
    """The records of an augmented manifest: a JSON object a line.

    Returns:
        For each line the values of the wanted attributes, in their order: text to stream, or the
        place of the object to stream. AWS page: augmented-manifest.

    Raises:
        DataMissingError: there is no such object, or a line is not as it must be.
    """
    channel = one.channel
    for number, line in enumerate(_read(objects, channel).split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise _broken(channel, f"line {number} is no JSON: {error}") from error
        if not isinstance(record, dict):
            raise _broken(channel, f"line {number} is no JSON object")
        yield [_value(channel, number, record, name) for name in one.attribute_names]


def _value(channel: Channel, number: int, record: dict[str, Any], name: str) -> str | S3Uri:
    if name not in record:
        raise _broken(channel, f"line {number} has no attribute `{name}`")
    value = record[name]
    if not name.endswith(REFERENCE):
        if isinstance(value, str):
            return value
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        uri = parse_s3_uri(value if isinstance(value, str) else json.dumps(value))
    except InvalidS3UriError as error:
        raise _broken(channel, f"line {number}, attribute `{name}`: {error.message}") from error
    return uri


def _read(objects: ObjectStore, channel: Channel) -> bytes:
    uri, where = channel.s3_uri, f"the manifest of channel `{channel.name}`"
    try:
        _, file = objects.open(uri.bucket, uri.key)
    except NoSuchBucketError as error:
        raise no_bucket(uri.bucket, where) from error
    except NoSuchKeyError as error:
        raise no_match(uri, where) from error
    with file:
        return file.read()


def _broken(channel: Channel, cause: str) -> DataMissingError:
    return download_failed(
        f"the manifest {channel.s3_uri} of channel `{channel.name}` is not valid: {cause}"
    )
