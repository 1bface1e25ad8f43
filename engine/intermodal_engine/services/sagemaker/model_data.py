"""Where a container's model files lie, as `ModelDataUrl` or `ModelDataSource` says."""

from collections.abc import Mapping
from typing import Any

from intermodal_contract.channel import InvalidS3UriError, parse_s3_uri
from intermodal_engine.services.call import Call
from intermodal_engine.services.sagemaker.resources import invalid
from intermodal_engine.store.objects import ObjectStoreError


def check_data(container: Mapping[str, Any]) -> None:
    """Makes sure that a container's model data can be somewhere.

    Raises:
        ServiceError: it is said twice, or names no place in S3.
    """
    source = container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri")
    url = container.get("ModelDataUrl")
    if url is not None and source is not None:
        raise invalid("`ModelDataUrl` and `ModelDataSource` cannot both be given")
    uri = url or source
    if uri is None:
        return
    try:
        parse_s3_uri(uri)
    except InvalidS3UriError as error:
        raise invalid(f'Could not use model data at "{uri}": {error.message}') from error


def etag_of(call: Call, container: Mapping[str, Any]) -> dict[str, str]:
    """`ModelDataETag` of a container whose archive is there; nothing for any other."""
    url = container.get("ModelDataUrl")
    if url is None:
        return {}
    place = parse_s3_uri(url)
    try:
        found = call.backends.objects.find(place.bucket, place.key) if place.key else None
    except ObjectStoreError:
        return {}
    return {"ModelDataETag": found.etag} if found is not None else {}
