"""Serializer and deserializer of the format of Amazon's own algorithms."""

from contextlib import closing
from typing import Any

from intermodal.deserializers import _Accepting
from intermodal.record_protobuf import CONTENT_TYPE, Record, read_records, write_records
from intermodal.serializers import _Typed


class RecordSerializer(_Typed):
    """Arrays, a record a row."""

    def __init__(self, content_type: str = CONTENT_TYPE) -> None:
        super().__init__(content_type)

    def serialize(self, data: Any) -> bytes:
        """The rows, framed one by one.

        Args:
            data: a numpy array of one dimension, which is one record, or of two.

        Raises:
            ValueError: it has other dimensions.
        """
        return write_records(data)


class RecordDeserializer(_Accepting):
    """Records, with features and labels by name."""

    def __init__(self, accept: str = CONTENT_TYPE) -> None:
        super().__init__(accept)

    def deserialize(self, stream: Any, content_type: str | None = None) -> list[Record]:  # noqa: ARG002 - the vendor's
        """All records of the answer.

        Raises:
            ValueError: it is not in this format.
        """
        with closing(stream):
            return read_records(stream.read())
